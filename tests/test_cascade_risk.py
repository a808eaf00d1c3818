"""Thresholds with a promise: the p-values, the path, and the promise itself by resampling."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.cascade import risk
from edge_sdk.cascade.outcomes import Outcomes
from edge_sdk.cascade.risk import (
    best_bet,
    betting_p_value,
    binomial_tail,
    control,
    harm_p_value,
    least_cases,
    path,
)
from edge_sdk.errors import CalibrationError, ShapeError

INF = np.inf
EPSILON, DELTA = 0.05, 0.1
N_POPULATION, N_CALIBRATION, N_SETS = 20_000, 1_000, 1_000


def build(right, sure, costs=None) -> Outcomes:
    """Outcomes from what is right, (n, n_levels), and how sure the early levels are."""
    right = np.asarray(right, bool)
    labels = np.arange(len(right)) % 2
    confidences = np.ones(right.shape, np.float32)
    confidences[:, :-1] = sure
    costs = 2.0 ** np.arange(right.shape[1]) if costs is None else np.array(costs, np.float64)
    return Outcomes(np.where(right, labels[:, None], 9).astype(np.int64), confidences,
                    labels.astype(np.int64), costs)


def realistic(seed=0, n=N_POPULATION, accuracies=(0.7, 0.8, 0.86, 0.9), noise=0.5) -> Outcomes:
    """Levels that find the same cases hard, with confidences that know some of it."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(size=(n, 1))
    score = math.sqrt(1 - noise) * ease + math.sqrt(noise) * rng.normal(size=(n, len(accuracies)))
    limits = [np.quantile(score[:, i], 1 - a) for i, a in enumerate(accuracies)]
    known = score - limits + 0.5 * rng.normal(size=score.shape)
    return build(score > limits, (1 / (1 + np.exp(-2 * known)))[:, :-1])


def border(helped=0.0, n=N_POPULATION, sure=0.5) -> Outcomes:
    """Two levels: leaving early is harmful by one case in `n` more than epsilon."""
    n_helped = round(helped * n)
    n_harmed = round(EPSILON * n) + n_helped + 1
    right = np.ones((n, 2), bool)
    right[:n_harmed, 0] = False
    right[n_harmed:n_harmed + n_helped, 1] = False
    return build(right, sure)


