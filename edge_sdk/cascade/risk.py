"""Thresholds with a promise: at most epsilon accuracy lost against the full model.

`control` returns thresholds whose true loss, full accuracy less the cascade's accuracy on the
population the calibration cases were drawn from, is at most epsilon with probability
1 - delta over the draw of the calibration set. It holds for every number of cases and whatever
the confidences are worth, as long as the cases are independent draws from that population.

Sources:
    Learn then Test: Angelopoulos et al. 2021, arXiv:2110.01052, with fixed-sequence testing.
    Pareto testing: Laufer-Goldenberg et al. 2022, arXiv:2210.07913. A path of candidates is
    laid on one part of the calibration set and tested on the other, from the most conservative
    to the cheapest; testing ends at the first candidate that is not rejected, and the last
    rejected one is the answer. Every path that has not seen the tested part is valid.
    Betting: Waudby-Smith & Ramdas 2020, arXiv:2010.09686.

The loss of a case is Z = 1[last level right] - 1[cascade right], in {-1, 0, 1}. A candidate is
rejected as too risky unless a p-value of "E[Z] > epsilon" is at most delta:
    "harm" counts Z = 1 alone, whose share bounds E[Z], with the exact binomial tail;
    "betting" also profits from Z = -1, cases which only the cascade answers right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk.cascade.outcomes import Outcomes, Thresholds, never
from edge_sdk.errors import CalibrationError, ShapeError

Method = Literal["auto", "harm", "betting"]
_Array = NDArray[np.float64]

SPLIT = 0.5
N_STEPS = 32
# How the path prices a step; they change what is saved, never the promise (see `path`).
HELPED_WEIGHT = 0.25
DOUBT = 0.25
N_BETS = 200
NEVER_EARLY = "no threshold could be proved safe: every case runs to the last level"


@dataclass(frozen=True, eq=False)
class Controlled:
    """Thresholds, and what was promised and seen.

    Attributes:
        thresholds: (n_levels - 1,) float32; see `outcomes`.
        epsilon: Accuracy lost at most, a fraction of cases.
        delta: Probability, over calibration sets, that more is lost.
        n: Calibration cases.
        n_chosen: Those the path was laid on.
        n_tested: Those it was tested on.
        method: "harm" or "betting".
        p_value: Of the hypothesis that more than epsilon is lost with these thresholds.
            0 where no case leaves early: then nothing is lost, for certain.
        loss: Accuracy lost on the tested part; negative where the cascade is better.
        mean_cost: On the tested part, in the unit of the outcomes' costs.
        full_cost: What a case costs that runs to the last level.
        note: What a reader should know besides; empty if nothing.
    """

    thresholds: Thresholds
    epsilon: float
    delta: float
    n: int
    n_chosen: int
    n_tested: int
    method: str
    p_value: float
    loss: float
    mean_cost: float
    full_cost: float
    note: str


def control(
    outcomes: Outcomes, *, epsilon: float, delta: float, seed: int = 0, method: Method = "auto",
    split: float = SPLIT, n_steps: int = N_STEPS,
) -> Controlled:
    """Return the cheapest thresholds found that keep the promise.

    Args:
        outcomes: Calibration cases that the levels were not trained on.
        epsilon: Accuracy lost at most, in (0, 1): 0.01 is one case in a hundred.
        delta: Probability that more is lost, in (0, 1).
        seed: Of the split into two parts, and of the order in which bets are made. Settle
            seed and method beforehand: the best of several answers keeps no promise.
        method: "harm", "betting", or "auto": the one which saves more on the choosing part.
        split: Share of the cases the path is laid on, in (0, 1).
        n_steps: Candidate thresholds of each level, quantiles of its confidences.

    Raises:
        CalibrationError: Too few cases for epsilon and delta whatever they show, one class
            alone, or a last level that is never right.
        ShapeError: An argument is out of range, or there is one level alone.
    """
    _check_arguments(outcomes, epsilon, delta, method, split, n_steps)
    n_chosen = round(split * outcomes.n)
    n_tested = outcomes.n - n_chosen
    _check_cases(outcomes, n_chosen, n_tested, epsilon=epsilon, delta=delta, split=split)
    order = np.random.default_rng(seed).permutation(outcomes.n)
    choosing, testing = outcomes.take(order[:n_chosen]), outcomes.take(order[n_chosen:])

    trials = {name: _Trial(name, choosing, n_tested, epsilon, delta, n_steps)
              for name in (P_VALUES if method == "auto" else (method,))}
    trial = trials[method] if method != "auto" else min(
        trials.values(), key=lambda trial: trial.rehearsed_cost())
    thresholds, p_value = trial.run(testing)
    applied = testing.apply(thresholds)
    return Controlled(
        thresholds=thresholds, epsilon=epsilon, delta=delta, n=outcomes.n, n_chosen=n_chosen,
        n_tested=n_tested, method=trial.method, p_value=p_value, loss=applied.loss,
        mean_cost=applied.mean_cost, full_cost=float(outcomes.costs[-1]),
        note=NEVER_EARLY if np.isposinf(thresholds).all() else "",
    )


def least_cases(epsilon: float, delta: float) -> int:
    """Return how many tested cases are needed if none is harmed: (1 - epsilon)^n <= delta."""
    return math.ceil(math.log(delta) / math.log1p(-epsilon))


def binomial_tail(successes: int, n: int, p: float) -> float:
    """Return P(X <= successes) for X ~ Binomial(n, p), by a sum of logarithms.

    Exact but for rounding, about 1e-15 n log n relative.

    Args:
        successes: Below 0 gives 0, n and above gives 1.
        n: Trials, 0 or more.
        p: In (0, 1).
    """
    if successes < 0:
        return 0.0
    if successes >= n:
        return 1.0
    log_p, log_q, log_n = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    terms = [log_n - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q
             for k in range(successes + 1)]
    top = max(terms)
    return min(1.0, math.exp(top) * math.fsum(math.exp(term - top) for term in terms))


def harm_p_value(losses: ArrayLike, *, epsilon: float, delta: float, past: ArrayLike = ()) -> float:
    """Return the binomial p-value of "E[Z] > epsilon" from the harmed cases.

    E[Z] <= P(Z = 1), so E[Z] > epsilon makes the number of harmed cases stochastically larger
    than Binomial(n, epsilon), and the tail at the number seen is a p-value.

    Args:
        losses: (n,) in {-1, 0, 1}, the tested cases.
        epsilon: In (0, 1).
        delta: Not used; every method takes the same arguments.
        past: Not used.
    """
    z = np.asarray(losses)
    return binomial_tail(int((z > 0).sum()), len(z), epsilon)


def betting_p_value(
    losses: ArrayLike, *, epsilon: float, delta: float, past: ArrayLike = ()
) -> float:
    """Return the betting p-value of "E[Z] > epsilon": one over the largest capital.

    Capital starts at 1 and is multiplied by 1 + b (epsilon - Z) with each case, b >= 0. If
    E[Z] >= epsilon it is expected never to grow, and by Ville's inequality it ever reaches
    1 / delta with probability delta at most. The bet b is settled before the first tested
    case is seen: see `best_bet`.

    Args:
        losses: (n,) in {-1, 0, 1}, the tested cases in the order of the bets.
        epsilon: In (0, 1).
        delta: The level the bet aims at; the p-value is valid at every level.
        past: Losses of cases that are not tested. They tell how often Z = -1 may be hoped
            for; without any, never.
    """
    z, before = np.asarray(losses, np.float64), np.asarray(past)
    if not len(z):
        return 1.0
    helped = float((before < 0).mean()) if len(before) else 0.0
    bet = best_bet(len(z), epsilon=epsilon, delta=delta, helped=helped)
    capital = np.cumsum(np.log1p(bet * (epsilon - z)))
    return min(1.0, math.exp(-float(capital.max())))


def best_bet(n: int, *, epsilon: float, delta: float, helped: float) -> float:
    """Return the bet that reaches 1 / delta in n cases in spite of the most harmed ones.

    With a share `helped` of cases Z = -1 and `harmed` of Z = 1, n cases multiply the capital by
    exp(n (harmed log(1 - b (1 - epsilon)) + helped log(1 + b (1 + epsilon))
    + (1 - harmed - helped) log(1 + b epsilon))). That is 1 / delta for one `harmed`,
    which is linear; the b with the largest is returned, from an even grid.

    Args:
        n: Tested cases, 1 or more.
        epsilon: In (0, 1).
        delta: In (0, 1).
        helped: In [0, 1], as far as can be guessed.

    Returns:
        Above 0 and below 1 / (1 - epsilon), where one harmed case would be ruin.
    """
    bets = np.arange(1, N_BETS) / N_BETS / (1.0 - epsilon)
    harm = np.log1p(-bets * (1.0 - epsilon))
    help_, same = np.log1p(bets * (1.0 + epsilon)), np.log1p(bets * epsilon)
    spare = helped * help_ + (1.0 - helped) * same - math.log(1.0 / delta) / n
    return float(bets[(spare / (same - harm)).argmax()])


# Where both save alike in rehearsal, "auto" takes the first.
P_VALUES: dict[str, Callable[..., float]] = {"betting": betting_p_value, "harm": harm_p_value}
"""Every method's p-value; each is valid for every number of cases."""


