"""How large a FastGRNN's numbers become: what the integer form chooses its bits by. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import CalibrationError, ShapeError
from edge_sdk.fastgrnn.weights import Weights

HEADROOM = 1.25
"""What is left above the largest value that was seen."""

_HIGHEST = 32767


@dataclass(frozen=True)
class Ranges:
    """The largest absolute values of each quantity."""

    features: float
    x: float
    wx: float
    uh: float
    h: float
    relu: float


def bits_for(largest: float) -> int:
    """Return the most bits, -16 to 30, with which `largest` fits int16."""
    if largest <= 0.0:
        return 15
    return max(-16, min(30, math.floor(math.log2(_HIGHEST / largest))))


def bounded(weights: Weights) -> Ranges:
    """Return bounds for features within 3 standard deviations and states below 4."""
    x = 3.0 if weights.mean is not None else 8.0
    state = 3.99

    def widest(factors: tuple[Any, ...], limit: float) -> float:
        return limit * float(np.abs(factors[0]).sum(axis=0).max())

    features = x
    if weights.mean is not None and weights.scale is not None:
        scale = np.maximum(np.abs(weights.scale.astype(np.float64)), 2.0**-20)
        features = float((np.abs(weights.mean) + 8.0 / scale).max())
    return Ranges(features=features, x=min(x, 7.99), wx=widest(weights.w, x),
                   uh=widest(weights.u, state), h=state / HEADROOM, relu=0.0)


def seen(weights: Weights, features: NDArray[Any] | Sequence[NDArray[Any]]) -> Ranges:
    """Return the largest values over sequences, by running the model in float64."""
    one = isinstance(features, np.ndarray) and features.ndim == 2
    sequences = [np.asarray(s, np.float64) for s in ([features] if one else features)]
    for s in sequences:
        if s.ndim != 2 or s.shape[1] != weights.n_inputs:
            raise ShapeError(f"sequences (T, {weights.n_inputs})", str(list(s.shape)),
                             where="`features`", hint="a row for each frame")
    if not any(map(len, sequences)) or not all(np.isfinite(s).all() for s in sequences):
        raise CalibrationError("finite frames", "none, or NaN or infinity", where="`features`",
                               hint="pass training sequences")
    found = Ranges(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for s in sequences:
        if len(s):
            now = _run(weights, s)
            found = Ranges(*(max(a, b) for a, b in zip(astuple(found), astuple(now), strict=True)))
    return found


def _run(weights: Weights, features: NDArray[np.float64]) -> Ranges:
    x = features
    if weights.mean is not None and weights.scale is not None:
        x = (features - weights.mean) * weights.scale
    first_u = weights.u[0].astype(np.float64)
    wx = x @ weights.w[0]
    h = np.zeros(weights.n_hidden)
    largest_h = largest_uh = largest_relu = 0.0
    for row in (wx @ weights.w[1] if len(weights.w) == 2 else wx):
        uh = h @ first_u
        p = row + (uh @ weights.u[1] if len(weights.u) == 2 else uh)
        z = _float(weights.gate, p + weights.bias_gate)
        c = _float(weights.update, p + weights.bias_update)
        h = z * h + (weights.zeta * (1.0 - z) + weights.nu) * c
        largest_h = max(largest_h, float(np.abs(h).max()))
        largest_uh = max(largest_uh, float(np.abs(uh).max()))
        for name, made in ((weights.gate, z), (weights.update, c)):
            if name == "relu":
                largest_relu = max(largest_relu, float(made.max()))
        if largest_h > 2.0**16:
            break  # Not bounded: refused by the caller.
    return Ranges(float(np.abs(features).max()), float(np.abs(x).max()),
                   float(np.abs(wx).max()), largest_uh, largest_h, largest_relu)


def _float(name: str, p: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = {
        "sigmoid": lambda: (1.0 + np.tanh(p / 2.0)) / 2.0,
        "tanh": lambda: np.tanh(p),
        "relu": lambda: np.maximum(p, 0.0),
        "quant_sigmoid": lambda: np.clip((p + 1.0) / 2.0, 0.0, 1.0),
        "quant_sigmoid4": lambda: np.clip((p + 2.0) / 4.0, 0.0, 1.0),
        "quant_tanh": lambda: np.clip(p, -1.0, 1.0),
    }[name]()
    return made