def sure_and_wrong() -> Outcomes:
    """The surest cases are the harmed ones: each threshold that saves is beyond the border."""
    sure = np.random.default_rng(1).uniform(0.1, 0.8, (N_POPULATION, 1))
    made = border()
    sure[:made.n // 10] = 0.9
    return build(made.correct, sure)


def worse_then_better() -> Outcomes:
    """Along falling thresholds the loss rises to twice epsilon and falls to half of it."""
    n = N_POPULATION
    right = np.ones((n, 2), bool)
    sure = np.linspace(1, 0, n)[:, None] * 0.9
    right[:round(2 * EPSILON * n), 0] = False
    right[n - round(1.5 * EPSILON * n):, 1] = False
    return build(right, sure)


def many_lucky_levels() -> Outcomes:
    """Eight levels with idle confidences, harmed and helped so often that luck looks like skill."""
    rng = np.random.default_rng(2)
    n = N_POPULATION
    right = np.ones((n, 9), bool)
    right[:n // 2, 8] = False
    for level in range(8):
        # Right on half of the cases less twice epsilon, whatever the last level says.
        right[:, level] = rng.permutation(n) < n // 2 - round(2 * EPSILON * n)
    return build(right, rng.random((n, 8)), costs=np.arange(1, 10))


POPULATIONS = {
    "realistic": realistic, "border": border, "border with helped": lambda: border(0.1),
    "sure and wrong": sure_and_wrong, "worse then better": worse_then_better,
    "many lucky levels": many_lucky_levels,
}


def broken_promises(population: Outcomes, method="auto", n_sets=N_SETS) -> int:
    """Count calibration sets whose thresholds lose more than epsilon on the population."""
    rng = np.random.default_rng(0)
    broken = 0
    for seed in range(n_sets):
        cases = population.take(rng.integers(0, population.n, N_CALIBRATION))
        found = control(cases, epsilon=EPSILON, delta=DELTA, seed=seed, method=method, n_steps=8)
        broken += population.apply(found.thresholds).loss > EPSILON
    return broken


# The promise.

@pytest.mark.parametrize("flavour", POPULATIONS)
def test_more_than_epsilon_is_lost_in_at_most_delta_of_calibration_sets(flavour):
    assert broken_promises(POPULATIONS[flavour]()) <= DELTA * N_SETS


@pytest.mark.parametrize(("method", "helped"), [("harm", 0.0), ("betting", 0.0),
                                                ("betting", 0.1)])
def test_at_the_border_each_method_errs_now_and_then_but_within_delta(method, helped):
    # Never to err would say that the test above can not fail.
    assert 0 < broken_promises(border(helped), method) <= DELTA * N_SETS


def test_a_p_value_without_correction_would_break_the_promise(monkeypatch):
    def seen_loss(losses, *, epsilon, delta, past=()):
        return 0.0 if np.mean(losses) <= epsilon else 1.0

    monkeypatch.setitem(risk.P_VALUES, "harm", seen_loss)
    assert broken_promises(border(), "harm", n_sets=200) > 2 * DELTA * 200


@pytest.fixture
def credulous_path(monkeypatch):
    """A path that takes all luck it meets for skill."""
    monkeypatch.setattr(risk, "HELPED_WEIGHT", 1.0)
    monkeypatch.setattr(risk, "DOUBT", 0.0)


@pytest.mark.usefixtures("credulous_path")
def test_a_bad_path_can_not_break_the_promise():
    assert broken_promises(many_lucky_levels(), "betting") <= DELTA * N_SETS


@pytest.mark.usefixtures("credulous_path")
def test_testing_on_the_cases_that_laid_the_path_would_break_the_promise(monkeypatch):
    honest = risk._Trial.run
    monkeypatch.setattr(risk._Trial, "run", lambda trial, _: honest(trial, trial.choosing))
    assert broken_promises(many_lucky_levels(), "betting", n_sets=200) > 2 * DELTA * 200


# The p-values.

@pytest.mark.parametrize("p", [0.001, 0.05, 0.3, 0.97])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_binomial_tail_is_that_of_exact_fractions(n, p):
    q, total = Fraction(p), Fraction(0)
    for k in range(n):
        total += math.comb(n, k) * q**k * (1 - q) ** (n - k)
        assert binomial_tail(k, n, p) == pytest.approx(float(total), rel=1e-12)
    assert (binomial_tail(n, n, p), binomial_tail(-1, n, p)) == (1, 0)


@pytest.mark.parametrize(("k", "n", "p"), [(0, 1500, 0.02), (30, 1500, 0.02), (5, 3000, 0.1),
                                           (750, 1500, 0.5)])
def test_the_binomial_tail_of_many_cases_neither_underflows_nor_drifts(k, n, p):
    q = Fraction(p)
    exact = sum(math.comb(n, j) * q**j * (1 - q) ** (n - j) for j in range(k + 1))
    assert binomial_tail(k, n, p) == pytest.approx(float(exact), rel=1e-10)
    assert binomial_tail(k, n, p) > 0


@pytest.mark.parametrize("p_value", [harm_p_value, betting_p_value])
@pytest.mark.parametrize("helped", [0.0, 0.1, 0.35])
@pytest.mark.parametrize("past", [(), (0, 0, -1, 1), (-1, -1, 0)])
def test_at_the_border_no_p_value_is_small_more_often_than_it_says(p_value, helped, past):
    # All 3^7 sequences with their exact probabilities: no chance in this test.
    epsilon, n = 0.3, 7
    chance = {1: epsilon + helped, -1: helped, 0: 1 - epsilon - 2 * helped}
    mass: dict[float, float] = {}
    for z in itertools.product((-1, 0, 1), repeat=n):
        p = p_value(z, epsilon=epsilon, delta=0.2, past=past)
        mass[p] = mass.get(p, 0.0) + math.prod(chance[value] for value in z)
    below = 0.0
    for p in sorted(mass):
        below += mass[p]
        assert below <= p + 1e-9
    assert min(mass) < 0.2


def betting_slowly(losses, epsilon, bet) -> float:
    capital = best = 1.0
    for z in losses:
        capital *= 1 + bet * (epsilon - z)
        best = max(best, capital)
    return 1 / best


signs = st.lists(st.sampled_from([-1, 0, 0, 0, 1]), min_size=1, max_size=60)


@given(signs, signs, st.floats(0.01, 0.5), st.floats(0.01, 0.5))
@settings(max_examples=100, deadline=None)
def test_betting_multiplies_the_capital_case_by_case(losses, past, epsilon, delta):
    bet = best_bet(len(losses), epsilon=epsilon, delta=delta, helped=past.count(-1) / len(past))
    p = betting_p_value(losses, epsilon=epsilon, delta=delta, past=past)
    assert 0 < bet < 1 / (1 - epsilon)
    assert p == pytest.approx(betting_slowly(losses, epsilon, bet), rel=1e-9)


@given(signs, st.integers(0, 59))
@settings(max_examples=100, deadline=None)
def test_a_case_less_harmed_never_raises_a_p_value(losses, at):
    better = list(losses)
    better[at % len(better)] = max(-1, better[at % len(better)] - 1)
    for p_value in risk.P_VALUES.values():
        before = p_value(losses, epsilon=0.1, delta=0.1)
        assert p_value(better, epsilon=0.1, delta=0.1) <= before + 1e-12


def test_the_best_bet_bears_more_harmed_cases_than_any_other():
    n, epsilon, delta = 500, 0.05, 0.1

    def borne(bet):
        """Harmed cases, the rest unchanged, after which the capital still is 1 / delta."""
        return next(h for h in itertools.count() if h * math.log1p(-bet * (1 - epsilon))
                    + (n - h) * math.log1p(bet * epsilon) < math.log(1 / delta)) - 1

    best = borne(best_bet(n, epsilon=epsilon, delta=delta, helped=0.0))
    assert best == max(borne(bet) for bet in np.linspace(0.02, 1.0, 50)) > 10


def test_betting_profits_from_helped_cases_and_harm_does_not():
    losses = np.random.default_rng(0).permutation([1] * 60 + [-1] * 60 + [0] * 880)
    past = np.resize([1, -1] + [0] * 15, 500)
    assert harm_p_value(losses, epsilon=0.05, delta=0.1) > 0.5
    assert betting_p_value(losses, epsilon=0.05, delta=0.1, past=past) < 0.05


def test_no_tested_case_proves_nothing():
    assert [p([], epsilon=0.1, delta=0.1) for p in risk.P_VALUES.values()] == [1, 1]


@pytest.mark.parametrize("epsilon", [0.001, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("delta", [0.001, 0.1, 0.3])
def test_the_least_number_of_cases_is_the_first_that_can_prove_anything(epsilon, delta):
    least = least_cases(epsilon, delta)
    assert harm_p_value([0] * least, epsilon=epsilon, delta=delta) <= delta
    assert harm_p_value([0] * (least - 1), epsilon=epsilon, delta=delta) > delta


# The path.

@given(seed=st.integers(0, 1000), n=st.integers(2, 60), n_levels=st.integers(2, 6),
       n_steps=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_path_falls_from_never_early_to_the_first_level(seed, n, n_levels, n_steps):
    rng = np.random.default_rng(seed)
    made = build(rng.random((n, n_levels)) < 0.7,
                 rng.choice([0.1, 0.5, 0.5, 0.9, 1.0], (n, n_levels - 1)))
    candidates = path(made, n_steps=n_steps, helped_weight=rng.choice([0, 0.25, 1]))
    costs = [made.apply(thresholds).mean_cost for thresholds in candidates]
    assert np.isposinf(candidates[0]).all()
    assert (made.leave(candidates[-1]) == 0).all()
    assert all(a > b for a, b in itertools.pairwise(costs))
    assert all((a >= b).all() for a, b in itertools.pairwise(candidates))
    assert all(c.dtype == np.float32 for c in candidates)


def test_the_path_spends_its_first_steps_where_they_cost_no_accuracy():
    # Level 0 is always wrong, level 1 always right.
    right = np.ones((100, 3), bool)
    right[:, 0] = False
    made = build(right, np.random.default_rng(0).random((100, 2)))
    second = path(made)[1]
    assert np.isposinf(second[0])
    assert made.apply(second).loss == 0


def test_infinite_confidences_do_not_disturb_the_path():
    sure = np.random.default_rng(0).choice([-INF, 0.0, INF], (50, 2))
    candidates = path(build(np.ones((50, 3), bool), sure))
    assert not any(np.isnan(thresholds).any() for thresholds in candidates)


# The answer.

@pytest.mark.parametrize("method", ["harm", "betting", "auto"])
def test_levels_that_never_differ_leave_at_the_first(method):
    right = np.repeat(np.arange(1000)[:, None] % 10 > 0, 3, axis=1)
    found = control(build(right, np.random.default_rng(0).random((1000, 2))),
                    epsilon=0.02, delta=0.1, method=method)
    assert found.thresholds[0] == -INF
    assert (found.mean_cost, found.full_cost, found.loss, found.note) == (1, 4, 0, "")
    assert 0 < found.p_value <= 0.1


@pytest.mark.parametrize("method", ["harm", "betting", "auto"])
def test_an_early_level_that_is_always_wrong_is_never_used(method):
    right = np.tile([False, True], (1000, 1))
    found = control(build(right, 0.9), epsilon=0.02, delta=0.1, method=method)
    assert np.isposinf(found.thresholds).all()
    assert (found.mean_cost, found.full_cost, found.loss, found.p_value) == (2, 2, 0, 0)
    assert found.note == risk.NEVER_EARLY


def test_the_answer_says_what_was_asked_and_seen():
    cases = realistic(n=1001)
    found = control(cases, epsilon=0.03, delta=0.2, seed=7, method="betting", split=0.4)
    tested = cases.take(np.random.default_rng(7).permutation(1001)[400:])
    assert (found.n, found.n_chosen, found.n_tested) == (1001, 400, 601)
    assert (found.epsilon, found.delta, found.method) == (0.03, 0.2, "betting")
    assert found.thresholds.dtype == np.float32
    assert found.loss == tested.apply(found.thresholds).loss
    assert found.mean_cost == tested.apply(found.thresholds).mean_cost < found.full_cost
    assert 0 < found.p_value <= 0.2


def test_one_seed_gives_one_answer():
    cases = realistic(n=1000)
    first, again = (control(cases, epsilon=0.03, delta=0.1, seed=3) for _ in range(2))
    assert first.thresholds.tolist() == again.thresholds.tolist()
    assert first.p_value == again.p_value


def test_cases_may_be_stored_in_any_order():
    # All harmed cases first: a half that has none of them would prove what is not so.
    right = np.ones((1000, 2), bool)
    right[:200, 0] = False
    for method in ("harm", "betting"):
        found = control(build(right, 0.5), epsilon=0.05, delta=0.1, method=method)
        assert found.note == risk.NEVER_EARLY


def test_a_looser_promise_never_costs_more():
    cases = realistic(n=4000)
    costs = [control(cases, epsilon=epsilon, delta=0.1, method="harm").mean_cost
             for epsilon in (0.005, 0.01, 0.03, 0.1, 0.5)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1] == 1


def test_testing_ends_at_the_first_candidate_that_is_not_rejected(monkeypatch):
    cases = realistic(n=1000)
    script = iter([0.01, 0.02, 0.5])  # asked once more, it would be an error
    monkeypatch.setitem(risk.P_VALUES, "harm", lambda *_, **__: next(script))
    found = control(cases, epsilon=0.05, delta=0.1, method="harm")
    choosing = cases.take(np.random.default_rng(0).permutation(1000)[:500])
    assert found.thresholds.tolist() == path(choosing, helped_weight=0.0)[2].tolist()
    assert found.p_value == 0.02


def test_a_p_value_of_exactly_delta_is_enough(monkeypatch):
    monkeypatch.setitem(risk.P_VALUES, "harm", lambda *_, **__: 0.1)
    found = control(realistic(n=1000), epsilon=0.05, delta=0.1, method="harm")
    assert found.mean_cost == 1


def test_auto_chooses_without_a_look_at_the_tested_cases():
    cases = realistic(n=1000)
    tested = np.random.default_rng(0).permutation(1000)[500:]
    predictions = cases.predictions.copy()
    predictions[tested, 0] = 77  # now level 0 is always wrong, on the tested cases alone
    spoilt = Outcomes(predictions, cases.confidences, cases.labels, cases.costs)
    asked = {"epsilon": 0.03, "delta": 0.1}
    auto = control(cases, **asked)
    assert control(spoilt, **asked).method == auto.method
    assert auto.thresholds.tolist() == control(
        cases, **asked, method=auto.method).thresholds.tolist()


def test_auto_takes_betting_where_many_are_helped_and_harm_where_none_is():
    helped = build(border(0.1, n=4000).correct, 0.5)
    assert control(helped, epsilon=0.12, delta=0.1).method == "betting"
    # As few cases as can prove anything: then betting, which keeps a reserve, can not.
    right = np.ones((2 * least_cases(0.05, 0.1), 2), bool)
    assert control(build(right, 0.5), epsilon=0.05, delta=0.1).method == "harm"


# Refusals.

def test_too_few_cases_are_refused_with_the_number_that_is_needed():
    with pytest.raises(CalibrationError) as caught:
        control(realistic(n=80), epsilon=0.05, delta=0.1)
    # (1 - 0.05)^45 <= 0.1 < (1 - 0.05)^44, and half of the cases are tested.
    assert str(caught.value) == (
        "expected 89 calibration cases for epsilon=0.05 and delta=0.1, got 80, of which 40 are "
        "tested and 45 must be - at `outcomes`\n"
        "hint: collect more cases, or ask for a larger epsilon or delta")


@pytest.mark.parametrize("split", [0.01, 0.1, 0.5, 0.77, 0.99])
def test_the_number_that_is_needed_is_enough_and_the_least(split):
    asked = {"epsilon": 0.05, "delta": 0.1, "split": split}
    with pytest.raises(CalibrationError) as caught:
        control(realistic(n=4), **asked)
    needed = int(caught.value.expected.split()[0])
    assert control(realistic(n=needed), **asked).n == needed
    with pytest.raises(CalibrationError):
        control(realistic(n=needed - 1), **asked)


def test_a_tiny_epsilon_says_at_once_how_many_cases_it_needs():
    with pytest.raises(CalibrationError, match=r"expected 46051[0-9]{5} calibration cases"):
        control(realistic(n=1000), epsilon=1e-9, delta=0.1)


def test_a_last_level_that_is_never_right_is_refused():
    with pytest.raises(CalibrationError, match="`predictions`"):
        control(build(np.tile([True, False], (500, 1)), 0.5), epsilon=0.05, delta=0.1)


def test_one_class_alone_is_refused():
    cases = Outcomes(np.zeros((500, 2), np.int64), np.ones((500, 2), np.float32),
                     np.zeros(500, np.int64), np.array([1.0, 2.0]))
    with pytest.raises(CalibrationError, match="`labels`"):
        control(cases, epsilon=0.05, delta=0.1)


@pytest.mark.parametrize("change", [
    {"epsilon": 0}, {"epsilon": 1}, {"epsilon": -0.1}, {"epsilon": math.nan}, {"delta": 0},
    {"delta": 1.5}, {"split": 0}, {"split": 1}, {"method": "exact"}, {"n_steps": 0}])
def test_arguments_out_of_range_are_refused(change):
    with pytest.raises(ShapeError, match=f"`{next(iter(change))}`"):
        control(realistic(n=500), **{"epsilon": 0.05, "delta": 0.1, **change})


def test_one_level_alone_has_no_thresholds_to_control():
    with pytest.raises(ShapeError, match="two levels"):
        control(build(np.ones((500, 1), bool), np.zeros((500, 0))), epsilon=0.05, delta=0.1)
