"""FastGRNN models of random weights about as large as trained ones, and features for them."""

from __future__ import annotations

import numpy as np

from edge_sdk import reference
from edge_sdk.fastgrnn import Weights

KINDS = ("sigmoid", "tanh", "relu", "quant_sigmoid", "quant_sigmoid4", "quant_tanh")


def weights(seed=0, *, d=32, h=24, c=10, rank_w=8, rank_u=6, gate="sigmoid", update="tanh",
            gain=1.0, zeros=0.0, normalized=True, labels=(), preprocessing=None) -> Weights:
    """Return a model; `zeros` is the fraction of W's and U's weights that are zero."""
    rng = np.random.default_rng(seed)
    if "relu" in (gate, update):
        gain *= 0.25  # or the states grow without bound

    def matrix(*shape, sparse=0.0):
        size = gain if len(shape) == 2 else min(gain, 1.0)
        values = rng.normal(size=shape) * size / np.sqrt(shape[0])
        return np.ascontiguousarray(values * (rng.random(shape) >= sparse), np.float32)

    def factors(rows, rank):
        shapes = [(rows, h)] if rank is None else [(rows, rank), (rank, h)]
        return tuple(matrix(*shape, sparse=zeros) for shape in shapes)

    bias = 0.2 if gate == "relu" else 1.0
    return Weights(
        w=factors(d, rank_w), u=factors(h, rank_u), bias_gate=bias + 0.3 * matrix(h),
        bias_update=0.3 * matrix(h), zeta=0.73, nu=0.018, gate=gate, update=update,
        head=2.0 * matrix(h, c) if c else None, head_bias=matrix(c) if c else None,
        mean=(22.0 + 2.0 * matrix(d)) if normalized else None,
        scale=(0.25 + 0.05 * np.abs(matrix(d))) if normalized else None,
        labels=labels, preprocessing=preprocessing or {})


def features(seed=0, *, n=4, d=32, lengths=(1, 30), normalized=True) -> list[np.ndarray]:
    """Return sequences such as log-mel gives: near in time and frequency, 22 +- 4 octaves."""
    rng = np.random.default_rng(seed)
    found = []
    for t in rng.integers(lengths[0], lengths[1] + 1, size=n):
        loudness = 4.0 * np.tanh(np.cumsum(rng.normal(size=(t, 1)), 0) / 3.0)
        octaves = loudness + 0.4 * np.cumsum(rng.normal(size=(t, d)), 1)
        found.append((22.0 + octaves if normalized else octaves / 4.0).astype(np.float32))
    return found


def oracle(w: Weights, x) -> tuple[np.ndarray, np.ndarray]:
    """Return the float64 states (T, H) and logits (T, C)."""
    return reference.fastgrnn(
        x, w=w.w, u=w.u, bias_gate=w.bias_gate, bias_update=w.bias_update, zeta=w.zeta, nu=w.nu,
        gate=w.gate, update=w.update, head=w.head, head_bias=w.head_bias, mean=w.mean,
        scale=w.scale)
