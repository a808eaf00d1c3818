"""`Outcomes`: what every level of a cascade answered, and what thresholds make of it.

A cascade has levels 0..n_levels - 1, cheapest first. A case leaves at the first level whose
confidence is greater than that level's threshold (strictly: Kusupati et al. 2022,
arXiv:2205.13147, adaptive classification); the last level always answers.

Thresholds are float32 and are compared with float32 confidences, so that a C core makes the
very same decisions. `inf` means that no case leaves at this level, `-inf` that every case does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk.errors import ShapeError

Thresholds = NDArray[np.float32]
"""One for each level but the last, shape (n_levels - 1,)."""

Levels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Applied:
    """What a cascade does to a set of cases, in fractions of them.

    Attributes:
        accuracy: Cases the cascade answers right.
        mean_cost: Mean of the costs of the levels that answered, in the unit of `costs`.
        fractions: (n_levels,) float64, cases that leave at each level; their sum is 1.
        full_accuracy: Cases the last level answers right.
        loss: full_accuracy - accuracy; negative where the cascade is the better one.
        harmed: Cases the last level answers right and the cascade wrong.
        helped: Cases the last level answers wrong and the cascade right.
    """

    accuracy: float
    mean_cost: float
    fractions: NDArray[np.float64]
    full_accuracy: float
    loss: float
    harmed: float
    helped: float


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Answers and confidences of every level on n labelled cases.

    Attributes:
        predictions: (n, n_levels) int64, class ids.
        confidences: (n, n_levels) float32, larger is surer; infinite is allowed, NaN is not.
        labels: (n,) int64, the right class ids.
        costs: (n_levels,) float64: what a case costs that leaves at that level, finite, not
            negative and never less than at the level before. The caller decides what it is:
            the dim used, as published for MRL, or the milliseconds of all levels up to it.

    Raises:
        ShapeError: Another shape or dtype, no case, no level, NaN, or costs that fall.
    """

    predictions: NDArray[np.int64]
    confidences: NDArray[np.float32]
    labels: NDArray[np.int64]
    costs: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check(self.predictions, "predictions", np.int64, (None, None))
        n, n_levels = self.predictions.shape
        if n == 0 or n_levels == 0:
            raise ShapeError("one case and one level at least", str([n, n_levels]),
                             where="`predictions`", hint="pass cases the levels have answered")
        _check(self.confidences, "confidences", np.float32, (n, n_levels))
        _check(self.labels, "labels", np.int64, (n,))
        _check(self.costs, "costs", np.float64, (n_levels,))
        if np.isnan(self.confidences).any():
            case, level = (int(i) for i in np.argwhere(np.isnan(self.confidences))[0])
            raise ShapeError("confidences without NaN", f"NaN for case {case}, level {level}",
                             where="`confidences`", hint="look where the model makes NaN")
        steps = np.diff(np.where(np.isfinite(self.costs), self.costs, -1.0), prepend=0.0)
        if (steps < 0).any():
            raise ShapeError("finite costs from 0 up that never fall from level to level",
                             str(self.costs.tolist()), where="`costs`",
                             hint="order the levels cheapest first")

    @property
    def n(self) -> int:
        """Number of cases."""
        return len(self.labels)

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.costs)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each level is right, shape (n, n_levels)."""
        right: NDArray[np.bool_] = self.predictions == self.labels[:, None]
        return right

    def leave(self, thresholds: ArrayLike) -> Levels:
        """Return the level each case leaves at, shape (n,) int64.

        Args:
            thresholds: (n_levels - 1,), rounded to float32; see the module.

        Raises:
            ShapeError: Another number of thresholds, or NaN.
        """
        limits = as_thresholds(thresholds, self.n_levels)
        leaves = np.ones((self.n, self.n_levels), bool)
        np.greater(self.confidences[:, :-1], limits, out=leaves[:, :-1])
        # The first true; the last level is always true.
        levels: Levels = leaves.argmax(axis=1).astype(np.int64)
        return levels

    def losses(self, thresholds: ArrayLike) -> NDArray[np.int64]:
        """Return 1[last level right] - 1[cascade right] of each case, shape (n,), in {-1, 0, 1}.

        Raises:
            ShapeError: As in `leave`.
        """
        level, correct = self.leave(thresholds), self.correct
        cascade = correct[np.arange(self.n), level]
        losses: NDArray[np.int64] = correct[:, -1].astype(np.int64) - cascade
        return losses

    def apply(self, thresholds: ArrayLike) -> Applied:
        """Return accuracy and cost of the cascade with these thresholds.

        Raises:
            ShapeError: As in `leave`.
        """
        level, correct = self.leave(thresholds), self.correct
        cascade, full = correct[np.arange(self.n), level], correct[:, -1]
        counts = np.bincount(level, minlength=self.n_levels)
        # Differences of counts, not of fractions: equal counts give a loss of exactly 0.
        return Applied(
            accuracy=int(cascade.sum()) / self.n,
            mean_cost=float(counts @ self.costs) / self.n,
            fractions=counts / self.n,
            full_accuracy=int(full.sum()) / self.n,
            loss=(int(full.sum()) - int(cascade.sum())) / self.n,
            harmed=int((full & ~cascade).sum()) / self.n,
            helped=int((cascade & ~full).sum()) / self.n,
        )

    def take(self, index: ArrayLike) -> Outcomes:
        """Return the cases of `index` (ids, with repetitions if wished, or a mask) in that order.

        Raises:
            ShapeError: No case is left, or an id is out of range.
        """
        chosen = np.asarray(index)
        try:
            return Outcomes(self.predictions[chosen], self.confidences[chosen],
                            self.labels[chosen], self.costs)
        except IndexError as error:
            raise ShapeError(f"ids below {self.n}, or a mask (n,)", str(error), where="`index`",
                             hint="number the cases from 0") from error


def never(n_levels: int) -> Thresholds:
    """Return the thresholds at which every case runs to the last level."""
    return np.full(n_levels - 1, np.inf, np.float32)


def as_thresholds(thresholds: ArrayLike, n_levels: int) -> Thresholds:
    """Return thresholds as float32, shape (n_levels - 1,).

    Raises:
        ShapeError: Another number of them, or NaN.
    """
    array = np.asarray(thresholds, np.float32)
    if array.shape != (n_levels - 1,):
        raise ShapeError(f"{n_levels - 1} thresholds, one for each level but the last",
                         str(list(array.shape)), where="`thresholds`",
                         hint="the last level always answers and has none")
    if np.isnan(array).any():
        raise ShapeError("thresholds without NaN", str(array.tolist()), where="`thresholds`",
                         hint="inf means that no case leaves at that level")
    return array


def _check(array: Any, name: str, dtype: type, shape: tuple[int | None, ...]) -> None:
    sizes = ", ".join("n" if size is None else str(size) for size in shape)
    wanted = f"{np.dtype(dtype).name}, shape ({sizes})"
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = str(array.dtype) if isinstance(array, np.ndarray) else type(array).__name__
        raise ShapeError(wanted, got, where=f"`{name}`", hint="convert it once, where it is made")
    fits = len(array.shape) == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        raise ShapeError(wanted, str(list(array.shape)), where=f"`{name}`",
                         hint="one row for each case, one column for each level")
