"""A cascade's bookkeeping and MRL's thresholds: against slow oracles and published tables."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.cascade.outcomes import Outcomes
from edge_sdk.cascade.published import learn, published_grid
from edge_sdk.errors import ShapeError

INF = np.inf
# (expected dim, top-1 %) as the project's page prints them: a little other than its csv.
PRINTED = [(13.19, 73.79), (18.03, 75.24), (25.73, 76.05), (35.29, 76.27), (45.66, 76.42),
           (62.06, 76.51)]


def outcomes(predictions, confidences, labels, costs) -> Outcomes:
    return Outcomes(np.array(predictions, np.int64), np.array(confidences, np.float32),
                    np.array(labels, np.int64), np.array(costs, np.float64))


def draw(rng, n, n_levels, *, values=None) -> Outcomes:
    """Random outcomes; few confidence values, so that many are equal to each other or a limit."""
    values = published_grid()[::9] if values is None else values
    return outcomes(rng.integers(0, 3, (n, n_levels)), rng.choice(values, (n, n_levels)),
                    rng.integers(0, 3, n), np.sort(rng.integers(0, 50, n_levels)))


def leave_slowly(made: Outcomes, thresholds) -> list[int]:
    levels = []
    for row in made.confidences:
        level = 0
        while level < made.n_levels - 1 and not row[level] > np.float32(thresholds[level]):
            level += 1
        levels.append(level)
    return levels


def learn_slowly(made: Outcomes, grid) -> list[np.float32]:
    """Try every threshold on every pair of levels by itself."""
    found = []
    for i in range(made.n_levels - 1):
        best = None
        for threshold in sorted(np.float32(t) for t in grid):
            right = 0
            for case in range(made.n):
                level = i if made.confidences[case, i] > threshold else i + 1
                right += int(made.predictions[case, level] == made.labels[case])
            if best is None or right > best[0]:
                best = right, threshold
        found.append(best[1])
    return found


SMALL = outcomes(
    predictions=[[1, 1, 1], [0, 1, 1], [1, 0, 0], [2, 2, 0]],
    confidences=[[0.9, 0.9, 0.9], [0.5, 0.8, 0.1], [0.9, 0.1, 0.1], [0.2, 0.2, 0.2]],
    labels=[1, 1, 1, 2], costs=[8, 16, 32])


def test_a_case_leaves_at_the_first_level_that_is_surer_than_its_threshold():
    assert SMALL.leave([0.6, 0.7]).tolist() == [0, 1, 0, 2]
    assert SMALL.leave([0.6, 0.7]).dtype == np.int64


def test_a_confidence_equal_to_the_threshold_does_not_leave():
    assert SMALL.leave([0.9, 0.8]).tolist() == [1, 2, 2, 2]


def test_thresholds_are_rounded_to_float32_before_they_are_compared():
    # Case 1 is as sure as float32(0.8), which is above 0.8: unrounded it would leave.
    assert float(np.float32(0.8)) > 0.8
    assert SMALL.leave(np.array([0.9, 0.8], np.float64)).tolist() == [1, 2, 2, 2]


def test_infinite_thresholds_mean_never_and_always():
    assert SMALL.leave([INF, INF]).tolist() == [2, 2, 2, 2]
    assert SMALL.leave([INF, -INF]).tolist() == [1, 1, 1, 1]
    assert SMALL.leave([-INF, INF]).tolist() == [0, 0, 0, 0]


def test_accuracy_cost_and_loss_are_counted_against_the_last_level():
    applied = SMALL.apply([0.6, 0.7])
    # Right by the cascade: cases 0, 1, 2 (the last level is wrong on 2). Wrong: 3.
    assert (applied.accuracy, applied.full_accuracy, applied.loss) == (0.75, 0.5, -0.25)
    assert (applied.harmed, applied.helped) == (0.0, 0.25)
    assert applied.fractions.tolist() == [0.5, 0.25, 0.25]
    assert applied.mean_cost == (8 + 16 + 8 + 32) / 4


def test_never_leaving_early_loses_exactly_nothing():
    applied = SMALL.apply([INF, INF])
    assert (applied.loss, applied.harmed, applied.helped, applied.mean_cost) == (0, 0, 0, 32)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 30), n_levels=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_leaving_and_counting_agree_with_loops(seed, n, n_levels):
    rng = np.random.default_rng(seed)
    made = draw(rng, n, n_levels)
    thresholds = rng.choice([*published_grid()[::9], INF, -INF], n_levels - 1)
    levels, applied = leave_slowly(made, thresholds), made.apply(thresholds)
    right = [made.predictions[c, level] == made.labels[c] for c, level in enumerate(levels)]
    full = [made.predictions[c, -1] == made.labels[c] for c in range(n)]
    assert made.leave(thresholds).tolist() == levels
    assert made.losses(thresholds).tolist() == [int(f) - int(r) for f, r in zip(full, right,
                                                                               strict=True)]
    assert applied.accuracy == pytest.approx(np.mean(right))
    assert applied.mean_cost == pytest.approx(np.mean([made.costs[level] for level in levels]))
    assert applied.loss == pytest.approx(applied.harmed - applied.helped)
    assert applied.fractions.sum() == pytest.approx(1)


def test_take_keeps_order_and_repetitions():
    taken = SMALL.take([3, 0, 0])
    assert taken.labels.tolist() == [2, 1, 1]
    assert SMALL.take(np.array([True, False, False, True])).labels.tolist() == [1, 2]


@pytest.mark.parametrize("change", [
    {"predictions": [[1, 1, 1]]}, {"predictions": np.zeros((4, 3), np.int32)},
    {"predictions": np.zeros((0, 3), np.int64)}, {"predictions": np.zeros(4, np.int64)},
    {"confidences": np.zeros((4, 3))}, {"confidences": np.zeros((4, 2), np.float32)},
    {"confidences": np.full((4, 3), np.nan, np.float32)},
    {"labels": np.zeros(3, np.int64)}, {"labels": np.zeros(4, np.float32)},
    {"costs": np.array([8.0, 16.0])}, {"costs": np.array([8.0, 16.0, 12.0])},
    {"costs": np.array([-1.0, 0.0, 1.0])}, {"costs": np.array([1.0, np.nan, 2.0])},
    {"costs": np.array([1.0, 2.0, np.inf])}, {"costs": np.array([1, 2, 3])},
])
def test_outcomes_of_another_form_are_refused(change):
    fields = {"predictions": SMALL.predictions, "confidences": SMALL.confidences,
              "labels": SMALL.labels, "costs": SMALL.costs, **change}
    with pytest.raises(ShapeError, match="hint: "):
        Outcomes(**fields)


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 0.5], 0.5, [0.5, np.nan]])
def test_thresholds_of_another_form_are_refused(thresholds):
    with pytest.raises(ShapeError, match="`thresholds`"):
        SMALL.leave(thresholds)


@pytest.mark.parametrize("index", [[4], [0.5], []])
def test_an_index_that_names_no_case_is_refused(index):
    with pytest.raises(ShapeError):
        SMALL.take(index)


def test_the_published_grid_has_a_hundred_steps_from_a_tenth_to_one():
    grid = published_grid()
    assert (grid.dtype, len(grid), grid[0], grid[-1]) == (np.float32, 100, np.float32(0.1), 1)
    assert np.allclose(np.diff(grid), 0.9 / 99)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), n_levels=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_learnt_thresholds_are_those_of_trying_all(seed, n, n_levels):
    rng = np.random.default_rng(seed)
    made = draw(rng, n, n_levels)
    grid = rng.permutation(published_grid()[rng.integers(0, 100, 12)])
    assert learn(made, grid=grid).tolist() == learn_slowly(made, grid)
    assert learn(made).dtype == np.float32


def test_learnt_thresholds_are_those_of_trying_all_on_the_published_grid():
    rng = np.random.default_rng(1)
    made = draw(rng, 300, 4, values=rng.random(500).astype(np.float32))
    assert learn(made).tolist() == learn_slowly(made, published_grid())


def test_equally_good_thresholds_give_the_smallest():
    both_right = outcomes([[1, 1]] * 3, [[0.3, 1], [0.6, 1], [0.9, 1]], [1, 1, 1], [8, 16])
    assert learn(both_right).tolist() == [np.float32(0.1)]


@pytest.mark.parametrize("grid", [[], [[0.1, 0.2]], [0.1, np.nan], 0.5])
def test_a_grid_of_another_form_is_refused(grid):
    with pytest.raises(ShapeError, match="`grid`"):
        learn(SMALL, grid=grid)


# The published tables. What they hold: accuracy of each dim, and (expected dim, accuracy) of
# cascades. What they do not hold: thresholds, how many cases left where, or which levels a
# row's cascade had. Read as "each row has one level more, and as thresholds come from adjacent
# pairs, those of the row before stay", every row says how many cases reach its new level.
# These tests show that this reading is consistent, and that our bookkeeping then gives all
# published figures; they can not show that the authors' cases left where ours do.

N = 200_000
DIMS = [8, 16, 32, 64, 128, 256, 512, 1024]
# How often those are right that leave at each level: free, as the tables do not say.
PRECISION = [0.97, 0.84, 0.66, 0.58, 0.5, 0.45, 0.4]


@pytest.fixture
def accuracies(data_root) -> list[int]:
    """Right answers of each dim in DIMS, out of N."""
    path = data_root / "conformance/mrl/Classification_Performance_Plots_PLOTS_-_Sheet1.csv"
    rows = {int(row["Representation Size"]): row["R50-NRL"]
            for row in csv.DictReader(path.open(encoding="utf-8"))}
    return [round(float(rows[dim].rstrip("%")) * N / 100) for dim in DIMS]


@pytest.fixture
def cascades(data_root) -> list[dict[str, str]]:
    path = data_root / "conformance/mrl/Cascades_plots.csv"
    return list(csv.DictReader(path.open(encoding="utf-8")))


@pytest.fixture(params=["csv", "printed"])
def table(request, cascades) -> list[tuple[float, float]]:
    """(expected dim, top-1 %) of each row, by growing number of levels."""
    if request.param == "printed":
        return PRINTED
    return [(float(row["ED"]), float(row["MH_CASC"])) for row in cascades]


def reaching(table, costs) -> list[int]:
    """Cases out of N that reach each level, if every row has one level more than the last."""
    reach, spent = [N], costs[0] * N
    for (expected, _), below, above in zip(table, costs, costs[1:], strict=False):
        reach.append(round((expected * N - spent) / (above - below)))
        spent += reach[-1] * (above - below)
    return reach


def population(table, accuracies) -> tuple[Outcomes, np.ndarray]:
    """Return N cases with the published accuracies, and the thresholds that fit the table.

    Cases are sorted by the level they leave at; `start[i]` is the first that leaves at i.
    """
    reach = reaching(table, DIMS)
    n_levels = len(reach)
    start = [N - r for r in reach] + [N]
    right = np.zeros((N, n_levels), bool)
    thresholds = published_grid()[[30 + 7 * i for i in range(n_levels - 1)]]
    sure = np.tile(np.append(thresholds, np.float32(1)), (N, 1))
    left_right, here = 0, accuracies[0]  # here: right at level i among those that reach it
    for i in range(n_levels - 1):
        first, after, leavers = start[i], start[i + 1], start[i + 1] - start[i]
        after_right = round(table[i][1] * N / 100) - left_right
        # Leavers who are right: as wished, within what the others can be.
        hits = min(max(round(PRECISION[i] * leavers), after_right - reach[i + 1],
                       here - reach[i + 1], 0), leavers, here)
        left_right += hits
        after_right -= hits
        assert 0 <= here - hits <= reach[i + 1]
        assert 0 <= after_right <= reach[i + 1]
        right[first:first + hits, i] = True
        right[after:after + here - hits, i] = True
        # The next level is right on one leaver less, so that leaving pays for this pair;
        # on those who left before, it is as often right as its published accuracy asks.
        again = min(hits - 1, accuracies[i + 1] - after_right)
        before = accuracies[i + 1] - after_right - again
        assert 0 <= before <= first
        right[first:first + again, i + 1] = True
        right[:before, i + 1] = True
        sure[first:after, i] = np.nextafter(thresholds[i], np.float32(2))
        here = after_right
    right[start[-2]:start[-2] + here, -1] = True
    made = Outcomes(right.astype(np.int64), sure, np.ones(N, np.int64),
                    np.array(DIMS[:n_levels], np.float64))
    return made, thresholds


def rows_of(made, thresholds, costs):
    """Return (expected dim, top-1 %) of the cascades of the first 2, 3, ... levels."""
    found = []
    priced = Outcomes(made.predictions, made.confidences, made.labels, costs)
    for last in range(1, made.n_levels):
        shorter = thresholds.copy()
        shorter[last:] = -INF
        applied = priced.apply(shorter)
        found.append((round(applied.mean_cost, 2), round(100 * applied.accuracy, 2)))
    return found


def test_both_published_files_give_the_same_accuracy_by_dim(cascades, accuracies):
    listed = [round(float(row["MH"]) * N / 100) for row in cascades if row["D"]]
    assert listed == accuracies[:len(listed)]


def test_in_the_published_rows_ever_fewer_cases_reach_the_next_level(table):
    reach = reaching(table, DIMS)
    assert len(reach) == len(table) + 1
    assert all(a >= b >= 0 for a, b in itertools.pairwise(reach))


def test_published_dims_and_accuracies_come_out_of_the_bookkeeping(table, accuracies):
    made, thresholds = population(table, accuracies)
    assert made.correct.sum(axis=0).tolist() == accuracies[:made.n_levels]
    assert rows_of(made, thresholds, made.costs) == table


def test_the_rule_learns_the_thresholds_behind_the_published_rows(table, accuracies):
    made, thresholds = population(table, accuracies)
    assert learn(made).tolist() == thresholds.tolist()


def test_summing_the_dims_on_the_way_would_not_give_the_published_dims(table, accuracies):
    made, thresholds = population(table, accuracies)
    summed = rows_of(made, thresholds, np.cumsum(made.costs))
    assert all(wrong[0] > 1.3 * row[0] for wrong, row in zip(summed, table, strict=True))


def test_expected_dims_alone_can_not_tell_dims_used_from_dims_summed(table):
    # So that no one takes the test above for more than it is: with other fractions, sums of
    # dims would fit the column too. That the used dim is meant, the authors' code says.
    reach = reaching(table, np.cumsum(DIMS).tolist())
    assert all(a >= b >= 0 for a, b in itertools.pairwise(reach))
