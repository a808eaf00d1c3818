"""MatFormer: feed-forward networks nested in one another, and image encoders of them.

Source: Devvrit et al., "MatFormer: Nested Transformer for Elastic Inference",
2023 (arXiv:2310.07707). Granularity i keeps the first m_i hidden units of each
FFN (section 3.1); the joint loss is sum_i lambda_i L(M_i) (section 3.2); Mix'n'Match
chooses the width of each layer by itself (section 3.3).

The nesting lives in `NestedFFN` and `NestedGLU` alone. Everything else here
(`extract`, `use_widths`, the losses) and every exporter knows only these two,
so it works on any model that holds them: see `edge_sdk.nn.nesting.nest`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_sdk.errors import GranularityError, NestingError, ShapeError

RATIOS: Mapping[str, float] = {"S": 1 / 8, "M": 1 / 4, "L": 1 / 2, "XL": 1.0}
"""The trained granularities: the fraction of d_ff each keeps, smallest first."""


class Nested(nn.Module):
    """A feed-forward network whose first `width` hidden units are one too.

    Attributes:
        d_ff: All hidden units.
        widths: The trained widths, growing; the last is `d_ff`.
        width: How many hidden units `forward` uses; set it with `use_widths`.
    """

    def __init__(self, d_ff: int, widths: Sequence[int] | None) -> None:
        super().__init__()
        if widths is None:
            widths = sorted({max(1, round(ratio * d_ff)) for ratio in RATIOS.values()})
        widths = list(widths)
        if not widths or widths != sorted(set(widths)) or widths[0] < 1 or widths[-1] != d_ff:
            raise GranularityError(
                f"widths that grow from 1 up and end at d_ff={d_ff}", str(widths),
                where="`widths`", hint="leave `widths` out for d_ff / 8, / 4, / 2 and d_ff",
            )
        self.d_ff = d_ff
        self.widths = tuple(widths)
        self.width = d_ff

    def check_width(self, width: int) -> int:
        """Return `width` if it lies in 1..d_ff.

        Raises:
            GranularityError: It does not.
        """
        if not isinstance(width, int) or not 1 <= width <= self.d_ff:
            raise GranularityError(f"a width in 1..{self.d_ff}", repr(width), where="FFN width",
                                   hint="a granularity never keeps more than d_ff hidden units")
        return width

    def part(self, start: int, stop: int) -> nn.Module:
        """Return an ordinary module that computes hidden units start..stop alone.

        The parts of a partition of 0..width sum to the FFN of that width; the
        part that starts at 0 carries the output bias.
        """
        raise NotImplementedError


class NestedFFN(Nested):
    """down(activation(up(x))), nested as in section 3.1 of the paper.

    Args:
        up: Linear(d_model, d_ff).
        activation: Elementwise; it must not look across hidden units, or a
            slice would not equal a mask.
        down: Linear(d_ff, d_model).
        widths: Trained widths; by default d_ff times each of `RATIOS`.
        dropout: Between activation and `down`; identity by default.
    """

    def __init__(
        self, up: nn.Linear, activation: nn.Module, down: nn.Linear, *,
        widths: Sequence[int] | None = None, dropout: nn.Module | None = None,
    ) -> None:
        super().__init__(up.out_features, widths)
        _check_hidden(up, down)
        self.up, self.activation, self.down = up, activation, down
        self.dropout = dropout if dropout is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the FFN of the current width, (..., d_model) -> (..., d_model)."""
        w = self.width
        up_bias = None if self.up.bias is None else self.up.bias[:w]
        hidden = self.activation(F.linear(x, self.up.weight[:w], up_bias))
        return F.linear(self.dropout(hidden), self.down.weight[:, :w], self.down.bias)

    def part(self, start: int, stop: int) -> nn.Module:
        return nn.Sequential(
            _rows(self.up, start, stop), copy.deepcopy(self.activation),
            _columns(self.down, start, stop),
        )