class _Trial:
    """One method: its path, laid on the choosing part, and its fixed-sequence test."""

    def __init__(self, method: str, choosing: Outcomes, n_tested: int, epsilon: float,
                 delta: float, n_steps: int) -> None:
        self.method, self.choosing, self.n_tested = method, choosing, n_tested
        self.epsilon, self.delta = epsilon, delta
        self.candidates = path(choosing, n_steps=n_steps,
                               helped_weight=0.0 if method == "harm" else HELPED_WEIGHT)

    def run(self, testing: Outcomes) -> tuple[Thresholds, float]:
        """Return the last candidate rejected before one is not, and its p-value."""
        # At the first candidate nothing is lost, which needs no test.
        best, best_p = self.candidates[0], 0.0
        for thresholds in self.candidates[1:]:
            p = P_VALUES[self.method](
                testing.losses(thresholds), epsilon=self.epsilon, delta=self.delta,
                past=self.choosing.losses(thresholds))
            if p > self.delta:
                break
            best, best_p = thresholds, p
        return best, best_p

    def rehearsed_cost(self) -> float:
        """Return the mean cost if the choosing part, repeated, were the tested one."""
        as_many = self.choosing.take(np.resize(np.arange(self.choosing.n), self.n_tested))
        return self.choosing.apply(self.run(as_many)[0]).mean_cost


