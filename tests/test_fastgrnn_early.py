"""Deciding early along time: the rule, its thresholds, and the promise by resampling."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.cascade import risk
from edge_sdk.errors import CalibrationError, FormatError, ShapeError
from edge_sdk.fastgrnn.early import Decision, EarlyDecision, EarlyResults

CLASSES = 4
EPSILON, DELTA = 0.05, 0.1


def population(seed=0, n=2000, longest=60, drift=0.12, shortest=3):
    """Sequences whose logits drift towards the label through a random walk of noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    lengths = rng.integers(shortest, longest + 1, n)
    logits = []
    for label, length in zip(labels, lengths, strict=True):
        walk = rng.normal(0, 0.35, (length, CLASSES)).cumsum(0)
        walk[:, label] += drift * np.arange(1, length + 1)
        logits.append(walk.astype(np.float32))
    return logits, labels


def border(n=4000, length=20, epsilon=EPSILON):
    """At frame 10 every sequence is sure, and one more than epsilon of them are wrong."""
    labels = np.arange(n) % CLASSES
    logits = []
    n_wrong = round(epsilon * n) + 1
    for i, label in enumerate(labels):
        row = np.zeros((length, CLASSES), np.float32)
        row[:12, (label + 1) % CLASSES if i < n_wrong else label] = 3
        row[12:, label] = 3
        logits.append(row)
    return logits, labels


def slowly(early: EarlyDecision, logits) -> Decision:
    """The rule, in Python's own numbers."""
    for frame, row in enumerate(np.asarray(logits, np.float64), start=1):
        powers = np.exp(row - row.max())
        sure = np.float32((powers / powers.sum()).max())
        if frame in early.frames and sure > early.thresholds[early.frames.index(frame)]:
            return Decision(int(row.argmax()), frame, float(sure), True)
    return Decision(int(row.argmax()), frame, float(sure), False)


plans = st.dictionaries(st.integers(1, 30), st.sampled_from([0.0, 0.25, 0.3125, 0.5, 0.875]),
                        max_size=5).map(lambda found: EarlyDecision(
                            tuple(sorted(found)), tuple(found[frame] for frame in sorted(found))))


# ---- the rule ------------------------------------------------------------------------------