class GLU(nn.Module):
    """down(activation(gate(x)) * up(x)): a gated FFN of one fixed width."""

    def __init__(self, gate: nn.Linear, up: nn.Linear, activation: nn.Module,
                 down: nn.Linear) -> None:
        super().__init__()
        self.gate, self.up, self.activation, self.down = gate, up, activation, down

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated FFN, (..., d_model) -> (..., d_model)."""
        out: Tensor = self.down(self.activation(self.gate(x)) * self.up(x))
        return out


class NestedGLU(Nested):
    """A gated FFN, nested: gate, up and down keep the same first hidden units.

    A fused gate-and-up projection must be split before: slicing it in one piece
    would pair the wrong halves.
    """

    def __init__(
        self, gate: nn.Linear, up: nn.Linear, activation: nn.Module, down: nn.Linear, *,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__(up.out_features, widths)
        _check_hidden(up, down)
        _check_hidden(gate, down)
        self.gate, self.up, self.activation, self.down = gate, up, activation, down

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated FFN of the current width, (..., d_model) -> (..., d_model)."""
        w = self.width
        gate_bias = None if self.gate.bias is None else self.gate.bias[:w]
        up_bias = None if self.up.bias is None else self.up.bias[:w]
        gate = self.activation(F.linear(x, self.gate.weight[:w], gate_bias))
        hidden = gate * F.linear(x, self.up.weight[:w], up_bias)
        return F.linear(hidden, self.down.weight[:, :w], self.down.bias)

    def part(self, start: int, stop: int) -> nn.Module:
        return GLU(
            _rows(self.gate, start, stop), _rows(self.up, start, stop),
            copy.deepcopy(self.activation), _columns(self.down, start, stop),
        )


def _check_hidden(up: nn.Linear, down: nn.Linear) -> None:
    if up.out_features != down.in_features:
        raise ShapeError(f"{down.in_features} hidden units, which `down` takes",
                         str(up.out_features), where="`up` or `gate`",
                         hint="split a fused gate-and-up projection into two")


def _rows(linear: nn.Linear, start: int, stop: int) -> nn.Linear:
    bias = None if linear.bias is None else linear.bias[start:stop]
    return _linear(linear.weight[start:stop], bias)


def _columns(linear: nn.Linear, start: int, stop: int) -> nn.Linear:
    return _linear(linear.weight[:, start:stop], linear.bias if start == 0 else None)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0],
                                bias=bias is not None, dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone())
    return linear


# --- granularities of a whole model ------------------------------------------------


def nested_ffns(model: nn.Module) -> dict[str, Nested]:
    """Return the nested FFNs of `model` by name, in layer order.

    Raises:
        NestingError: There is none.
    """
    found = {name: m for name, m in model.named_modules() if isinstance(m, Nested)}
    if not found:
        raise NestingError(
            "a model with NestedFFN or NestedGLU modules", "none", where=type(model).__name__,
            hint="edge_sdk.nn.nesting.nest(model) turns its feed-forward networks into them",
        )
    return found


def is_nested(model: nn.Module) -> bool:
    """Return whether `model` holds nested FFNs, and so more sizes than one."""
    return any(isinstance(module, Nested) for module in model.modules())


def trained_widths(model: nn.Module) -> list[tuple[int, ...]]:
    """Return the trained widths of each layer, smallest first."""
    return [ffn.widths for ffn in nested_ffns(model).values()]


def _check_widths(ffns: Mapping[str, Nested], widths: Sequence[int]) -> None:
    if len(widths) != len(ffns):
        raise GranularityError(f"{len(ffns)} widths, one for each layer", str(len(widths)),
                               where="granularity", hint="repeat a width with *: S*2+XL*2")
    for ffn, width in zip(ffns.values(), widths, strict=True):
        ffn.check_width(width)


@contextmanager
def use_widths(model: nn.Module, widths: Sequence[int]) -> Iterator[nn.Module]:
    """Run `model` at `widths`, one for each layer, inside a with block; () of a plain model."""
    ffns = nested_ffns(model) if widths or is_nested(model) else {}
    _check_widths(ffns, widths)
    before = [ffn.width for ffn in ffns.values()]
    try:
        for ffn, width in zip(ffns.values(), widths, strict=True):
            ffn.width = width
        yield model
    finally:
        for ffn, width in zip(ffns.values(), before, strict=True):
            ffn.width = width


def replace_nested(
    model: nn.Module, widths: Sequence[int], build: Callable[[Nested, int, int], nn.Module]
) -> nn.Module:
    """Return a copy of `model` with each nested FFN replaced by build(ffn, layer, width)."""
    ffns = nested_ffns(model)
    _check_widths(ffns, widths)
    # The memo keeps deepcopy from duplicating the weights about to be sliced.
    memo = {id(ffn): build(ffn, layer, width)
            for layer, (ffn, width) in enumerate(zip(ffns.values(), widths, strict=True))}
    return copy.deepcopy(model, memo)


def extract(model: nn.Module, widths: Sequence[int]) -> nn.Module:
    """Return an ordinary small model that equals `model` run at `widths`.

    Its FFNs are plain Sequential or `GLU` modules over copied slices; nothing
    nested or masked is left, and `model` is untouched. Of a plain model, which has no
    widths, it is a copy.

    Raises:
        GranularityError: Wrong number of widths, or one out of 1..d_ff.
    """
    if not widths and not is_nested(model):
        return copy.deepcopy(model).eval()
    return replace_nested(model, widths, lambda ffn, _, width: ffn.part(0, width)).eval()


