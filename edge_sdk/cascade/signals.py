"""Confidence signals: how sure a level is of its answer, larger is surer.

Slow and obvious, in float64: the oracles of what a device computes. Cast to float32 for
`Outcomes`.

`max_softmax` is the signal of MRL's cascades (Kusupati et al. 2022, arXiv:2205.13147).
`agreement` needs two levels of a cascade, `llc_margin` the distances of a code index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk.errors import ShapeError

Array = NDArray[np.float64]


def max_softmax(logits: ArrayLike) -> Array:
    """Return the largest softmax probability, in [1 / classes, 1].

    Args:
        logits: (n, classes), finite; -inf is allowed for classes that are ruled out.

    Returns:
        (n,) float64.

    Raises:
        ShapeError: Another shape, NaN, +inf, or a row of -inf alone.
    """
    largest: Array = _softmax(logits).max(axis=1)
    return largest


def margin(logits: ArrayLike) -> Array:
    """Return the probability of the first class less that of the second, in [0, 1].

    One class alone has the margin 1. Arguments and errors as in `max_softmax`.
    """
    p = np.sort(_softmax(logits), axis=1)
    second = p[:, -2] if p.shape[1] > 1 else np.zeros(len(p))
    out: Array = p[:, -1] - second
    return out


def entropy(logits: ArrayLike) -> Array:
    """Return 1 - H / log(classes), H = -sum p log p: 1 is certain, 0 is uniform.

    One class alone is certain. Arguments and errors as in `max_softmax`.
    """
    p = _softmax(logits)
    if p.shape[1] == 1:
        return np.ones(len(p))
    # p log p tends to 0 with p.
    nats = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)
    # Rounding may leave the interval by an ulp.
    out: Array = np.clip(1.0 - nats / np.log(p.shape[1]), 0.0, 1.0)
    return out


def agreement(predictions: ArrayLike, confidences: ArrayLike) -> Array:
    """Return confidences that count only where the level before gave the same class.

    Level 0 has no level before: its confidence is 0, and with a threshold of 0 or more
    no case leaves there. So is every confidence without agreement. Confidences are
    meant to be 0 or more; a negative one would otherwise be surer for disagreeing.

    Args:
        predictions: (n, n_levels), class ids.
        confidences: (n, n_levels), 0 or more.

    Returns:
        (n, n_levels) float64.

    Raises:
        ShapeError: The shapes differ, or a confidence is negative or NaN.
    """
    classes, sure = np.asarray(predictions), np.asarray(confidences, np.float64)
    if classes.ndim != 2 or classes.shape != sure.shape:
        raise ShapeError("predictions and confidences (n, n_levels)",
                         f"{list(classes.shape)} and {list(sure.shape)}",
                         where="`predictions`", hint="one column for each level")
    if not (sure >= 0).all():
        raise ShapeError("confidences of 0 or more", "a negative one or NaN",
                         where="`confidences`", hint="pass probabilities, or clip at 0")
    out = np.zeros_like(sure)
    same = classes[:, 1:] == classes[:, :-1]
    out[:, 1:][same] = sure[:, 1:][same]
    return out


def llc_margin(distance: ArrayLike, runner_up: ArrayLike, bits: int) -> Array:
    """Return (runner_up - distance) / bits: by how much of a code the second class is farther.

    Args:
        distance: (n,) Hamming distances of the nearest class.
        runner_up: (n,) those of the next other class, not smaller.
        bits: Length of the codes.

    Returns:
        (n,) float64; 0 on a tie.

    Raises:
        ShapeError: The shapes differ, a runner-up is nearer, or `bits` is below 1.
    """
    near, next_ = np.asarray(distance, np.float64), np.asarray(runner_up, np.float64)
    if near.ndim != 1 or near.shape != next_.shape or not (next_ >= near).all():
        raise ShapeError("distances (n,) and runners-up (n,) that are not nearer",
                         f"{list(near.shape)} and {list(next_.shape)}", where="`runner_up`",
                         hint="pass `distances` and `runners_up` of one decode")
    if bits < 1:
        raise ShapeError("1 bit or more", str(bits), where="`bits`", hint="pass the codes' length")
    return (next_ - near) / bits


SIGNALS: Mapping[str, Callable[..., Array]] = MappingProxyType({
    "max_softmax": max_softmax,
    "margin": margin,
    "entropy": entropy,
    "agreement": agreement,
    "llc_margin": llc_margin,
})
"""Every signal by its name."""


def _softmax(logits: ArrayLike) -> Array:
    z = np.asarray(logits, np.float64)
    if z.ndim != 2 or z.shape[1] == 0:
        raise ShapeError("logits (n, classes)", str(list(z.shape)), where="`logits`",
                         hint="one row for each case")
    if np.isnan(z).any() or not np.isfinite(z.max(axis=1)).all():
        raise ShapeError("logits with a finite largest one in each row", "NaN or infinity",
                         where="`logits`", hint="look where the model makes NaN or infinity")
    with np.errstate(over="ignore"):  # a difference of -inf has the power 0, as it should
        powers = np.exp(z - z.max(axis=1, keepdims=True))
    out: Array = powers / powers.sum(axis=1, keepdims=True)
    return out
