"""Medians, ratios and how far they may be believed.

A run starts each file's process several times: these are the passes. In each pass all files
take turns, round by round. Rounds of one process agree better with one another than with those
of the next process, whose memory lies elsewhere, and than with those a minute later. So the
spread is taken between passes, whose variation holds that of rounds too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.99
"""That a rerun's value lies in the interval. High, as a table has a dozen of them."""

# Student's t at 99.5 %, by degrees of freedom: two-sided 99 %.
T_995 = (63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055,
         3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797,
         2.787, 2.779, 2.771, 2.763, 2.756, 2.750)

QUANTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
TAIL = 5
"""A quantile is told if this many samples lie beyond it, or it is the median."""

LEAST_HALF = 0.02
"""An interval reaches at least this far to each side, as a logarithm: 2 %.

A quiet run does not make the next one quiet. Four runs of this command on matvit-digits for the
three engines, on a shared x86-64 machine: the ratios' standard deviation over runs was 0.5 %, by
which 99 % of two runs' differences lie within 1.7 %; one run's passes alone promised 0.13 %.
"""

MOST_LOG = 50.0
"""A wider spread, as a logarithm, is none."""

MEDIAN = math.sqrt(math.pi / 2)
"""How much more the median of normal numbers varies than their mean, for many of them."""

UNREST = 1.25
"""Passes that differ more than so had something else running beside them."""

SETTLED = 0.05
"""Warm enough: a block's median is at most this much below that of the block before."""

Passes = Sequence[Sequence[float]]
"""The rounds' medians, in ms, pass by pass."""


@dataclass(frozen=True)
class Estimate:
    """A value and the interval that a rerun's value lies in, with `CONFIDENCE`.

    `low` and `high` are None where one pass alone was run, or passes have nothing in common:
    nothing is known of the next.
    """

    value: float
    low: float | None
    high: float | None

    def holds(self, value: float) -> bool:
        """Return whether a rerun's value lies within; any does if nothing is known."""
        return self.low is None or self.high is None or self.low <= value <= self.high


def quantiles(samples: Sequence[float]) -> dict[int, float | None]:
    """Return percentiles of samples by linear interpolation; None where too few lie beyond."""
    ordered = sorted(samples)
    n = len(ordered)
    found: dict[int, float | None] = {}
    for percent in QUANTILES:
        beyond = n * min(percent, 100 - percent) / 100
        told = n > 0 and (percent == 50 or beyond >= TAIL)
        found[percent] = _at(ordered, percent / 100) if told else None
    return found


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def level(passes: Passes) -> Estimate:
    """Return a row's latency: the median of its passes' medians, in ms."""
    return _rerun([math.log(statistics.median(rounds)) for rounds in passes])


def ratio(base: Passes, other: Passes) -> Estimate:
    """Return how many times as long `other` takes as `base`, measured in the same rounds.

    The two stand side by side in each round, so what slows the machine for a while slows both.
    """
    return _rerun([statistics.median(math.log(b / a) for a, b in zip(one, two, strict=True))
                   for one, two in zip(base, other, strict=True)])


def noise(passes: Passes) -> float | None:
    """Return by how much, as a share, a row's latency may differ from the true one; or None."""
    logs = [math.log(statistics.median(rounds)) for rounds in passes]
    return None if len(logs) < 2 else _half(logs)


def unrest(passes: Passes) -> float:
    """Return how many times as long the slowest pass took as the fastest, by their medians."""
    medians = [statistics.median(rounds) for rounds in passes]
    return max(medians) / min(medians)


def _rerun(logs: Sequence[float]) -> Estimate:
    # Not the mean: a neighbour that takes half of a core during one pass, as happens on shared
    # machines, would move it, and engines suffer from that unequally.
    middle = statistics.median(logs)
    if len(logs) < 2:
        return Estimate(math.exp(middle), None, None)
    # The rerun's value varies as much as this one: their difference has twice the variance.
    half = max(_half(logs) * math.sqrt(2), LEAST_HALF)
    if half > MOST_LOG:
        return Estimate(math.exp(middle), None, None)
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def _half(logs: Sequence[float]) -> float:
    n = len(logs)
    return student(n - 1) * MEDIAN * statistics.stdev(logs) / math.sqrt(n)


def student(freedom: int) -> float:
    """Return the 99.5 % quantile of Student's t; beyond the table that of 30, which is wider."""
    return T_995[min(freedom, len(T_995)) - 1]


def warm_up(
    call: Callable[[], object], *, clock: Callable[[], float], least: int = 5,
    block_s: float = 0.02, least_s: float = 0.1, most_s: float = 2.0, most: int = 100_000,
) -> tuple[int, float]:
    """Call until the latency falls no more, and return (calls made, the last block's median, s).

    Blocks of at least `least` calls and `block_s` are compared by their medians. It takes
    `least_s` at least, and ends after `most_s` or `most` calls at the latest.
    """
    start, before, n = clock(), math.inf, 0
    while True:
        block: list[float] = []
        first = clock()
        while len(block) < least or clock() - first < block_s:
            begun = clock()
            call()
            block.append(clock() - begun)
            n += 1
            if n >= most:
                break
        now = statistics.median(block)
        taken_s = clock() - start
        if n >= most or taken_s >= most_s or (
                taken_s >= least_s and now >= before * (1 - SETTLED)):
            return n, now
        before = now
