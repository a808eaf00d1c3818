"""Edge SDK: train once, export once, let the device choose how much of the model to run.

Importing this package loads neither torch nor an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_sdk import errors

if TYPE_CHECKING:
    from edge_sdk.artifact import Artifact as Artifact
    from edge_sdk.artifact import open_artifact as open_artifact
    from edge_sdk.bundle import Bundle as Bundle
    from edge_sdk.cascade import Cascade as Cascade
    from edge_sdk.codes import CodeIndex as CodeIndex
    from edge_sdk.codes import InstanceIndex as InstanceIndex
    from edge_sdk.engines import load as load
    from edge_sdk.export import export as export
    from edge_sdk.fastgrnn import FastGRNN as FastGRNN
    from edge_sdk.governor import Budget as Budget
    from edge_sdk.governor import Governor as Governor
    from edge_sdk.session import Session as Session
    from edge_sdk.vectors import VectorIndex as VectorIndex

__all__ = [
    "Artifact", "Budget", "Bundle", "Cascade", "CodeIndex", "FastGRNN", "Governor",
    "InstanceIndex", "Session", "VectorIndex", "errors", "export", "load", "open_artifact",
]

_HOMES = {
    "Artifact": "edge_sdk.artifact",
    "open_artifact": "edge_sdk.artifact",
    "Bundle": "edge_sdk.bundle",
    "Cascade": "edge_sdk.cascade",
    "CodeIndex": "edge_sdk.codes",
    "InstanceIndex": "edge_sdk.codes",
    "FastGRNN": "edge_sdk.fastgrnn",
    "Session": "edge_sdk.session",
    "Budget": "edge_sdk.governor",
    "Governor": "edge_sdk.governor",
    "VectorIndex": "edge_sdk.vectors",
    "load": "edge_sdk.engines",
    # The module is callable: `edge_sdk.export(...)` and `python -m edge_sdk.export` are one name.
    "export": "edge_sdk.export",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        return import_module("edge_sdk._native").version()
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_sdk' has no attribute {name!r}")
    module = import_module(_HOMES[name])
    return module if name == "export" else getattr(module, name)