def path(
    outcomes: Outcomes, *, n_steps: int = N_STEPS, helped_weight: float = HELPED_WEIGHT
) -> list[Thresholds]:
    """Return candidates from "never leave early" to "leave at the first level".

    Greedy: each step lowers the one threshold, to any of its candidate values, that costs least
    for what it saves: (harmed - helped_weight helped + DOUBT sqrt(changed + 1)) / cost saved.
    Harmed and helped are the cases it adds of each, changed are those that count. The cheapest
    looking step is also the luckiest: so helped cases count less than they seem to, and the
    square root, the size of chance, makes small steps prove themselves.

    Along the path no threshold rises and the mean cost of these outcomes falls.

    Args:
        outcomes: Two levels at least.
        n_steps: Candidate thresholds of each level.
        helped_weight: 0 counts harmed cases alone, as the p-value "harm" does.

    Returns:
        Each (n_levels - 1,) float32. Levels that cost what the first costs may stay unused.
    """
    walk = _Walk(outcomes, n_steps, helped_weight)
    found = [never(outcomes.n_levels)]
    while walk.step():
        found.append(walk.thresholds())
    return found


class _Walk:
    """A state of the greedy path: each level's threshold, and where each case leaves."""

    def __init__(self, outcomes: Outcomes, n_steps: int, helped_weight: float) -> None:
        n_early = outcomes.n_levels - 1
        self.costs = outcomes.costs
        sure = outcomes.confidences[:, :-1]
        # Observed values, ascending: at the first every case leaves, at the last none.
        ranks = np.arange(n_steps + 1) * (outcomes.n - 1) // n_steps
        self.grid = np.sort(sure, axis=0)[ranks].T.copy()
        self.grid[:, 0], self.grid[:, -1] = -np.inf, np.inf
        # A case leaves at a level whose position in the grid is below the case's bin.
        self.bins = np.stack(
            [np.searchsorted(values, sure[:, i]) for i, values in enumerate(self.grid)], axis=1)
        self.position = np.full(n_early, n_steps)
        self.level = np.full(outcomes.n, n_early)
        correct = outcomes.correct
        loss = correct[:, -1:].astype(np.float64) - correct
        self.loss = np.where(loss < 0, helped_weight * loss, loss)

    def thresholds(self) -> Thresholds:
        """Return the thresholds of this state."""
        chosen: Thresholds = self.grid[np.arange(len(self.grid)), self.position]
        return chosen

    def step(self) -> bool:
        """Lower the threshold that costs least for what it saves; False if none saves."""
        saved, added, changed = self._moves()
        useful = saved > 0
        if not useful.any():
            return False
        price = (added + DOUBT * np.sqrt(changed + 1.0)) / np.where(useful, saved, 1.0)
        best = int(np.where(useful, price, np.inf).argmin())
        level, position = divmod(best, price.shape[1])
        leaves = (self.level > level) & (self.bins[:, level] > position)
        self.level[leaves] = level
        self.position[level] = position
        return True

    def _moves(self) -> tuple[_Array, _Array, _Array]:
        """Return cost saved, loss added and answers changed by every single move.

        Each (n_levels - 1, n_steps + 1): by lowering one level's threshold to one position.
        """
        n_early, n_bins = self.grid.shape[0], self.grid.shape[1] + 1
        reaches = self.level[:, None] > np.arange(n_early)
        cell = (self.bins + np.arange(n_early) * n_bins)[reaches]
        now = self.loss[np.arange(len(self.loss)), self.level]
        saved = (self.costs[self.level][:, None] - self.costs[:-1])[reaches]
        added = (self.loss[:, :-1] - now[:, None])[reaches]

        def beyond(weights: _Array) -> _Array:
            """Sum over the bins above each position."""
            sums = np.bincount(cell, weights, minlength=n_early * n_bins)
            total: _Array = sums.reshape(n_early, n_bins)[:, :0:-1].cumsum(axis=1)[:, ::-1]
            return total

        return beyond(saved), beyond(added), beyond((added != 0).astype(np.float64))


