"""Write the vectors of FastGRNN cells: `python tests/vectors/make_fastgrnn.py`.

The answers come from NumPy in float32, operation by operation as runtime/FORMAT.md has them
("Arithmetic of .grnn"), so that every processor must give the very same bits; those of cells in
integers from `edge_sdk.fastgrnn.integer`. No number is denormal: 32-bit NEON would take it for 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.fastgrnn.integer import QuantizedWeights, quantize
from edge_sdk.fastgrnn.layout import pack
from edge_sdk.fastgrnn.weights import NONLINEARITIES, Weights

Floats = NDArray[np.float32]

HERE = Path(__file__).resolve().parent
F = np.float32
EXP2 = [F(c) for c in (0.0013264727, 0.009671513, 0.055507336, 0.24022242, 0.693147, 1.0)]
MAGIC, LARGEST, LOG2_E, TWO_LOG2_E = F(12582912.0), F(126.0), F(1.442695041), F(2.885390082)

HEAD = """\
# FastGRNN. One case a line; `python tests/vectors/make_fastgrnn.py` writes this file.
# file: the bytes of a .grnn file. frames: (T, n_inputs), float32 or, of a cell in integers,
# int16. states: (T, n_hidden) and logits: (n_classes) after the last frame; float32, or int16 and
# int32. All are hexadecimal, as the bytes lie in memory, little-endian; - stands for none.
# name kind file frames -> states logits
"""


def exp2(t: Floats) -> Floats:
    """Return 2**t for |t| <= 126."""
    shifted = t + MAGIC
    f = t - (shifted - MAGIC)
    p = np.full_like(t, EXP2[0])
    for factor in EXP2[1:]:
        p = p * f + factor
    with np.errstate(over="ignore"):
        return (p.view(np.uint32) + (shifted.view(np.uint32) << 23)).view(np.float32)


def tanh(x: Floats) -> Floats:
    """Return tanh, odd, -0 included."""
    e = exp2(np.maximum(-np.abs(x) * TWO_LOG2_E, -LARGEST))
    return np.copysign((F(1) - e) / (F(1) + e), x)


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + e**-x)."""
    return F(1) / (F(1) + exp2(np.clip(x * -LOG2_E, -LARGEST, LARGEST)))


EXACT = {
    "sigmoid": sigmoid, "tanh": tanh,
    "relu": lambda x: np.maximum(x, F(0)) + F(0),
    "quant_sigmoid": lambda x: np.clip((x + F(1)) * F(0.5), F(0), F(1)),
    "quant_sigmoid4": lambda x: np.clip((x + F(2)) * F(0.25), F(0), F(1)),
    "quant_tanh": lambda x: np.clip(x, F(-1), F(1)),
}


def product(x: Floats, factors: tuple[Floats, ...]) -> Floats:
    """Return x M: the sum over even inputs, plus that over odd ones."""
    for factor in factors:
        sums = np.zeros((2, factor.shape[1]), np.float32)
        for d, row in enumerate(factor):
            sums[d % 2] += x[d] * row
        x = sums[0] + sums[1]
    return x


def states(w: Weights, frames: Floats, h: Floats | None = None) -> Floats:
    """Return the state after each frame, (T, H)."""
    h = np.zeros(w.n_hidden, np.float32) if h is None else h
    found = []
    for features in frames:
        x = features if w.mean is None else (features - w.mean) * w.scale
        p = product(x, w.w) + product(h, w.u)
        z, c = EXACT[w.gate](p + w.bias_gate), EXACT[w.update](p + w.bias_update)
        share = F(w.zeta) * (F(1) - z) + F(w.nu)
        h = z * h + share * c
        found.append(h)
    return np.array(found)


def logits(w: Weights, h: Floats) -> Floats:
    """Return the logits (C,) of a state (H,)."""
    if w.head is None or w.head_bias is None:
        return np.empty(0, np.float32)
    return product(h, (w.head,)) + w.head_bias


