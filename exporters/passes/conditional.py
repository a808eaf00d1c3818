"""FFNs whose number of blocks is an input of the graph, chosen for each call and layer.

    FFN_n(x) = part_0(x) + sum over i in 1..n-1 of part_i(x), n a tensor

Each further block stands behind a condition of its own, one after another and
not one inside another: so a runtime skips what is not asked for, and ONNX
Runtime packs every weight ahead of the first call, which it does no deeper than
in branches of the outermost graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edge_sdk.exporters.passes.blocks import blocks
from edge_sdk.nn.matformer import replace_nested


class Choice:
    """How many blocks each layer runs in the call under way, int64, shape (n_layers,).

    No module on purpose: it hands `widths` past the model's own forward, which
    knows nothing of them, and torch.export refuses tensors set on modules.
    """

    def __init__(self) -> None:
        self.widths: Tensor | None = None


class ConditionalFFN(nn.Module):
    """The first parts of a nested FFN, as many as `choice` says; the first always runs."""

    def __init__(self, parts: Sequence[nn.Module], layer: int, choice: Choice) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.layer, self.choice = layer, choice

    def forward(self, x: Tensor) -> Tensor:
        """Return the FFN, (..., d_model) -> (..., d_model)."""
        total: Tensor = self.parts[0](x)
        if len(self.parts) == 1:
            return total
        assert self.choice.widths is not None, "call it through Elastic"
        n_blocks = self.choice.widths[self.layer]
        for i, part in enumerate(list(self.parts)[1:], 1):
            total = torch.cond(n_blocks > i, _add(part), _skip, (x, total))
        return total


def _add(part: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def add(x: Tensor, total: Tensor) -> Tensor:
        out: Tensor = total + part(x)
        return out

    return add


def _skip(x: Tensor, total: Tensor) -> Tensor:
    # A branch must not return its own input.
    return total.clone()


class Elastic(nn.Module):
    """`model` with one more input behind its own: how many blocks each layer runs."""

    def __init__(self, model: nn.Module, choice: Choice) -> None:
        super().__init__()
        self.model, self.choice = model, choice

    def forward(self, *inputs: Tensor) -> object:
        """Return what `model` returns; the last of `inputs` is int64, shape (n_layers,)."""
        self.choice.widths = inputs[-1]
        try:
            return self.model(*inputs[:-1])
        finally:
            self.choice.widths = None


def to_conditional(model: nn.Module, boundaries: Sequence[Sequence[int]]) -> Elastic:
    """Return a copy of `model` whose FFNs run as many blocks as its last input says.

    Args:
        model: Holds nested FFNs.
        boundaries: Cuts of each layer, growing; block i ends at the i-th of them.
    """
    choice = Choice()
    full = [cuts[-1] for cuts in boundaries]
    return Elastic(replace_nested(
        model, full, lambda ffn, layer, width: ConditionalFFN(
            blocks(ffn, width, boundaries[layer]), layer, choice),
    ), choice).eval()
