"""Slow, obvious NumPy oracles in float64: what the fast code is tested against.

Each says its equation in one line and takes no short cut: a narrower network is
the whole one with units set to zero, not a slice. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def relu(x: ArrayLike) -> Array:
    """Return max(x, 0)."""
    out: Array = np.maximum(_f64(x), 0.0)
    return out


def gelu(x: ArrayLike) -> Array:
    """Return x Phi(x) with the exact normal distribution function, not the tanh fit."""
    x = _f64(x)
    phi = np.array([(1.0 + math.erf(v / math.sqrt(2.0))) / 2.0 for v in x.ravel().tolist()])
    out: Array = x * phi.reshape(x.shape)
    return out


def silu(x: ArrayLike) -> Array:
    """Return x / (1 + e^-x)."""
    x = _f64(x)
    # e^-|x| can not overflow.
    small = np.exp(-np.abs(x))
    return x * np.where(x >= 0, 1.0, small) / (1.0 + small)


def masked_ffn(
    x: ArrayLike, up_weight: ArrayLike, up_bias: ArrayLike | None, down_weight: ArrayLike,
    down_bias: ArrayLike | None, *, width: int, activation: Callable[[Array], Array],
) -> Array:
    """Return down(mask * activation(up(x))), the mask zeroing hidden units from `width` on.

    Args:
        x: (..., d_in).
        up_weight: (d_ff, d_in), as torch's Linear keeps it.
        up_bias: (d_ff,) or None.
        down_weight: (d_out, d_ff).
        down_bias: (d_out,) or None.
        width: Hidden units kept.
        activation: Elementwise.

    Returns:
        (..., d_out), float64.
    """
    hidden = activation(_linear(x, up_weight, up_bias))
    return _linear(_mask(hidden, width), down_weight, down_bias)


def masked_glu(
    x: ArrayLike, *, gate_weight: ArrayLike, gate_bias: ArrayLike | None, up_weight: ArrayLike,
    up_bias: ArrayLike | None, down_weight: ArrayLike, down_bias: ArrayLike | None, width: int,
    activation: Callable[[Array], Array],
) -> Array:
    """Return down(mask * activation(gate(x)) * up(x)); shapes as in `masked_ffn`."""
    hidden = activation(_linear(x, gate_weight, gate_bias)) * _linear(x, up_weight, up_bias)
    return _linear(_mask(hidden, width), down_weight, down_bias)


def mrl_logits(
    embedding: ArrayLike, weight: ArrayLike, bias: ArrayLike, *, dim: int,
    normalize: bool = False, scale: float = 1.0,
) -> Array:
    """Return the logits of the first `dim` coordinates under the first `dim` weight columns.

    Args:
        embedding: (n, d).
        weight: (n_classes, at least dim): MRL's own matrix for `dim`, or MRL-E's only one.
        bias: (n_classes,).
        dim: Coordinates kept.
        normalize: Give each prefix length 1 before.
        scale: Times the features.

    Returns:
        (n, n_classes), float64.
    """
    features = _f64(embedding)[:, :dim]
    if normalize:
        features = features / np.sqrt((features**2).sum(axis=1, keepdims=True))
    return _linear(scale * features, _f64(weight)[:, :dim], bias)


def _f64(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def _linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None) -> Array:
    out: Array = _f64(x) @ _f64(weight).T
    return out if bias is None else out + _f64(bias)


def _mask(hidden: Array, width: int) -> Array:
    return hidden * (np.arange(hidden.shape[-1]) < width)


# ---- codes: every decoder by comparing everything --------------------------------------

Words = NDArray[np.uint64]
Ids = NDArray[np.int64]


def hamming_distances(codes: ArrayLike, words: ArrayLike) -> Ids:
    """Return the number of differing bits, (n_words, n_codes), of packed words up to 64 bits."""
    different = _u64(words)[:, None] ^ _u64(codes)[None, :]
    bits = np.unpackbits(different[..., None].view(np.uint8), axis=-1)
    distances: Ids = bits.sum(-1, dtype=np.int64)
    return distances


def exact_decode(codes: ArrayLike, words: ArrayLike) -> Ids:
    """Return the lowest id whose code each word equals, -1 if none does (ED)."""
    first: dict[int, int] = {}
    for i, code in enumerate(_u64(codes).tolist()):
        first.setdefault(code, i)
    return np.array([first.get(word, -1) for word in _u64(words).tolist()], np.int64)


def hamming_search(codes: ArrayLike, words: ArrayLike, k: int) -> tuple[Ids, Ids]:
    """Return ids and distances, (n_words, min(k, n_codes)), nearest first, ties by id."""
    distances = hamming_distances(codes, words)
    ids = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return ids.astype(np.int64), np.take_along_axis(distances, ids, axis=1)


def bit_costs(scores: ArrayLike) -> list[int]:
    """Return |z| of one query's scores, (k,) float32, as integers: the unit of ORD's sums.

    The largest lies below 2^55; what a multiple of its unit can not express is cut off.
    """
    z = np.abs(np.asarray(scores, np.float32).astype(np.float64))
    exponent = max(int(np.frexp(z.max(initial=0.0))[1]), -125)
    return [int(v) for v in np.floor(np.ldexp(z, 55 - exponent))]


def soft_decode(codes: ArrayLike, scores: ArrayLike) -> Ids:
    """Return argmax z.c over codes c in +-1 for each row z of scores (n, k), ties to the lowest.

    As the least sum of |z| over the bits in which c and sign(z) differ; sign(0) = +1.
    """
    answers = []
    for z in np.atleast_2d(np.asarray(scores, np.float32)):
        costs, word = bit_costs(z), sign_word(z)
        sums = [sum(cost for bit, cost in enumerate(costs) if (code ^ word) >> bit & 1)
                for code in _u64(codes).tolist()]
        answers.append(min(range(len(sums)), key=sums.__getitem__) if sums else -1)
    return np.array(answers, np.int64)


def sign_word(scores: ArrayLike) -> int:
    """Return sign(z) of one query as a word: bit j is 1 where z_j >= 0."""
    return sum(1 << j for j, z in enumerate(np.asarray(scores).tolist()) if z >= 0)


def ordered_decode(
    codes: ArrayLike, scores: ArrayLike, max_lookups: int
) -> tuple[int, int]:
    """Return (id or -1, look-ups) of ORD for one query, from the sorted list of all flips.

    Equal sums come in the order of the flips' ranks as a binary number, the rank
    of a bit being its place when bits are sorted by (|z|, index). Once a class is
    met, all flips of the same sum are still looked up, for a lower id.
    """
    costs, word = bit_costs(scores), sign_word(scores)
    ranks = sorted(range(len(costs)), key=lambda bit: (costs[bit], bit))
    flips = sorted(
        (sum(costs[bit] for r, bit in enumerate(ranks) if mask >> r & 1), mask)
        for mask in range(1 << len(costs)))
    ids = exact_decode(codes, [word ^ sum(1 << bit for r, bit in enumerate(ranks) if mask >> r & 1)
                               for _, mask in flips]).tolist()
    best, best_cost = -1, None
    for lookups, ((cost, _), found) in enumerate(zip(flips, ids, strict=True)):
        if lookups == max_lookups or (best_cost is not None and cost > best_cost):
            return best, lookups
        if found >= 0 and (best < 0 or found < best):
            best, best_cost = found, cost
    return best, len(flips)


def _u64(words: ArrayLike) -> Words:
    return np.atleast_1d(np.asarray(words, dtype=np.uint64))


def log_mel(
    samples: ArrayLike, window: ArrayLike, matrix: ArrayLike, *, hop: int, n_fft: int,
    floor: float,
) -> Array:
    """Return log2(floor + M |FFT(w x)|^2) of each whole frame, shape (n_frames, n_bands).

    Args:
        samples: (n,).
        window: (window,).
        matrix: M transposed, (n_fft / 2 + 1, n_bands).
        hop: Samples from one frame to the next.
        n_fft: Points of the transform; the window is filled up with zeros.
        floor: Above 0.
    """
    x, w = _f64(samples), _f64(window)
    frames = [x[start : start + len(w)] * w for start in range(0, len(x) - len(w) + 1, hop)]
    if not frames:
        return np.empty((0, _f64(matrix).shape[1]))
    power = np.abs(np.fft.rfft(np.stack(frames), n_fft)) ** 2
    out: Array = np.log2(floor + power @ _f64(matrix))
    return out


# ---- recurrent cells -------------------------------------------------------------------

def sigmoid(x: ArrayLike) -> Array:
    """Return 1 / (1 + e^-x)."""
    x = _f64(x)
    small = np.exp(-np.abs(x))  # e^-|x| can not overflow
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def tanh(x: ArrayLike) -> Array:
    """Return tanh x."""
    out: Array = np.tanh(_f64(x))
    return out


def quant_sigmoid(x: ArrayLike) -> Array:
    """Return (x + 1) / 2, clipped to 0..1."""
    out: Array = np.clip((_f64(x) + 1.0) / 2.0, 0.0, 1.0)
    return out


def quant_sigmoid4(x: ArrayLike) -> Array:
    """Return (x + 2) / 4, clipped to 0..1."""
    out: Array = np.clip((_f64(x) + 2.0) / 4.0, 0.0, 1.0)
    return out


def quant_tanh(x: ArrayLike) -> Array:
    """Return x, clipped to -1..1."""
    out: Array = np.clip(_f64(x), -1.0, 1.0)
    return out


NONLINEARITIES: dict[str, Callable[[ArrayLike], Array]] = {
    "sigmoid": sigmoid, "tanh": tanh, "relu": relu, "quant_sigmoid": quant_sigmoid,
    "quant_sigmoid4": quant_sigmoid4, "quant_tanh": quant_tanh,
}


def fastgrnn(
    frames: ArrayLike, *, w: Sequence[ArrayLike], u: Sequence[ArrayLike], bias_gate: ArrayLike,
    bias_update: ArrayLike, zeta: float, nu: float, gate: str = "sigmoid", update: str = "tanh",
    head: ArrayLike | None = None, head_bias: ArrayLike | None = None,
    mean: ArrayLike | None = None, scale: ArrayLike | None = None,
    state: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Return the states and the logits after each frame of one sequence, by FastGRNN.

    Kusupati et al. 2018, arXiv:1901.02358, equations 3-4.

    Args:
        frames: (T, D) features.
        w: The factors of W: one (D, H), or (D, r) and (r, H).
        u: The factors of U: one (H, H), or (H, r) and (r, H).
        bias_gate, bias_update: H numbers each.
        zeta, nu: After the sigmoid: 0 to 1.
        gate, update: Names in NONLINEARITIES.
        head, head_bias: (H, C) and (C,); without a head there are no classes.
        mean, scale: (D,); by default 0 and 1.
        state: (H,) before the first frame; zeros by default.

    Returns:
        States (T, H) and logits (T, C), float64; C is 0 without a head.
    """
    whole_w, whole_u, b_g, b_h = _product(w), _product(u), _f64(bias_gate), _f64(bias_update)
    x = _f64(frames)
    x = (x - (0.0 if mean is None else _f64(mean))) * (1.0 if scale is None else _f64(scale))
    h = np.zeros(b_g.size) if state is None else _f64(state)
    states = np.empty((len(x), b_g.size))
    for t in range(len(x)):
        p = x[t] @ whole_w + h @ whole_u
        z = NONLINEARITIES[gate](p + b_g.ravel())
        c = NONLINEARITIES[update](p + b_h.ravel())
        h = z * h + (zeta * (1.0 - z) + nu) * c
        states[t] = h
    matrix = np.empty((b_g.size, 0)) if head is None else _f64(head)
    return states, states @ matrix + (0.0 if head_bias is None else _f64(head_bias))


def _product(factors: Sequence[ArrayLike]) -> Array:
    product = _f64(factors[0])
    for factor in factors[1:]:
        product = product @ _f64(factor)
    return product