# --- training ------------------------------------------------------------------------


def joint_loss(
    model: nn.Module, loss: Callable[[], Tensor], *, lambdas: Sequence[float] | None = None
) -> Tensor:
    """Return sum_i lambda_i L(M_i) over the trained granularities (section 3.2).

    Args:
        model: Holds nested FFNs with equally many trained widths each.
        loss: Runs `model` and returns its loss; called once for each granularity.
        lambdas: lambda_i, smallest granularity first; all 1 / n by default.

    Raises:
        ShapeError: `lambdas` and the granularities differ in number.
    """
    layers = trained_widths(model)
    n = len(layers[0])
    lambdas = [1.0 / n] * n if lambdas is None else lambdas
    if len(lambdas) != n or any(len(widths) != n for widths in layers):
        raise ShapeError(f"{n} lambdas and {n} trained widths in every layer",
                         f"{len(lambdas)} lambdas", where="`lambdas`",
                         hint="one lambda for each trained granularity, smallest first")
    total = torch.zeros(())
    for i, lambda_i in enumerate(lambdas):
        with use_widths(model, [widths[i] for widths in layers]):
            total = total + lambda_i * loss()
    return total


def sample_widths(
    model: nn.Module, generator: torch.Generator, *, per_layer: bool = False,
    indices: Sequence[int] | None = None,
) -> list[int]:
    """Return random trained widths: the cheaper training of section 3.2 steps on one a batch.

    Args:
        model: Holds nested FFNs.
        generator: Source of randomness.
        per_layer: Draw each layer by itself (a Mix'n'Match) instead of one for all.
        indices: Trained widths to draw from, 0 being the smallest; all by default.

    Raises:
        GranularityError: An index of no trained width.
    """
    layers = trained_widths(model)
    n = min(len(widths) for widths in layers)
    choice = list(indices) if indices is not None else list(range(n))
    if not choice or not all(0 <= i < n for i in choice):
        raise GranularityError(f"indices of trained widths, 0..{n - 1}", str(choice),
                               where="`indices`", hint="0 is the smallest; leave it out for all")
    draws = torch.randint(len(choice), (len(layers) if per_layer else 1,), generator=generator)
    picks = [choice[i] for i in draws.tolist()]
    if not per_layer:
        picks = picks * len(layers)
    return [widths[i] for widths, i in zip(layers, picks, strict=True)]


# --- image encoders ----------------------------------------------------------------------


class ImageEncoder(nn.Module):
    """An image classifier of nested FFNs: what training, cards and exports know of one.

    Attributes:
        kind: What it is, in words.
        image_size: Height and width in pixels.
        channels: 1 or 3.
        stem: Layers before the first nested FFN; width plays no part in them.
        project: Maps to the embedding behind the last nested FFN; identity if none is needed.
        head: Maps an embedding (n, d_embedding) to logits (n, n_classes).
    """

    kind: ClassVar[str] = "image encoder"
    image_size: int
    channels: int
    stem: nn.Module
    project: nn.Module
    head: nn.Module

    def tokens(self, image: Tensor) -> Tensor:
        """Return what enters the first nested FFN; width plays no part."""
        raise NotImplementedError

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the embedding (n, d_embedding) of tokens at the current widths."""
        raise NotImplementedError

    def embed(self, image: Tensor) -> Tensor:
        """Return the embedding (n, d_embedding) of an image batch."""
        return self.encode(self.tokens(image))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (n, n_classes)."""
        logits: Tensor = self.head(self.embed(image))
        return logits