def random_weights(
    seed: int, n_inputs: int, n_hidden: int, n_classes: int, *, rank_w: int = 0, rank_u: int = 0,
    gate: str = "sigmoid", update: str = "tanh", normalized: bool = True, density: float = 1.0,
) -> Weights:
    """Return a cell of random weights; rank 0 is a whole matrix, 0 classes no head."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, size: float = 1.0) -> Floats:
        values = rng.standard_normal(shape) * size * (rng.random(shape) < density)
        return values.astype(np.float32)

    def factors(rows: int, rank: int) -> tuple[Floats, ...]:
        if not rank:
            return (draw(rows, n_hidden, size=rows**-0.5),)
        return draw(rows, rank, size=rows**-0.5), draw(rank, n_hidden, size=rank**-0.5)

    weights = Weights(
        w=factors(n_inputs, rank_w), u=factors(n_hidden, rank_u), bias_gate=draw(n_hidden),
        bias_update=draw(n_hidden), zeta=float(F(rng.random())), nu=float(F(rng.random() / 8)),
        gate=gate, update=update)
    if n_classes:
        weights = replace(weights, head=draw(n_hidden, n_classes), head_bias=draw(n_classes))
    if normalized:
        weights = replace(weights, mean=draw(n_inputs),
                          scale=rng.uniform(0.5, 2.0, n_inputs).astype(np.float32))
    return weights


def cells() -> Iterator[tuple[str, Weights, bool]]:
    """Yield (name, weights, sparse): shapes at the edges of vectors, and every non-linearity."""
    yield "one_of_each", random_weights(1, 1, 1, 1), False
    yield "no_head", random_weights(2, 3, 5, 0), False
    yield "not_normalized", random_weights(3, 3, 5, 2, normalized=False), False
    for h in (7, 8, 9, 15, 16, 17, 33):
        yield f"{h}_units", random_weights(h, 5, h, 3, rank_u=min(h, 4)), False
    yield "digits", random_weights(4, 32, 48, 10, rank_w=12, rank_u=16), False
    for i, kind in enumerate(NONLINEARITIES):
        yield f"gate_{kind}", random_weights(40 + i, 4, 10, 3, gate=kind), False
        yield f"update_{kind}", random_weights(50 + i, 4, 10, 3, update=kind), False
    yield "sparse", random_weights(60, 24, 30, 10, density=0.1), True
    yield "sparse_low_rank", random_weights(61, 24, 30, 10, rank_w=6, rank_u=9, density=0.2), True
    yield "sparse_of_nothing", random_weights(62, 24, 30, 10, density=0.0), True


def column(array: NDArray[Any]) -> str:
    """Return the bytes of an array as one column."""
    return np.ascontiguousarray(array).tobytes().hex() or "-"


def lines() -> Iterator[str]:
    """Yield the lines of fastgrnn.txt."""
    rng = np.random.default_rng(0)
    for name, weights, sparse in cells():
        frames = rng.standard_normal((5, weights.n_inputs)).astype(np.float32)
        found = states(weights, frames)
        file = pack(weights, sparse=sparse, early=None)
        yield (f"{name} f32 {column(file)} {column(frames)} -> {column(found)} "
               f"{column(logits(weights, found[-1]))}")
        if sparse:
            continue
        try:
            integers: QuantizedWeights = quantize(weights, features=frames)
        except Exception:  # a ReLU may go beyond what 16 bits hold
            assert "relu" in name
            continue
        features = integers.quantize_input(frames)
        features[0] = rng.integers(-32768, 32768, weights.n_inputs)
        rows = integers.states(features)
        answer = np.empty(0) if integers.head is None else integers.run(features)
        yield (f"{name} i16 {column(pack(integers, sparse=False, early=None))} "
               f"{column(features)} -> {column(rows)} {column(answer)}")


if __name__ == "__main__":
    (HERE / "fastgrnn.txt").write_text(HEAD + "\n".join(lines()) + "\n")
