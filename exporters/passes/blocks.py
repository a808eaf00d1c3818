"""FFNs as sums over blocks, so that granularities share whole tensors.

    FFN_w(x) = b2 + sum over blocks of act(x W1[block]^T + b1[block]) W2[block]^T

The formats store identical tensors once, but not prefixes of a tensor: cut at
every width in use, the blocks of S are byte for byte the first blocks of XL.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edge_sdk.errors import GranularityError
from edge_sdk.nn.matformer import Nested, replace_nested


class BlockFFN(nn.Module):
    """The sum of the parts of a nested FFN; the first carries the output bias."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the FFN, (..., d_model) -> (..., d_model)."""
        total: Tensor = self.parts[0](x)
        for part in list(self.parts)[1:]:
            total = total + part(x)
        return total


def blocks(ffn: Nested, width: int, cuts: Sequence[int]) -> list[nn.Module]:
    """Return the parts of `ffn` up to `width`, cut at `cuts`.

    Raises:
        GranularityError: `width` is not one of `cuts`.
    """
    if width not in cuts:
        raise GranularityError(f"a width among the block boundaries {list(cuts)}", str(width),
                               where="FFN width", hint="export this granularity with the others")
    ends = [cut for cut in cuts if cut <= width]
    return [ffn.part(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def to_blocks(
    model: nn.Module, widths: Sequence[int], boundaries: Sequence[Sequence[int]]
) -> nn.Module:
    """Return a copy of `model` at `widths` whose FFNs are sums over blocks.

    Args:
        model: Holds nested FFNs.
        widths: One for each layer, each among that layer's boundaries.
        boundaries: Cuts of each layer, growing.
    """
    return replace_nested(
        model, widths, lambda ffn, layer, width: BlockFFN(blocks(ffn, width, boundaries[layer])),
    ).eval()
