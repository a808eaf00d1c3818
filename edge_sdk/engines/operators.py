"""Our own operators for ExecuTorch, which programs with sparse weights call.

They lie in a library beside the C core, edge_sdk/_executorch_operators.so, that is built
when this package is installed into an environment that has ExecuTorch. Loading it is left
to the first program that needs it.
"""

from __future__ import annotations

import ctypes
import threading
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from edge_sdk.containers import pte_operators
from edge_sdk.errors import EngineError, MissingDependency

NAMESPACE = "edge::"
MODULE = "edge_sdk._executorch_operators"
HINT = ("with executorch installed first, install this package again so that it builds them: "
        "pip install --force-reinstall --no-deps edge-inference-sdk (or -e . of a checkout)")

# Registering an operator twice ends the process.
_lock = threading.Lock()


def load_for(path: Path) -> None:
    """Make the operators of ours that a .pte calls known to ExecuTorch's runtime.

    Raises:
        MissingDependency: They were not built here, or for another release of ExecuTorch.
        EngineError: The program calls operators that this version of ours does not have.
    """
    needed = {name for name in pte_operators(path) if name.startswith(NAMESPACE)}
    with _lock:
        if needed - _registered():
            _register(path)
        absent = needed - _registered()
    if absent:
        raise EngineError("operators that this version has", ", ".join(sorted(absent)),
                          where=str(path), hint="update edge-inference-sdk")


def _registered() -> set[str]:
    from executorch.extension.pybindings.portable_lib import _get_operator_names

    return {name for name in _get_operator_names() if name.startswith(NAMESPACE)}


def _register(path: Path) -> None:
    # ExecuTorch is imported by now: the library finds the running copy by its name.
    found = find_spec(MODULE)
    if found is None or found.origin is None:
        raise MissingDependency("the operators for sparse weights in ExecuTorch",
                                "an installation that was built without them", where=str(path),
                                hint=HINT)
    try:
        library = ctypes.CDLL(found.origin)
    except OSError as error:
        raise MissingDependency("operators that load into this ExecuTorch", str(error),
                                where=found.origin, hint=HINT) from error
    library.edge_operators_built_for.restype = ctypes.c_char_p
    built_for = library.edge_operators_built_for().decode()
    # The layout of ExecuTorch's C++ types is no promise: another release may be anything.
    if built_for != version("executorch"):
        raise MissingDependency(f"operators built for ExecuTorch {version('executorch')}",
                                f"operators built for {built_for}", where=found.origin, hint=HINT)
    if not _registered():
        library.edge_operators_register()
