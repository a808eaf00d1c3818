"""Medians, ratios and their spread, on times whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.bench import stats

PASSES, ROUNDS = 5, 10
times = st.floats(1e-4, 1e4)


def runs(rng, n, *, latency=1.0, between=0.02, within=0.02, drift=0.0, bursts=0.0):
    """Return n runs of one row: processes differ, rounds differ, the machine drifts, others run."""
    process = rng.normal(0, between, (n, PASSES, 1))
    rounds = rng.normal(0, within, (n, PASSES, ROUNDS))
    busy = (rng.random((n, PASSES, ROUNDS)) < bursts) * rng.exponential(0.5, (n, PASSES, ROUNDS))
    common = np.cumsum(rng.normal(0, drift, (n, PASSES * ROUNDS)), 1).reshape(rounds.shape)
    return latency * np.exp(process + rounds + busy + common)


@given(st.lists(times, min_size=1, max_size=300))
def test_quantiles_are_numpys_and_unknown_where_too_few_samples_lie_beyond(samples):
    found = stats.quantiles(samples)
    assert list(found) == list(stats.QUANTILES)
    for percent, value in found.items():
        beyond = len(samples) * min(percent, 100 - percent) / 100
        if percent != 50 and beyond < 5:
            assert value is None
        else:
            assert value == pytest.approx(float(np.percentile(samples, percent)), rel=1e-12)


def test_p99_needs_five_hundred_samples_and_the_median_one():
    assert stats.quantiles(range(1, 500))[99] is None
    assert stats.quantiles(range(1, 501))[99] is not None
    assert stats.quantiles([7.0])[50] == 7.0


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 29, 30])
def test_students_t_leaves_half_a_percent_on_each_side(freedom):
    # The density, integrated numerically in an angle that makes infinity finite: t = tan(a).
    angle = np.linspace(math.atan(stats.student(freedom)), math.pi / 2, 2_000_001)[:-1]
    t = np.tan(angle)
    density = (1 + t * t / freedom) ** (-(freedom + 1) / 2) * (1 + t * t)
    factor = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(
        freedom * math.pi)
    tail = factor * np.trapezoid(density, angle) if hasattr(np, "trapezoid") else \
        factor * np.trapz(density, angle)
    assert tail == pytest.approx(0.005, rel=2e-3)


def test_beyond_the_table_the_spread_is_rather_too_wide():
    assert stats.student(1000) == stats.T_995[-1] > 2.5758  # the normal distribution's


@pytest.mark.parametrize("noise", [
    {}, {"between": 0.05, "within": 0.002}, {"between": 0.0}, {"bursts": 0.3},
    {"between": 0.1, "within": 0.1, "drift": 0.01},
], ids=str)
def test_a_reruns_ratio_lies_within_the_spread(noise):
    rng = np.random.default_rng(0)
    n = 600
    base, other = (runs(rng, 2 * n, latency=latency, **noise) for latency in (1.0, 0.7))
    found = [stats.ratio(a, b) for a, b in zip(base, other, strict=True)]
    held = np.mean([one.holds(two.value) for one, two in
                    zip(found[:n], found[n:], strict=True)])
    # 99 % are promised; 600 draws of that leave the limits once in some thousands.
    assert held >= 0.975
    assert np.median([one.value for one in found]) == pytest.approx(0.7, rel=0.01)


def test_a_quiet_run_does_not_promise_that_a_noisier_rerun_is_as_quiet():
    rng = np.random.default_rng(3)
    loud = rng.choice([0.001, 0.01], (500, 2, 1, 1))  # each run has a noise of its own
    passes = rng.normal(0, 1, (500, 2, PASSES, 1)) * loud
    base, other = np.ones((500, 2, PASSES, ROUNDS)), np.exp(np.repeat(passes, ROUNDS, 3))
    found = [[stats.ratio(a, b) for a, b in zip(*pair, strict=True)]
             for pair in zip(base, other, strict=True)]
    assert np.mean([one.holds(two.value) for one, two in found]) >= 0.975
    # Without the least width it would not hold.
    bare = [abs(math.log(one.value / two.value)) <= stats._half(np.log(a[0])[:, 0]) * math.sqrt(2)
            for (one, two), a in zip(found, other, strict=True)]
    assert np.mean(bare) < 0.93


def test_a_spread_of_rounds_alone_would_have_promised_too_much():
    rng = np.random.default_rng(1)
    base, other = (runs(rng, 400, between=0.05, within=0.01) for _ in range(2))
    logs = np.log(other / base).reshape(400, -1)
    half = stats.student(30) * logs.std(1, ddof=1) * math.sqrt(2 / logs.shape[1])
    apart = np.abs(logs[:200].mean(1) - logs[200:].mean(1))
    assert np.mean(apart <= half[:200]) < 0.8


def test_the_spread_is_not_wider_than_the_noise_asks_for():
    rng = np.random.default_rng(2)
    pairs = zip(runs(rng, 300), runs(rng, 300), strict=True)
    widths = [math.log(found.high / found.low) / 2
              for found in (stats.ratio(a, b) for a, b in pairs)]
    # Passes vary by sqrt(2) times 2 %; a rerun's mean of five by 99 % of t with 4 degrees.
    assert 0.04 < np.median(widths) < 0.12


@given(st.lists(st.lists(times, min_size=3, max_size=3), min_size=2, max_size=6),
       st.floats(0.1, 10), st.data())
def test_what_slows_both_in_the_same_round_does_not_change_the_ratio(base, true, data):
    slower = data.draw(st.lists(st.lists(st.floats(0.5, 5), min_size=3, max_size=3),
                                min_size=len(base), max_size=len(base)))
    slowed = [[t * s for t, s in zip(rounds, by, strict=True)]
              for rounds, by in zip(base, slower, strict=True)]
    other = [[t * true for t in rounds] for rounds in slowed]
    found = stats.ratio(slowed, other)
    assert found.value == pytest.approx(true, rel=1e-9)
    # Passes agree, and still no interval is narrower than reruns are known to be.
    assert math.log(true / found.low) == pytest.approx(stats.LEAST_HALF, rel=1e-6)
    assert math.log(found.high / true) == pytest.approx(stats.LEAST_HALF, rel=1e-6)


@given(st.lists(st.tuples(times, times), min_size=2, max_size=8))
def test_the_ratio_the_other_way_round_is_its_inverse(pairs):
    one, two = [[a] for a, _ in pairs], [[b] for _, b in pairs]
    there, back = stats.ratio(one, two), stats.ratio(two, one)
    assert there.value * back.value == pytest.approx(1)
    assert (there.low is None) == (back.high is None)
    if there.low is not None:
        assert there.low * back.high == pytest.approx(1)


def test_passes_that_something_disturbed_move_neither_latency_nor_ratio():
    quiet, busy = [[1.0] * 3] * 3, [[1.8] * 3] * 2
    other = [[0.7] * 3] * 3 + [[0.9] * 3] * 2  # suffers less
    assert stats.level(quiet + busy).value == pytest.approx(1)
    found = stats.ratio(quiet + busy, other)
    assert found.value == pytest.approx(0.7)
    assert found.high - found.low > 0.1  # but it is told
    assert stats.unrest(quiet + busy) == pytest.approx(1.8)
    assert stats.unrest(quiet) < stats.UNREST < 1.8


def test_one_pass_says_nothing_of_the_next():
    alone = stats.ratio([[1.0, 1.0]], [[2.0, 2.0]])
    assert (alone.value, alone.low, alone.high) == (pytest.approx(2), None, None)
    assert alone.holds(17.0)
    assert stats.noise([[1.0]]) is None


def test_rounds_that_are_missing_on_one_side_are_refused():
    with pytest.raises(ValueError, match="zip"):
        stats.ratio([[1.0, 2.0]], [[1.0]])


class Clock:
    """Time that calls alone pass."""

    def __init__(self, latency):
        self.now_s, self.n, self.latency = 0.0, 0, latency

    def __call__(self):
        return self.now_s

    def call(self):
        self.now_s += self.latency(self.n)
        self.n += 1


def warm(latency, **limits):
    clock = Clock(latency)
    return clock, stats.warm_up(clock.call, clock=clock, **limits)


def test_warming_up_ends_when_the_latency_has_settled():
    clock, (n, last_s) = warm(lambda i: 1e-3 + 9e-3 * 0.95**i)
    assert n == clock.n > 60
    assert 1e-3 < last_s < 1.2e-3
    assert clock.now_s < 0.5


def test_warming_up_what_is_warm_takes_a_tenth_of_a_second():
    clock, (n, _) = warm(lambda i: 1.1e-2)
    assert n == clock.n == 10
    clock, _ = warm(lambda i: 1e-5)
    assert 0.1 <= clock.now_s < 0.13
    clock, (n, _) = warm(lambda i: 0.3)
    assert n == 10


def test_warming_up_never_takes_much_longer_than_its_limit():
    clock, _ = warm(lambda i: 0.05 * 0.98**i + 1e-5, most_s=2.0)
    assert clock.now_s < 2.0 + 5 * 0.05
    _, (n, _) = warm(lambda i: 1e-9 * 0.999**i, most=100)
    assert n == 100


def test_one_slow_call_does_not_end_or_prolong_the_warm_up():
    _, (n, last_s) = warm(lambda i: 1.0 if i == 7 else 1e-2)
    assert last_s == pytest.approx(1e-2)
    assert n <= 20
