"""Confidence signals: known values, ranges, and what each may not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.cascade.signals import (
    SIGNALS,
    agreement,
    entropy,
    llc_margin,
    margin,
    max_softmax,
)
from edge_sdk.errors import ShapeError

OF_LOGITS = [max_softmax, margin, entropy]
rows = st.lists(st.lists(st.floats(-800, 800), min_size=3, max_size=3), min_size=1, max_size=8)


def slow(row: list[float]) -> tuple[float, float, float]:
    """(max, margin, 1 - entropy / log classes) of one row, by the equations."""
    top = max(row)
    total = math.fsum(math.exp(z - top) for z in row)
    p = sorted((math.exp(z - top) / total for z in row), reverse=True)
    nats = -math.fsum(q * math.log(q) for q in p if q > 0)
    return p[0], p[0] - p[1], 1 - nats / math.log(len(p))


@given(rows)
@settings(max_examples=100, deadline=None)
def test_signals_follow_their_equations(logits):
    for row, *fast in zip(logits, *(signal(logits) for signal in OF_LOGITS), strict=True):
        assert fast == pytest.approx(slow(row), abs=1e-12)


@given(rows, st.floats(-100, 100))
@settings(max_examples=50, deadline=None)
def test_signals_do_not_change_with_the_order_of_classes_or_a_common_shift(logits, shift):
    z = np.array(logits)
    for signal in OF_LOGITS:
        assert signal(z[:, ::-1]) == pytest.approx(signal(z), abs=1e-12)
        assert signal(z + shift) == pytest.approx(signal(z), abs=1e-9)


def test_equal_logits_are_the_least_sure():
    assert max_softmax([[2, 2, 2, 2]]).tolist() == [0.25]
    assert margin([[2, 2, 2, 2]]).tolist() == [0]
    assert entropy([[2, 2, 2, 2]]) == pytest.approx([0])


@pytest.mark.parametrize("signal", OF_LOGITS)
def test_huge_logits_and_classes_ruled_out_are_certain_not_nan(signal):
    assert signal([[1e308, 0, -1e308], [0, -np.inf, -np.inf]]).tolist() == [1, 1]


@pytest.mark.parametrize("signal", OF_LOGITS)
def test_one_class_alone_is_certain(signal):
    assert signal([[-3.0], [5.0]]).tolist() == [1, 1]


@pytest.mark.parametrize("signal", OF_LOGITS)
def test_float32_logits_are_computed_in_float64(signal):
    z = np.array([[0.1, 0.2, 0.7]], np.float32)
    assert signal(z).dtype == np.float64
    assert signal(z).tolist() == signal(z.astype(np.float64)).tolist()


def test_the_margin_tells_apart_what_the_maximum_does_not():
    logits = np.log([[0.5, 0.49, 0.01], [0.5, 0.25, 0.25]])
    assert max_softmax(logits) == pytest.approx([0.5, 0.5])
    assert margin(logits) == pytest.approx([0.01, 0.25])


@pytest.mark.parametrize("signal", OF_LOGITS)
@pytest.mark.parametrize("logits", [
    [1.0, 2.0], np.zeros((2, 0)), [[np.nan, 1.0]], [[np.inf, 1.0]], [[-np.inf, -np.inf]]])
def test_logits_without_a_softmax_are_refused(signal, logits):
    with pytest.raises(ShapeError, match="`logits`"):
        signal(logits)


def test_agreement_counts_only_after_the_same_answer():
    sure = agreement([[1, 1, 2], [3, 4, 4]], [[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]])
    assert sure.tolist() == [[0, 0.8, 0], [0, 0, 0.4]]


def test_agreement_never_leaves_at_level_0_with_a_threshold_of_0_or_more():
    sure = agreement(np.ones((5, 3), int), np.ones((5, 3)))
    assert not (sure[:, 0] > 0).any()


@pytest.mark.parametrize(("predictions", "confidences"), [
    ([[1, 2]], [[0.5]]), ([1, 2], [0.5, 0.5]), ([[1, 2]], [[0.5, -0.1]]),
    ([[1, 2]], [[0.5, np.nan]])])
def test_agreement_of_other_arrays_is_refused(predictions, confidences):
    with pytest.raises(ShapeError):
        agreement(predictions, confidences)


def test_the_code_margin_is_the_share_of_bits_to_the_runner_up():
    assert llc_margin([0, 3, 2], [10, 3, 7], 20).tolist() == [0.5, 0, 0.25]


def test_the_code_margin_of_small_integers_does_not_overflow():
    assert llc_margin(np.array([0], np.uint8), np.array([255], np.uint8), 255).tolist() == [1]


@pytest.mark.parametrize(("distance", "runner_up", "bits"), [
    ([5], [3], 20), ([1, 2], [3], 20), (1, 2, 20), ([1], [2], 0)])
def test_a_code_margin_that_can_not_be_is_refused(distance, runner_up, bits):
    with pytest.raises(ShapeError):
        llc_margin(distance, runner_up, bits)


def test_every_signal_is_registered_by_its_name():
    assert list(SIGNALS) == ["max_softmax", "margin", "entropy", "agreement", "llc_margin"]
    assert all(SIGNALS[name].__name__ == name for name in SIGNALS)
