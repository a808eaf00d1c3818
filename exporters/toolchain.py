"""Finds an exporter's toolchain, or says how to install it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from edge_sdk.errors import MissingDependency, UnsupportedPlatform


def require(target: str, modules: Sequence[str]) -> None:
    """Import `modules`.

    Raises:
        MissingDependency: One is not installed.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise MissingDependency(f"{module}, which target {target!r} needs", str(error),
                                    where=f"target {target!r}",
                                    hint="pip install 'edge-inference-sdk[export]'") from error


def require_platform(target: str, supported: Sequence[tuple[str, str]]) -> None:
    """Check that this machine is one of `supported`, as (system, machine).

    Raises:
        UnsupportedPlatform: It is not.
    """
    here = (platform.system(), platform.machine())
    if here not in supported:
        names = " or ".join(" ".join(pair) for pair in supported)
        raise UnsupportedPlatform(names, " ".join(here), where=f"target {target!r}",
                                  hint="export on such a machine; the file itself runs elsewhere")


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """Return the versions of installed distributions; absent ones are left out."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
