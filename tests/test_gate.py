"""The gate: words out of silence, whatever the noise, and nothing out of noise alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, silence, tone

from edge_sdk.audio import LogMelConfig, log_mel
from edge_sdk.audio.gate import Gate, GateConfig, words
from edge_sdk.errors import ShapeError

CONFIG = LogMelConfig()


def cuts(samples, **config):
    """Return (begin, end, dropped) of each word, in frames; end is the first not given."""
    gate = Gate(32, 12, GateConfig(**config))
    found: list[list] = []
    frames = log_mel(samples, CONFIG)
    for frame in frames:
        cut = gate.push(frame)
        if cut.begins:
            begin = gate.frame - len(cut.frames)
            found.append([begin, begin, False])
        if len(cut.frames):
            begin = found[-1][1]
            assert np.array_equal(cut.frames, frames[begin : begin + len(cut.frames)])
            found[-1][1] += len(cut.frames)
        if cut.dropped:
            found[-1][2] = True
    return [tuple(word) for word in found]


@pytest.mark.parametrize("noise", [0, 3, 30, 300])
def test_words_are_cut_where_they_are_and_their_frames_come_in_order_without_gaps(noise):
    samples = np.concatenate([silence(1, noise), tone(400, 0.4), silence(0.5, noise),
                              tone(900, 0.3), silence(0.5, noise)])
    spoken = [(100, 140), (190, 220)]
    assert len(samples) == 2.7 * RATE
    if noise:
        samples = samples + silence(len(samples) / RATE, noise, seed=1)
    # Noise is taken for a sound until half a second of it has been heard.
    found = [cut for cut in cuts(samples) if not cut[2]]
    for (begin, end, _), (first, last) in zip(found, spoken, strict=True):
        assert first - 12 <= begin <= first + 2
        assert last - 8 <= end <= last + 12


def test_a_word_at_the_very_start_is_found():
    (begin, end, dropped), = cuts(np.concatenate([tone(400, 0.3), silence(0.5)]))
    assert (begin, dropped) == (0, False)
    assert 28 <= end <= 40


def test_a_pause_inside_a_word_does_not_end_it_and_is_given_with_it():
    (begin, end, _), = cuts(np.concatenate([
        silence(0.5), tone(400, 0.2), silence(0.12), tone(400, 0.2), silence(0.5)]))
    assert begin <= 50
    assert end >= 102


def test_a_click_is_no_word():
    click = np.full(8, 20000, np.int16)
    assert cuts(np.concatenate([silence(0.6), click, silence(0.5), click, silence(0.5)])) == []


@pytest.mark.parametrize("noise", [10, 100, 1000, 8000])
def test_steady_noise_from_the_start_is_no_word(noise):
    found = cuts(silence(6, noise))
    assert all(dropped for *_, dropped in found)
    assert len(found) <= 1


def test_noise_that_begins_and_stays_gets_no_answer_and_words_in_it_are_found_later():
    samples = np.concatenate([silence(1), silence(5, 300), tone(400, 0.4) + silence(0.4, 300),
                              silence(1, 300)])
    *noise, (begin, end, dropped) = cuts(samples)
    assert [d for *_, d in noise] == [True]
    assert not dropped
    assert 588 <= begin <= 603
    assert 633 <= end <= 655


def test_the_floor_follows_the_quietest_of_two_seconds():
    gate = Gate(32, 12)
    for frame in log_mel(np.concatenate([silence(3, 1000), silence(0.2), silence(3, 1000)]),
                         CONFIG)[:-60]:
        gate.push(frame)
    loud = gate.floor_octaves
    assert loud > 25  # the dip is more than two seconds ago
    for frame in log_mel(silence(1, 10), CONFIG):
        gate.push(frame)
    assert gate.floor_octaves < 16


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 120)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_is_heard_frames_come_once_and_in_order(parts):
    rng = np.random.default_rng(0)
    frames = np.concatenate([np.full((n, 32), 20 * 512 if loud else 12 * 512) for loud, n in parts])
    frames = (frames + rng.integers(0, 200, frames.shape)).astype(np.int16)
    gate, given_, is_word = Gate(32, 12), -1, False
    for at, frame in enumerate(frames):
        cut = gate.push(frame)
        assert not (cut.begins and is_word)
        is_word = is_word or cut.begins
        assert is_word or not len(cut.frames)
        for row in cut.frames:
            where = [i for i in range(given_ + 1, at + 1) if np.array_equal(frames[i], row)]
            assert where
            assert cut.begins or where[0] == given_ + 1
            given_ = where[0]
            cut = cut._replace(begins=False)
        is_word = is_word and not (cut.ends or cut.dropped)
        assert len(gate._ring) == 21
        assert len(gate._minima) <= 8
        assert len(gate._recent) <= 3


def test_words_of_a_whole_signal_are_those_of_the_stream_without_the_dropped_ones():
    samples = np.concatenate([silence(3, 300), silence(0.5), tone(400, 0.4), silence(1),
                              tone(900, 0.3)])
    found = cuts(samples)
    assert [dropped for *_, dropped in found] == [True, False, False]
    assert words(log_mel(samples, CONFIG), 12) == [word[:2] for word in found[1:]]
    assert words(log_mel(samples, CONFIG)[:0], 12) == []


@pytest.mark.parametrize("frames", [np.zeros((5, 32)), np.zeros(32, np.int16),
                                    np.zeros((5, 0), np.int16)])
def test_frames_of_another_shape_or_type_are_refused(frames):
    with pytest.raises(ShapeError, match="n_bands"):
        words(frames, 12)


@pytest.fixture(scope="module")
def digits(data_root):
    """Test recordings of real digits: every speaker's first ones."""
    from edge_sdk.data import fsdd

    return [r for r in fsdd(data_root) if r.index < 2]


def test_real_digits_with_silence_between_are_one_word_each(digits):
    # Two of lucas's have another sound behind a pause of a third of a second.
    single = [r for r in digits if (r.speaker, r.digit, r.index) not in
              {("lucas", 5, 1), ("lucas", 8, 0)}]
    order = np.random.default_rng(0).permutation(len(single))
    for first in range(0, len(order) - 2, 3):
        three = [single[i] for i in order[first : first + 3]]
        parts = [silence(0.5)]
        for recording in three:
            parts += [recording.samples, silence(0.4)]
        found = cuts(np.concatenate(parts))
        assert len(found) == 3, [(r.speaker, r.digit, r.index) for r in three]
        assert not any(dropped for *_, dropped in found)
