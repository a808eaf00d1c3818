"""Which layers run sparse in ExecuTorch: those whose zeros pass a measured break-even."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from edge_sdk.artifact import SparseLayer
from edge_sdk.nn.budgets import count_layers

Form = Literal["dense", "float32", "int8"]

BREAK_EVEN: Mapping[tuple[str, bool], Mapping[int, float]] = {
    ("float32", False): {1: 0.95, 8: 0.86, 49: 0.74, 196: 0.65},
    ("int8", False): {1: 1.0, 8: 0.87, 49: 0.74, 196: 0.65},
    ("float32", True): {16: 0.79, 49: 0.71, 64: 0.58, 256: 0.50, 1024: 0.51},
    ("int8", True): {16: 0.80, 49: 0.71, 64: 0.58, 256: 0.50, 1024: 0.51},
}
"""Share of zeros from which the sparse kernel is faster than XNNPACK's dense one, for values
of this type in a Linear or (True) a 3x3 convolution, by the number of columns that a weight is
multiplied with (tokens, or pixels of the output). The worst of the shapes that
`python -m benchmarks.sparse --only crossover` measured on one x86-64 with AVX-512, and not
lower than 50 %, the least measured; elsewhere unmeasured."""
LEAST_ENTRIES = 2048
"""Smaller weights stay: a call of an operator costs more than their products. Not measured."""


@dataclass(frozen=True)
class Choice:
    """The form of one layer, and why; `columns` is what its weight is multiplied with."""

    name: str
    form: Form
    zeros: int
    entries: int
    columns: int
    why: str

    def layer(self, packed_bytes: int | None = None) -> SparseLayer:
        """Return what the file says of it."""
        form = "dense" if self.form == "dense" else f"sparse {self.form}"
        dense = 4 * self.entries
        return SparseLayer(self.name, form, self.zeros, self.entries,
                           dense if packed_bytes is None else packed_bytes, dense, self.why)


def break_even(columns: int, values: Form, *, conv: bool) -> float:
    """Return the share of zeros from which sparse is faster, between the measured points.

    Beyond the most columns it is as there; below the fewest nothing is known, and 1.0.
    """
    points = sorted(BREAK_EVEN[values, conv].items())
    if columns < points[0][0]:
        return 1.0
    for (low, before), (high, after) in pairwise(points):
        if columns <= high:
            part = math.log(columns / low) / math.log(high / low)
            return before + part * (after - before)
    return points[-1][1]


def choose(model: nn.Module, sample: tuple[Tensor, ...], values: Form) -> list[Choice]:
    """Return the form of every Linear and Conv2d of `model`, in its order.

    Args:
        model: Plain, in eval mode, zeros in its weights.
        sample: The inputs of one call.
        values: The form of those that are faster sparse.
    """
    modules = dict(model.named_modules())
    choices = []
    for cost in count_layers(model, sample):
        zeros = cost.parameters - cost.kept
        columns = (cost.macs or 0) // max(cost.parameters, 1)
        form, why = _form(modules[cost.name], zeros / max(cost.parameters, 1), cost.parameters,
                          columns, values)
        choices.append(Choice(cost.name, form, zeros, cost.parameters, columns, why))
    return choices


def _form(
    layer: nn.Module, share: float, entries: int, columns: int, values: Form,
) -> tuple[Form, str]:
    if isinstance(layer, nn.Conv2d) and not _is_plain(layer):
        return "dense", "groups, dilation or padding that the sparse kernel does not have"
    if columns == 0:
        return "dense", "never called"
    if entries < LEAST_ENTRIES:
        return "dense", f"{entries} weights, too few for a call of its own"
    # A 1x1 convolution is the product that a Linear is.
    conv = isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
    least = break_even(columns, values, conv=conv)
    if share < least:
        return "dense", f"{share:.1%} zeros; sparse is faster from {least:.0%} at {columns} columns"
    return values, f"faster from {least:.0%} zeros at {columns} columns"


def _is_plain(layer: nn.Conv2d) -> bool:
    if layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros":
        return False
    if layer.padding == "same":
        return all(k % 2 for k in layer.kernel_size)
    if isinstance(layer.padding, str):
        return True
    return all(p < k for p, k in zip(layer.padding, layer.kernel_size, strict=True))
