"""Thresholds of a cascade as published for MRL: each adjacent pair of levels by itself.

Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022
(arXiv:2205.13147), adaptive classification. For levels i and i + 1 a grid of thresholds on the
largest softmax is tried, and the smallest one that reaches the best accuracy of that cascade
of two is kept. Nothing is promised about cases that were not seen: see `risk` for that.

Their expected dimension counts the dim that was USED, not the dims of all levels run on the
way: it is `Applied.mean_cost` of outcomes whose costs are the dims.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk.cascade.outcomes import Outcomes, Thresholds
from edge_sdk.errors import ShapeError

GRID_START, GRID_STOP, GRID_SIZE = 0.1, 1.0, 100


def published_grid() -> Thresholds:
    """Return the published grid, linspace(0.1, 1, 100), as float32."""
    return np.linspace(GRID_START, GRID_STOP, GRID_SIZE).astype(np.float32)


def learn(outcomes: Outcomes, *, grid: ArrayLike | None = None) -> Thresholds:
    """Return the published thresholds for these outcomes.

    O((n + len(grid)) log n) for each pair; accuracies are compared as exact counts.

    Args:
        outcomes: At least one level.
        grid: Candidate thresholds, in any order; None is `published_grid()`.

    Returns:
        (n_levels - 1,) float32, each from the grid.

    Raises:
        ShapeError: The grid is empty, not one-dimensional, or holds NaN.
    """
    candidates = np.asarray(published_grid() if grid is None else grid, np.float32)
    if candidates.ndim != 1 or candidates.size == 0 or np.isnan(candidates).any():
        raise ShapeError("a grid (n,) of thresholds, n > 0, without NaN",
                         str(list(candidates.shape)), where="`grid`",
                         hint="leave it out for the published one")
    candidates = np.unique(candidates)
    correct = outcomes.correct
    found = [_best(outcomes.confidences[:, level], correct[:, level], correct[:, level + 1],
                   candidates) for level in range(outcomes.n_levels - 1)]
    return np.array(found, np.float32)


def _best(confidence: NDArray[np.float32], here: NDArray[np.bool_], later: NDArray[np.bool_],
          candidates: Thresholds) -> np.float32:
    """Return the smallest candidate, of ascending ones, with the most right answers."""
    order = np.argsort(confidence)
    # Of the cases sorted by confidence, the first `stay[j]` are not above candidate j.
    stay = np.searchsorted(confidence[order], candidates, side="right")
    # Right answers gained by staying, for every number of cases that stay.
    gained = np.concatenate([[0], np.cumsum(later[order].astype(np.int64) - here[order])])
    # argmax returns the first, which is the smallest threshold.
    best: np.float32 = candidates[gained[stay].argmax()]
    return best