def _check_arguments(outcomes: Outcomes, epsilon: float, delta: float, method: str, split: float,
                     n_steps: int) -> None:
    for name, value in (("epsilon", epsilon), ("delta", delta), ("split", split)):
        if not 0.0 < value < 1.0:
            raise ShapeError("a fraction between 0 and 1", str(value), where=f"`{name}`",
                             hint="for example epsilon=0.01, delta=0.1, split=0.5")
    if method not in ("auto", *P_VALUES):
        raise ShapeError(f"one of auto, {', '.join(P_VALUES)}", repr(method), where="`method`",
                         hint="auto chooses for you")
    if n_steps < 1:
        raise ShapeError("one step or more", str(n_steps), where="`n_steps`",
                         hint=f"the default is {N_STEPS}")
    if outcomes.n_levels < 2:
        raise ShapeError("two levels or more", str(outcomes.n_levels), where="`outcomes`",
                         hint="one level alone needs no thresholds")


def _check_cases(outcomes: Outcomes, n_chosen: int, n_tested: int, *, epsilon: float, delta: float,
                 split: float) -> None:
    """Refuse what could never keep the promise, and say how many cases would."""
    least = least_cases(epsilon, delta)
    if n_tested < least or n_chosen < 1:
        total = max(least, math.ceil((least - 0.5) / (1.0 - split)) - 1, math.ceil(0.5 / split))
        while total - round(split * total) < least or round(split * total) < 1:
            total += 1
        raise CalibrationError(
            f"{total} calibration cases for epsilon={epsilon:g} and delta={delta:g}",
            f"{outcomes.n}, of which {n_tested} are tested and {least} must be",
            where="`outcomes`", hint="collect more cases, or ask for a larger epsilon or delta")
    if len(np.unique(outcomes.labels)) < 2:
        raise CalibrationError("cases of two classes or more", "one class", where="`labels`",
                               hint="draw cases as the device will meet them")
    if not outcomes.correct[:, -1].any():
        raise CalibrationError("a last level that is right now and then", "one that never is",
                               where="`predictions`", hint="compare class ids with the labels")