@given(early=plans, seed=st.integers(0, 50), length=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_a_sequence_is_decided_at_the_first_checkpoint_that_is_sure(early, seed, length):
    logits = np.random.default_rng(seed).normal(0, 2, (length, CLASSES)).astype(np.float32)
    assert early.run(logits) == slowly(early, logits)


@given(early=plans, seed=st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_many_sequences_are_decided_as_one_by_one(early, seed):
    logits, labels = population(seed, n=30, longest=35, shortest=1)
    decisions = [early.run(row) for row in logits]
    right = np.array([d.id for d in decisions]) == labels
    lengths = np.array([len(row) for row in logits])
    heard = np.array([d.frame for d in decisions])
    full = np.array([row[-1].argmax() for row in logits]) == labels
    assert early.apply(logits, labels) == EarlyResults(
        right.sum() / 30, full.sum() / 30, (int(full.sum()) - int(right.sum())) / 30,
        heard.mean(), lengths.mean(), (heard < lengths).mean())


def test_a_decision_is_given_once_and_kept_until_the_next_sequence():
    decider = EarlyDecision((2,), (0.5,)).stream()
    sure, unsure = [9.0, 0.0, 0.0], [0.0, 0.5, 0.0]
    assert decider.push(sure) is None
    given_ = decider.push(sure)
    assert given_ == Decision(0, 2, pytest.approx(1, abs=1e-3), True)
    assert decider.push(unsure) is None
    assert decider.finish() is given_ is decider.decision
    assert decider.frame == 3
    decider.reset()
    assert (decider.decision, decider.frame) == (None, 0)
    decider.push(unsure)
    assert decider.finish()[:2] == (1, 1)
    assert not decider.finish().sure


def test_a_threshold_must_be_exceeded_and_equal_logits_give_the_lowest_id():
    even = np.zeros((3, 4), np.float32)
    assert EarlyDecision((1,), (0.25,)).run(even) == Decision(0, 3, 0.25, False)
    assert EarlyDecision((1,), (0.125,)).run(even) == Decision(0, 1, 0.25, True)


def test_the_callers_logits_may_be_overwritten_after_a_push():
    decider = EarlyDecision((), ()).stream()
    buffer = np.array([0.0, 1.0], np.float32)
    decider.push(buffer)
    buffer[:] = [5.0, 0.0]
    assert decider.finish().id == 1


def test_memory_does_not_grow_with_the_sequence():
    decider = EarlyDecision((5,), (0.75,)).stream()
    for _ in range(1000):
        decider.push([0.0, 0.1])
    assert decider._last.shape == (2,)
    assert len(vars(decider)) == 4


# ---- thresholds ----------------------------------------------------------------------------

@pytest.mark.parametrize("flavour", [population, border])
def test_more_than_epsilon_is_lost_in_at_most_delta_of_calibration_sets(flavour):
    logits, labels = flavour()
    rng = np.random.default_rng(1)
    broken = 0
    for seed in range(100):
        drawn = rng.integers(0, len(labels), 300)
        early = EarlyDecision.fit([logits[i] for i in drawn], labels[drawn], every=10,
                                  epsilon=EPSILON, delta=DELTA, seed=seed)
        broken += early.apply(logits, labels).loss > EPSILON
    assert broken <= DELTA * 100
    if flavour is border:
        assert broken > 0  # or the test could not fail


def test_thresholds_without_a_test_would_break_the_promise(monkeypatch):
    def seen_loss(losses, *, epsilon, delta, past=()):
        return 0.0 if np.mean(losses) <= epsilon else 1.0

    monkeypatch.setitem(risk.P_VALUES, "harm", seen_loss)
    monkeypatch.setitem(risk.P_VALUES, "betting", seen_loss)
    logits, labels = border()
    rng = np.random.default_rng(1)
    broken = 0
    for seed in range(40):
        drawn = rng.integers(0, len(labels), 300)
        early = EarlyDecision.fit([logits[i] for i in drawn], labels[drawn], epsilon=EPSILON,
                                  delta=DELTA, seed=seed)
        broken += early.apply(logits, labels).loss > EPSILON
    assert broken > 2 * DELTA * 40


def test_the_more_may_be_lost_the_sooner_sequences_are_decided():
    logits, labels = population()
    heard = [EarlyDecision.fit(logits, labels, epsilon=epsilon).apply(logits, labels).mean_frames
             for epsilon in (0.01, 0.03, 0.1, 0.4)]
    full = np.mean([len(row) for row in logits])
    assert heard == sorted(heard, reverse=True)
    assert full > heard[0] > heard[-1]


def test_sure_and_right_from_the_first_checkpoint_needs_no_other():
    rows = [np.tile(5 * np.eye(CLASSES, dtype=np.float32)[i % CLASSES], (30, 1))
            for i in range(300)]
    early = EarlyDecision.fit(rows, np.arange(300) % CLASSES, every=5, epsilon=0.05)
    assert early.frames == (5,)
    assert early.apply(rows, np.arange(300) % CLASSES) == EarlyResults(1, 1, 0, 5, 30, 1)


def test_checkpoints_at_which_nothing_may_be_decided_are_dropped():
    rows = []
    for i in range(400):
        row = np.zeros((30, CLASSES), np.float32)
        row[:, (i + 1) % CLASSES] = 4  # always sure, and wrong for 20 frames
        row[20:] = 5 * np.eye(CLASSES)[i % CLASSES]
        rows.append(row)
    labels = np.arange(400) % CLASSES
    early = EarlyDecision.fit(rows, labels, every=7, epsilon=0.05)
    assert early.frames == (21,)
    assert early.apply(rows, labels).mean_frames == 21
    # As published, neighbours alone are compared, and the first two are wrong alike.
    assert EarlyDecision.fit(rows, labels, every=7).apply(rows, labels).accuracy == 0


def test_nothing_that_is_safe_decides_at_the_end_and_says_so():
    logits, labels = border(epsilon=0.9)
    early = EarlyDecision.fit(logits, labels, every=11, epsilon=0.01)
    assert (early.frames, early.thresholds) == ((), ())
    assert early.provenance["note"] == risk.NEVER_EARLY
    results = early.apply(logits, labels)
    assert (results.loss, results.early, results.mean_frames) == (0, 0, 20)
    assert early.run(logits[0]).sure is False


def test_sequences_that_end_before_a_checkpoint_are_never_decided_there():
    short = [np.tile(np.float32([9, 0]), (4, 1))] * 200
    long_ = [np.tile(np.float32([0, 9]), (40, 1))] * 200
    labels = np.repeat([0, 1], 200)
    early = EarlyDecision.fit(short + long_, labels, every=10, epsilon=0.05)
    assert early.frames == (10,)
    results = early.apply(short + long_, labels)
    assert (results.mean_frames, results.early, results.accuracy) == (7, 0.5, 1)
    assert early.run(short[0]) == Decision(0, 4, pytest.approx(1, abs=1e-3), False)


def test_published_thresholds_come_from_the_published_grid():
    logits, labels = population(drift=0.3)
    early = EarlyDecision.fit(logits, labels, every=15)
    from edge_sdk.cascade.published import published_grid

    assert early.provenance["method"] == "published"
    assert early.thresholds
    assert set(early.thresholds) <= set(published_grid().tolist())


def test_the_first_checkpoint_may_come_later_than_the_step():
    logits, labels = population()
    early = EarlyDecision.fit(logits, labels, every=5, first=22, epsilon=0.1)
    assert early.frames
    assert min(early.frames) >= 22
    assert all((frame - 22) % 5 == 0 for frame in early.frames)


def test_what_was_asked_and_seen_is_kept():
    logits, labels = population(n=1000)
    early = EarlyDecision.fit(logits, labels, epsilon=0.03, delta=0.2, seed=5, data="drift")
    kept, results = early.provenance, early.apply(logits, labels)
    assert (kept["epsilon"], kept["delta"], kept["seed"], kept["n"]) == (0.03, 0.2, 5, 1000)
    assert (kept["data"], kept["every"], kept["first"]) == ("drift", 10, 10)
    assert kept["p_value"] <= 0.2
    assert (kept["accuracy"], kept["mean_frames"]) == (results.accuracy, results.mean_frames)


# ---- files ---------------------------------------------------------------------------------

def test_it_comes_back_from_json_as_it_was():
    logits, labels = population()
    early = EarlyDecision.fit(logits, labels, epsilon=0.03)
    assert EarlyDecision.from_dict(json.loads(json.dumps(early.to_dict(), allow_nan=False))) \
        == early


@pytest.mark.parametrize("change", [
    {"signal": "entropy"}, {"frames": [10, 5]}, {"frames": [0, 5]}, {"frames": [5.5, 10]},
    {"frames": "ab"}, {"frames": [5]}, {"thresholds": [0.5]}, {"thresholds": [0.5, 1.0]},
    {"thresholds": [0.5, -0.5]}, {"thresholds": [0.5, float("nan")]}, {"thresholds": [0.5, "x"]},
    {"thresholds": [0.5, 0.1]}, {"provenance": 3}, {"frames": None}])
def test_a_stored_one_that_is_none_is_refused(change):
    good = EarlyDecision((5, 10), (0.5, 0.75)).to_dict()
    assert EarlyDecision.from_dict(good).frames == (5, 10)
    with pytest.raises(FormatError, match="stored early decision"):
        EarlyDecision.from_dict(good | change)
    with pytest.raises(FormatError):
        EarlyDecision.from_dict({k: v for k, v in good.items() if k not in change})


# ---- refusals ------------------------------------------------------------------------------

@pytest.mark.parametrize(("change", "words"), [
    ({"logits": []}, "none"),
    ({"logits": [np.zeros((0, 2))]}, r"\[0, 2\]"),
    ({"logits": [np.zeros(3)]}, r"\[3\]"),
    ({"logits": [np.zeros((30, 2)), np.zeros((30, 3))]}, r"\[30, 3\]"),
    ({"logits": [np.full((30, 2), np.nan), np.zeros((30, 2))]}, "NaN"),
    ({"labels": [0.0, 1.0]}, "integers"), ({"labels": [0]}, "labels"),
    ({"every": 0}, "every=0"), ({"first": 0}, "first=0"), ({"first": 30}, "more than 30 frames"),
])
def test_what_can_not_be_fitted_is_refused(change, words):
    given_ = {"logits": [np.zeros((30, 2))] * 2, "labels": [0, 1], "every": 10} | change
    with pytest.raises(ShapeError, match=words):
        EarlyDecision.fit(**given_)


def test_too_few_sequences_for_a_promise_are_refused():
    logits, labels = population(n=50)
    with pytest.raises(CalibrationError, match="calibration cases"):
        EarlyDecision.fit(logits, labels, epsilon=0.01)


def test_frames_are_pushed_one_by_one_and_with_one_number_of_classes():
    decider = EarlyDecision((1,), (0.5,)).stream()
    with pytest.raises(ShapeError, match="no answer"):
        decider.finish()
    with pytest.raises(ShapeError, match="frame by frame"):
        decider.push(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="NaN"):
        decider.push([np.nan, 0.0])
    decider.reset()
    decider.push([0.0, 1.0])
    with pytest.raises(ShapeError):
        decider.push([0.0, 1.0, 2.0])


def test_thresholds_that_float32_does_not_hold_are_refused():
    # A device compares in float32: another number would decide otherwise there.
    with pytest.raises(ShapeError, match="float32"):
        EarlyDecision((5,), (0.1,))
    assert replace(EarlyDecision((5,), (0.5,)), thresholds=(float(np.float32(0.1)),))
