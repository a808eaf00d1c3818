"""Proves a written file against the model it came from, on real inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Accuracy, Comparison, Golden, pack_array
from edge_sdk.engines.process import Outputs
from edge_sdk.errors import ComparisonError
from edge_sdk.granularity import Granularity
from edge_sdk.source import Source

N_GOLDEN = 3


@dataclass(frozen=True)
class Limits:
    """How far a file may be from the model; beyond it the export fails.

    Attributes:
        max_difference: fp32: largest absolute difference of any output, relative to
            the largest absolute eager output where that is above 1.
        argmax_agreement: int8: least fraction of cases with the same first output.
        accuracy_drop: int8: largest loss of top-1 accuracy, in points of a hundred.
    """

    max_difference: float = 1e-4
    argmax_agreement: float = 0.98
    accuracy_drop: float = 0.5

    def words(self, quantization: str) -> str:
        """Return the demand in words."""
        if quantization == "none":
            return f"max difference {self.max_difference:g}"
        return (f"argmax agreement {self.argmax_agreement:.0%}, accuracy drop "
                f"{self.accuracy_drop:g} points")


def eager(source: Source, granularity: Granularity, names: Sequence[str]) -> dict[
        str, NDArray[Any]]:
    """Return the outputs of the universal model at `granularity`, (n, ...) by name."""
    import torch

    from edge_sdk.exporters.request import Outputs as TupleOutputs
    from edge_sdk.nn.matformer import use_widths

    wrapped = TupleOutputs(source.model, names).eval()
    tensors = [torch.from_numpy(array) for array in source.inputs.values()]
    with torch.no_grad(), use_widths(source.model, granularity.widths):
        batches = [wrapped(*parts) for parts in zip(*(t.split(128) for t in tensors), strict=True)]
    columns = zip(*batches, strict=True)
    return {name: torch.cat(column).numpy() for name, column in zip(names, columns, strict=True)}


def compare(
    expected: dict[str, NDArray[Any]], got: dict[str, NDArray[Any]], *, quantization: str,
    limits: Limits, where: str,
) -> Comparison:
    """Return how far `got` is from `expected`.

    Raises:
        ComparisonError: Beyond `limits`, or not finite.
    """
    first = next(iter(expected))
    n = len(expected[first])
    difference = 0.0
    for name, want in expected.items():
        have = got[name]
        if have.shape != want.shape or not np.isfinite(have).all():
            raise ComparisonError(f"finite output {name!r} of shape {want.shape}",
                                  f"shape {have.shape}, {np.isfinite(have).mean():.1%} finite",
                                  where=where, hint="the engine miscomputes this model")
        difference = max(difference, float(np.abs(have.astype(np.float64) - want).max()))
    agreement = float((expected[first].argmax(-1) == got[first].argmax(-1)).mean())
    scale = max(1.0, *(float(np.abs(want).max()) for want in expected.values()))
    result = Comparison(n, difference, agreement, limits.words(quantization))
    if quantization == "none" and difference > limits.max_difference * scale:
        raise ComparisonError(f"a max difference of {limits.max_difference * scale:.2g} or less",
                              f"{difference:.3g}", where=where,
                              hint="the engine miscomputes this model; no file was written")
    if quantization != "none" and agreement < limits.argmax_agreement:
        raise ComparisonError(f"argmax agreement of {limits.argmax_agreement:.2%} or more",
                              f"{agreement:.2%} of {n}", where=where,
                              hint="this model does not bear int8; export with --quantize none")
    return result


def accuracy(
    source: Source, expected: dict[str, NDArray[Any]], got: dict[str, NDArray[Any]], *,
    quantization: str, limits: Limits, where: str,
) -> Accuracy | None:
    """Return top-1 accuracy of a file and of the model, None without labels.

    Raises:
        ComparisonError: Quantization cost more than `limits` allows.
    """
    if source.targets is None:
        return None
    first = next(iter(expected))
    top1 = float((got[first].argmax(-1) == source.targets).mean())
    before = float((expected[first].argmax(-1) == source.targets).mean())
    if quantization != "none" and (before - top1) * 100 > limits.accuracy_drop:
        raise ComparisonError(f"an accuracy drop of {limits.accuracy_drop:g} points or less",
                              f"{(before - top1) * 100:.2f}", where=where,
                              hint="this model does not bear int8; export with --quantize none")
    return Accuracy(len(source.targets), top1, before, source.inputs_are)


def golden(source: Source, outputs: Outputs, quantization: str) -> Golden:
    """Return the first cases with the file's own answers, to be run again on a device.

    int8 kernels of another processor may round a sum differently and so reach
    the next quantization step: their limit is wider.
    """
    return Golden(
        {name: pack_array(array[:N_GOLDEN]) for name, array in source.inputs.items()},
        {granularity: {name: pack_array(array[:N_GOLDEN]) for name, array in by_name.items()}
         for granularity, by_name in outputs.items()},
        limit=1e-4 if quantization == "none" else 5e-2,
    )
