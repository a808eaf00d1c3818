"""The protocol behind which every inference engine stands.

An engine is loaded from an artifact, says which granularities it can run, and
runs one: inputs and outputs are NumPy arrays by name, batch 1. Choosing another
granularity for the next call reloads nothing. Of a recurrent model an engine has
methods instead, which `SequenceModel` calls.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Arrays, Artifact, Metadata, open_artifact
from edge_sdk.errors import FormatError, GranularityError, ShapeError


class Engine(ABC):
    """One loaded artifact. Unless `concurrent`, one thread at a time may call it.

    Attributes:
        name: The engine's name as in `Metadata.target`.
        artifact: The verified file.
        granularities: Names that `run` accepts, as exported; none of a recurrent model.
        concurrent: Whether several threads may call `run` at once.
    """

    name: str
    concurrent = False

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.artifact = artifact
        self.granularities = tuple(artifact.metadata.granularities)
        self.signatures = artifact.metadata.signatures
        self._canonical = {name: name for name in self.granularities}
        self.prepare()
        self._open(threads)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1) -> Engine:
        """Verify `path` and load it.

        Raises:
            FormatError: Damaged, or made for another engine.
            MissingDependency: The engine is not installed.
        """
        artifact = open_artifact(path)
        if artifact.metadata.target != cls.name:
            raise FormatError(f"an artifact for {cls.name}", artifact.metadata.target,
                              where=str(path), hint="edge_sdk.engines.load picks the engine")
        return cls(artifact, threads)

    @classmethod
    @abstractmethod
    def prepare(cls) -> None:
        """Import the engine's library; `load` does it too.

        Raises:
            MissingDependency: It is not installed; the hint names the extra.
        """

    @property
    def metadata(self) -> Metadata:
        """What the file says of itself."""
        return self.artifact.metadata

    def run(self, inputs: Arrays, granularity: str | None = None) -> dict[str, NDArray[Any]]:
        """Return the outputs by name for one batch.

        Args:
            inputs: One array for each input of the metadata, of its shape and dtype.
            granularity: By default the largest the file holds.

        Raises:
            ShapeError: An input is missing, extra, or of another shape or dtype.
            GranularityError: The file does not hold this granularity.
        """
        if granularity is not None and not isinstance(granularity, str):
            raise GranularityError(f"one of {', '.join(self.granularities)}", repr(granularity),
                                   where="`granularity`", hint="a name, or widths such as 32*3")
        if not self.granularities:
            raise GranularityError("a file with granularities", f"a {self.metadata.family} model",
                                   where=str(self.artifact.path),
                                   hint="edge_sdk.load gives its step(x, h) and run(x)")
        asked = self.granularities[-1] if granularity is None else granularity
        name = self._canonical.get(asked)
        if name is None:
            name = self._canonical[asked] = self._resolve(asked)
        self._check(inputs)
        # A view with strides is fine for NumPy and refused by ExecuTorch.
        return self.call(name, {key: np.ascontiguousarray(array) for key, array in inputs.items()})

    def _resolve(self, granularity: str) -> str:
        name = self.metadata.resolve(granularity).name
        if name not in self.granularities:
            raise GranularityError(f"one of {', '.join(self.granularities)}", repr(granularity),
                                   where=str(self.artifact.path),
                                   hint="export it too: --elastic S,M,L,XL,...")
        return name

    def _check(self, inputs: Arrays) -> None:
        specs = self.metadata.inputs
        if len(inputs) != len(specs) or any(spec.name not in inputs for spec in specs):
            raise ShapeError(f"inputs {[s.name for s in specs]}", str(sorted(inputs)),
                             where="`inputs`", hint="see `python -m edge_sdk.inspect FILE`")
        for spec in specs:
            array = inputs[spec.name]
            if not isinstance(array, np.ndarray):
                raise ShapeError(f"a NumPy array, {spec.dtype} of shape {spec.shape}",
                                 type(array).__name__, where=f"input {spec.name!r}",
                                 hint="np.asarray(x, np.float32)")
            if tuple(array.shape) != spec.shape or array.dtype != np.dtype(spec.dtype):
                raise ShapeError(f"{spec.dtype} of shape {spec.shape}",
                                 f"{array.dtype} of shape {tuple(array.shape)}",
                                 where=f"input {spec.name!r}",
                                 hint="artifacts take one case a call; see `preprocessing`")

    @abstractmethod
    def _open(self, threads: int) -> None:
        """Load the file into the engine."""

    @abstractmethod
    def call(self, name: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs of one of `signatures`, by name, from contiguous arrays.

        Nothing is checked: `run` and `SequenceModel` do.
        """