class MatMLP(ImageEncoder):
    """One nested FFN over the pixels: image (n, channels, size, size) -> logits.

    It is so small that the core evaluates it without an engine: see
    `edge_sdk.cascade.ffn.CoreFFN`.

    Args:
        image_size: Height and width in pixels.
        channels: 1 or 3.
        d_ff: Hidden units, behind a ReLU.
        d_embedding: Dimensions of the embedding.
        head: Maps an embedding (n, d_embedding) to logits (n, n_classes).
    """

    kind = "multilayer perceptron"

    def __init__(self, *, image_size: int, channels: int, d_ff: int, d_embedding: int,
                 head: nn.Module) -> None:
        super().__init__()
        self.image_size, self.channels = image_size, channels
        self.stem = nn.Flatten()
        self.ffn = NestedFFN(nn.Linear(channels * image_size**2, d_ff), nn.ReLU(),
                             nn.Linear(d_ff, d_embedding))
        self.project = nn.Identity()
        self.head = head

    def tokens(self, image: Tensor) -> Tensor:
        """Return the pixels, (n, channels * size * size), row by row of each channel."""
        pixels: Tensor = self.stem(image)
        return pixels

    def encode(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.project(self.ffn(tokens))
        return out


class Attention(nn.Module):
    """Multi-head self-attention, (n, tokens, d_model) -> the same shape."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ShapeError(f"n_heads that divides d_model={d_model}", str(n_heads),
                             where="`n_heads`", hint="d_model / 32 is a good number of heads")
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended tokens."""
        n, tokens, d_model = x.shape
        shape = n, tokens, self.n_heads, d_model // self.n_heads
        qkv = self.qkv(x)
        # Slices, not `chunk`: XNNPACK's partitioner takes the one and not the other.
        query, key, value = (qkv[..., i * d_model : (i + 1) * d_model].reshape(shape)
                             .transpose(1, 2) for i in range(3))
        if self.training:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = _attend(query, key, value)
        out: Tensor = self.out(attended.transpose(1, 2).reshape(n, tokens, d_model))
        return out


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(query key^T / sqrt(d)) value, (n, heads, tokens, d) each.

    Spelled out for the exporters. They decompose the fused form into a softmax
    guarded against all-masked rows, and a 4-D matmul into expanding copies; no
    delegate takes either, so every layer would fall into pieces.
    """
    n, heads, tokens, d = query.shape
    query, key, value = (part.reshape(n * heads, tokens, d) for part in (query, key, value))
    weights = torch.bmm(query, key.transpose(1, 2) * d**-0.5).softmax(-1)
    return torch.bmm(weights, value).reshape(n, heads, tokens, d)


class Block(nn.Module):
    """A pre-norm transformer layer with a nested FFN."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(d_model)
        self.attention = Attention(d_model, n_heads)
        self.norm_ffn = nn.LayerNorm(d_model)
        self.ffn = NestedFFN(nn.Linear(d_model, d_ff), nn.GELU(), nn.Linear(d_ff, d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + attention + FFN, each behind its norm."""
        x = x + self.attention(self.norm_attention(x))
        x = x + self.ffn(self.norm_ffn(x))
        return x


class MatViT(ImageEncoder):
    """A vision transformer of nested FFNs: image (n, channels, size, size) -> logits.

    Args:
        image_size: Height and width in pixels.
        channels: 1 or 3.
        stem: Convolutions before the tokens, as (channels, stride) each; the last
            is projected to d_model. Empty: patches, see `patch`.
        patch: Side of a patch in stem pixels (1 behind a convolutional stem).
        d_model, n_layers, n_heads, d_ff: The transformer's shape.
        d_embedding: Dimensions of the pooled embedding; d_model by default.
        head: Maps an embedding (n, d_embedding) to logits (n, n_classes).
    """

    kind = "vision transformer"

    def __init__(
        self, *, image_size: int, channels: int, d_model: int, n_layers: int, n_heads: int,
        d_ff: int, head: nn.Module, patch: int = 1, stem: Sequence[tuple[int, int]] = (),
        d_embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.image_size, self.channels = image_size, channels
        layers: list[nn.Module] = []
        side, width = image_size, channels
        for out, stride in stem:
            layers += [nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out),
                       nn.ReLU()]
            side, width = -(-side // stride), out
        if side % patch:
            raise ShapeError(f"a patch that divides {side} pixels", str(patch), where="`patch`",
                             hint="choose another patch or image size")
        self.stem = nn.Sequential(*layers)
        self.tokenize = nn.Conv2d(width, d_model, patch, patch)
        n_tokens = (side // patch) ** 2
        self.position = nn.Parameter(torch.randn(1, n_tokens, d_model) * 0.02)
        self.blocks = nn.Sequential(*(Block(d_model, n_heads, d_ff) for _ in range(n_layers)))
        self.norm = nn.LayerNorm(d_model)
        self.project = (nn.Identity() if d_embedding in (None, d_model)
                        else nn.Linear(d_model, d_embedding or d_model))
        self.head = head

    def tokens(self, image: Tensor) -> Tensor:
        """Return the tokens before the first layer, (n, n_tokens, d_model); width plays no part."""
        patches: Tensor = self.tokenize(self.stem(image))
        return patches.flatten(2).transpose(1, 2) + self.position

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the pooled embedding (n, d_embedding) of tokens at the current widths."""
        out: Tensor = self.project(self.norm(self.blocks(tokens)).mean(1))
        return out
