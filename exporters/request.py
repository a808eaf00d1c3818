"""What every exporter is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edge_sdk.artifact import SparseInfo
from edge_sdk.granularity import Granularity


@dataclass(frozen=True)
class Request:
    """A universal model and the granularities to put into one file.

    Attributes:
        model: In eval mode; holds nested FFNs. Returns a tensor, or a dict of them.
        sample: The inputs of one case, batch 1, in the order of `forward`.
        input_names, output_names: In order.
        granularities: One, or several that share their weights, smallest first.
        elastic: Lower to blocks and methods even if there is only one.
        boundaries: Where each layer's FFN is cut into blocks.
        quantize: "none" or "int8".
        sparse: "none", or values of the sparse layers: "float32" or "int8".
        report: Called with what is being done, for a progress line.
    """

    model: nn.Module
    sample: tuple[Tensor, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    granularities: Sequence[Granularity]
    elastic: bool
    boundaries: Sequence[Sequence[int]]
    quantize: str = "none"
    sparse: str = "none"
    report: Callable[[str], None] = field(default=lambda text: None)


class Lowered(Protocol):
    """A lowered model, kept in memory until its metadata is known.

    `coverage` is the fraction of graph nodes delegated, for each granularity,
    None where the toolchain does not say. `toolchain` holds versions. `sparse` says what
    became of layers with zeros, None where nobody asked.
    """

    coverage: dict[str, float | None]
    sparse: SparseInfo | None
    toolchain: dict[str, str]

    def write(self, path: Path, metadata: str) -> None:
        """Write the file with `metadata` (JSON) in its native place, unsealed.

        May be called again with other metadata; the graph stays the same.
        """
        ...


class Outputs(nn.Module):
    """Wraps a model so that it returns a tuple of tensors in the order of `names`."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs as a tuple."""
        out = self.model(*inputs)
        if isinstance(out, Tensor):
            return (out,)
        return tuple(out[name] for name in self.names) if isinstance(out, dict) else tuple(out)


@torch.no_grad()
def output_names(model: nn.Module, sample: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Return the names of a model's outputs: its dict keys, else logits, output_1, ..."""
    out = model(*sample)
    if isinstance(out, dict):
        return tuple(out)
    n = 1 if isinstance(out, Tensor) else len(out)
    return ("logits", *(f"output_{i}" for i in range(1, n)))
