"""Inference engines behind one protocol: ExecuTorch, LiteRT, ONNX Runtime."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from edge_sdk.artifact import open_artifact
from edge_sdk.engines.base import Engine
from edge_sdk.engines.sequence import SequenceModel
from edge_sdk.errors import FormatError

__all__ = ["Engine", "SequenceModel", "engine_class", "load"]

_ENGINES = {
    "executorch": "ExecuTorchEngine",
    "litert": "LiteRTEngine",
    "onnx": "OnnxEngine",
}


def load(path: str | os.PathLike[str], *, threads: int = 1) -> Any:
    """Load an artifact into the engine that it was made for.

    Returns:
        An `Engine`, or a `SequenceModel` if the file holds a recurrent model. For type
        checkers there are `Engine.load` of each engine and `SequenceModel.load`.

    Raises:
        FormatError: Not an artifact, or damaged.
        MissingDependency: Its engine is not installed; the hint names the extra.
    """
    metadata = open_artifact(path).metadata
    engine = engine_class(metadata.target).load(path, threads=threads)
    return engine if metadata.sequence is None else SequenceModel(engine)


def engine_class(target: str) -> type[Engine]:
    """Return the engine for a target: executorch, litert or onnx.

    Raises:
        FormatError: There is no such target.
    """
    if target not in _ENGINES:
        raise FormatError(f"one of the targets {', '.join(_ENGINES)}", repr(target),
                          where="`target`", hint="export the model for one of them")
    module = import_module(f"edge_sdk.engines.{target}")
    engine: type[Engine] = getattr(module, _ENGINES[target])
    return engine
