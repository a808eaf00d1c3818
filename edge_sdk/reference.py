"""Slow, obvious NumPy oracles in float64: what the fast code is tested against.

Each says its equation in one line and takes no short cut: a narrower network is
the whole one with units set to zero, not a slice. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
