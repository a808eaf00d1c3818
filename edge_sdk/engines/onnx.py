"""ONNX Runtime: an elastic .onnx takes the number of blocks of each layer as an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Arrays
from edge_sdk.containers import WIDTHS
from edge_sdk.engines.base import Engine
from edge_sdk.errors import EngineError, GranularityError, MissingDependency
from edge_sdk.granularity import Granularity

ERRORS_ONLY = 3


class OnnxEngine(Engine):
    """Runs an .onnx on ONNX Runtime's CPU provider.

    Of an elastic file any mix of its block boundaries runs, exported by name or
    not. ONNX Runtime itself allows concurrent calls on one session.
    """

    name = "onnx"
    concurrent = True

    @classmethod
    def prepare(cls) -> None:
        try:
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise MissingDependency("ONNX Runtime", str(error), where=cls.name,
                                    hint="pip install 'edge-inference-sdk[onnx]'") from error

    def _open(self, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # It warns of each optional input; failures come as exceptions.
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                self.artifact.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no base but this
            raise EngineError("a graph that ONNX Runtime loads", _first_line(error),
                              where=str(self.artifact.path),
                              hint="compare `toolchain` in the metadata with pip list") from error
        # One graph, so whatever it holds has the same outputs.
        self._outputs = [spec.name for spec in next(iter(self.signatures.values())).outputs]
        self._widths: dict[str, NDArray[np.int64]] = {}
        if self.metadata.elastic:
            for name, info in self.metadata.granularities.items():
                self._widths[name] = block_counts(
                    Granularity(name, info.widths), self.metadata.boundaries)

    def _resolve(self, granularity: str) -> str:
        if not self.metadata.elastic:
            return super()._resolve(granularity)
        found = self.metadata.resolve(granularity)
        if found.name not in self._widths:
            self._widths[found.name] = block_counts(found, self.metadata.boundaries)
        return found.name

    def call(self, name: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        feed = dict(inputs)
        if name in self._widths:
            feed[WIDTHS] = self._widths[name]
        try:
            outputs = self._session.run(self._outputs, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no base but this
            raise EngineError("a graph that ONNX Runtime runs", _first_line(error),
                              where=str(self.artifact.path),
                              hint="compare `toolchain` in the metadata with pip list") from error
        return dict(zip(self._outputs, outputs, strict=True))


def block_counts(
    granularity: Granularity, boundaries: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    """Return how many blocks each layer runs, shape (n_layers,).

    Raises:
        GranularityError: A width is no boundary of its layer.
    """
    counts = []
    for layer, (width, cuts) in enumerate(zip(granularity.widths, boundaries, strict=True)):
        if width not in cuts:
            raise GranularityError(
                f"a width among the block boundaries {list(cuts)}", str(width),
                where=f"layer {layer} of granularity {granularity.name!r}",
                hint="export it too: --elastic S,M,L,XL,...")
        counts.append(list(cuts).index(width) + 1)
    return np.array(counts, np.int64)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
