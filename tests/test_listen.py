"""From samples to words: the one loop for files and the microphone, and the command."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import silence, tone, write_wav

from edge_sdk import listen as module
from edge_sdk.audio import LogMelConfig, log_mel
from edge_sdk.audio.gate import words
from edge_sdk.errors import DataError, ShapeError, UnsupportedModel
from edge_sdk.fastgrnn.early import EarlyDecision
from edge_sdk.listen import Listener, front_end, listen

CONFIG = LogMelConfig()
FRONT_END = {"rate_hz": 8000, "n_bands": 32, "low_hz": 60.0, "floor_log2": 12}


class Pitch:
    """A stand-in for a model: its logits say which third of the bands was loudest so far."""

    labels = ("low", "middle", "high")
    n_inputs = 32

    def __init__(self) -> None:
        self.preprocessing = {"log_mel": FRONT_END}
        self.heard: list[np.ndarray] = []

    def stream(self):
        return self

    def reset(self) -> None:
        self.heard = []

    def push(self, frame):
        assert frame.dtype == np.float32
        self.heard.append(frame.copy())
        return self.logits(np.array(self.heard))

    @staticmethod
    def logits(frames):
        bands = frames.astype(np.float64).mean(0)
        return np.array([part.mean() for part in np.array_split(bands, 3)], np.float32)


def words_in(*parts: np.ndarray, early=None, block=160, gate=None):
    samples = np.concatenate(parts)
    listener = Listener(Pitch(), early=early, gate=gate)
    blocks = [samples[i : i + block] for i in range(0, len(samples), block)]
    return list(listen(blocks, listener))


# ---- the listener --------------------------------------------------------------------------

def test_three_words_with_silence_between_are_three_answers_with_their_times():
    found = words_in(silence(0.5), tone(300, 0.4), silence(0.4), tone(3000, 0.3), silence(0.4),
                     tone(1000, 0.3), silence(0.4))
    assert [word.label for word in found] == ["low", "high", "middle"]
    for word, start, end in zip(found, (0.5, 1.3, 2.0), (0.9, 1.6, 2.3), strict=True):
        assert word.start_s == pytest.approx(start, abs=0.03)
        assert word.decided_s == pytest.approx(end + 0.2, abs=0.06)
        assert not word.sure
        assert 1 / 3 < word.confidence <= 1


def test_an_answer_is_the_models_of_the_words_own_frames():
    samples = np.concatenate([silence(0.5, 20), tone(300, 0.4), silence(0.5, 20, 1)])
    (begin, end), = words(log_mel(samples, CONFIG), CONFIG.floor_log2)
    word, = words_in(samples)
    frames = log_mel(samples, CONFIG)[begin:end] / np.float32(512)
    logits = Pitch.logits(frames)
    powers = np.exp(logits - logits.max())
    assert word.confidence == pytest.approx(powers.max() / powers.sum(), rel=1e-6)
    assert word.id == logits.argmax()


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_however_samples_come_the_words_are_the_same(sizes):
    samples = np.concatenate([silence(0.3), tone(300, 0.3), silence(0.3), tone(2500, 0.2),
                              silence(0.3)])
    listener, found, start = Listener(Pitch()), [], 0
    for size in [*sizes, len(samples)]:
        found += listener.push(samples[start : start + size])
        start += size
    found += listener.finish()
    assert found == words_in(samples, block=len(samples))


def test_a_word_that_is_sure_early_is_told_before_it_ends_and_once():
    sure = EarlyDecision((20,), (0.34375,))
    word, other = words_in(silence(1), tone(300, 1.0), silence(0.4), tone(300, 0.1), silence(0.3),
                           early=sure)
    assert word.sure
    # Seven frames before it began, and a window's length.
    assert word.decided_s == pytest.approx(1.0 + 0.13 + 0.025, abs=0.03)
    assert (word.label, other.label) == ("low", "low")


def test_a_sure_word_waits_until_the_gate_knows_silence():
    sure = EarlyDecision((5,), (0.34375,))
    pause = silence(0.1)
    word, = words_in(tone(300, 0.3), pause, tone(300, 0.3), silence(0.4), early=sure)
    assert word.sure
    assert word.decided_s == pytest.approx(0.5, abs=0.03)
    # Nothing quieter in half a second: that is noise, for all the gate knows.
    assert words_in(tone(300, 1.0), silence(0.4), early=sure) == []
    assert words_in(silence(4, 1000), early=EarlyDecision((5,), (0.0,))) == []


def test_a_word_that_the_end_cuts_off_is_told_at_the_end_and_a_new_stream_begins():
    listener = Listener(Pitch())
    assert listener.push(np.concatenate([silence(0.5), tone(300, 0.3)])) == []
    word, = listener.finish()
    assert (word.label, word.start_s) == ("low", pytest.approx(0.5, abs=0.03))
    assert listener.finish() == []
    assert listener.push(silence(1)) == []
    assert listener.push(np.concatenate([tone(3000, 0.3), silence(0.4)]))[0].start_s == \
        pytest.approx(1.0, abs=0.03)


def test_silence_and_nothing_at_all_have_no_words():
    assert words_in(silence(3)) == []
    assert Listener(Pitch()).push(np.empty(0, np.int16)) == []
    assert Listener(Pitch()).finish() == []


def test_samples_of_another_type_are_refused():
    with pytest.raises(ShapeError, match="int16"):
        Listener(Pitch()).push(np.zeros(100, np.float32))


@pytest.mark.parametrize(("preprocessing", "words"), [
    ({}, "unknown features"), ({"mfcc": {}}, "mfcc"), ({"log_mel": 3}, "log_mel"),
    ({"log_mel": {**FRONT_END, "n_bands": 31}}, "32 bands"),
    ({"log_mel": {**FRONT_END, "warp": 2}}, "warp")])
def test_a_model_of_other_features_is_refused(preprocessing, words):
    model = Pitch()
    model.preprocessing = preprocessing
    with pytest.raises(UnsupportedModel, match=words):
        front_end(model)


def test_without_labels_a_word_is_its_number():
    model = Pitch()
    model.labels = ()
    listener = Listener(model)
    word, = [*listener.push(np.concatenate([silence(0.5), tone(3000, 0.3)])), *listener.finish()]
    assert (word.id, word.label) == (2, "2")


# ---- the command ---------------------------------------------------------------------------

@pytest.fixture
def pitch(monkeypatch):
    """The command with the stand-in, whatever file is named."""
    monkeypatch.setattr(module, "_load", lambda path: (Pitch(), None))


@pytest.fixture
def two_words(tmp_path):
    return write_wav(tmp_path / "two.wav", np.concatenate(
        [silence(0.5), tone(300, 0.3), silence(0.4), tone(3000, 0.3), silence(0.4)]))


@pytest.mark.usefixtures("pitch")
def test_the_command_prints_a_line_for_each_word(run_command, two_words):
    status, out, err = run_command(module.app, two_words)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[2] for line in lines] == ["low", "high"]
    assert re.fullmatch(r"  0\.[45]\d s  low  [01]\.\d\d", lines[0])


@pytest.mark.usefixtures("pitch")
def test_json_has_a_line_for_each_word_with_all_that_is_known(run_command, two_words):
    status, out, _ = run_command(module.app, two_words, "--json")
    samples = np.concatenate(
        [silence(0.5), tone(300, 0.3), silence(0.4), tone(3000, 0.3), silence(0.4)])
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        asdict(word) for word in words_in(samples)]


@pytest.mark.usefixtures("pitch")
def test_another_form_of_wav_is_taken_with_a_notice(run_command, tmp_path):
    pytest.importorskip("soxr")
    path = write_wav(tmp_path / "stereo.wav", np.repeat(np.concatenate(
        [silence(0.5), tone(300, 0.3), silence(0.4)]), 2), rate=16000, channels=2)
    status, out, err = run_command(module.app, path)
    assert (status, len(out.splitlines())) == (0, 1)
    assert err.startswith("notice: ")
    assert "16000" in err


@pytest.mark.usefixtures("pitch")
def test_a_truncated_wav_ends_with_status_1_and_its_reason(run_command, two_words):
    two_words.write_bytes(two_words.read_bytes()[:-1000])
    status, out, err = run_command(module.app, two_words)
    assert (status, out) == (1, "")
    assert err.startswith("DataError: expected ")


@pytest.mark.usefixtures("pitch")
@pytest.mark.parametrize("arguments", [[], ["a.wav", "--mic"]])
def test_a_file_or_the_microphone_and_not_both_or_neither(run_command, arguments):
    status, _, err = run_command(module.app, *arguments)
    assert status == 2
    assert "--mic" in err


@pytest.mark.usefixtures("pitch")
def test_the_microphone_goes_through_the_same_loop_and_is_closed(run_command, monkeypatch):
    closed = []

    def fake(rate_hz):
        assert rate_hz == 8000
        try:
            yield from (silence(0.5), tone(300, 0.3), silence(0.4))
            raise DataError("a microphone", "it was unplugged", hint="plug it in")
        finally:
            closed.append(True)

    monkeypatch.setattr(module, "microphone", fake)
    status, out, err = run_command(module.app, "--mic")
    assert (status, closed) == (1, [True])
    assert out.split()[2] == "low"
    assert "unplugged" in err


def cell(seed=0, **options):
    """A FastGRNN of random weights behind the front end, as a file would hold it."""
    from edge_sdk.fastgrnn import Weights
    from edge_sdk.fastgrnn.model import FastGRNN

    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(0, 0.4, shape).astype(np.float32)

    return FastGRNN.build(Weights(
        w=(normal(32, 6), normal(6, 16)), u=(normal(16, 16),), bias_gate=normal(16),
        bias_update=normal(16), zeta=0.9, nu=0.02, head=normal(16, 3), head_bias=normal(3),
        mean=np.full(32, 16, np.float32), scale=np.full(32, 0.2, np.float32),
        labels=("a", "b", "c"), preprocessing={"log_mel": FRONT_END}), **options)


def test_a_file_of_the_core_is_heard_as_it_reads_whole_words(run_command, two_words, tmp_path):
    model = cell()
    model.save(tmp_path / "cell.grnn")
    status, out, err = run_command(module.app, two_words, "--model", tmp_path / "cell.grnn",
                                   "--json")
    assert (status, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    samples = np.concatenate(
        [silence(0.5), tone(300, 0.3), silence(0.4), tone(3000, 0.3), silence(0.4)])
    frames = (log_mel(samples, CONFIG) / np.float32(512)).astype(np.float32)
    spans = words(log_mel(samples, CONFIG), CONFIG.floor_log2)
    for word, (begin, end) in zip(found, spans, strict=True):
        logits = model.run(frames[begin:end])
        assert word["label"] == "abc"[logits.argmax()]
        powers = np.exp(logits.astype(np.float64) - logits.max())
        assert word["confidence"] == np.float32(powers.max() / powers.sum())
        assert not word["sure"]


def test_the_thresholds_in_a_file_are_used(run_command, two_words, tmp_path):
    cell(early=EarlyDecision((20,), (0.0,)).to_dict()).save(tmp_path / "cell.grnn")
    _, out, _ = run_command(module.app, two_words, "--model", tmp_path / "cell.grnn", "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["sure"]
    assert second["sure"]
    assert second["decided_s"] - second["start_s"] == pytest.approx(0.15, abs=0.02)


def test_a_listener_decides_as_the_thresholds_do_on_the_words_that_the_gate_cuts():
    samples = np.concatenate([silence(1), tone(300, 0.5), silence(0.4), tone(2500, 0.3),
                              silence(0.4), tone(900, 0.2), silence(0.4)])
    frames = log_mel(samples, CONFIG)
    for seed in range(5):
        model, early = cell(seed), EarlyDecision((15, 25, 40), (0.75, 0.625, 0.5))
        found = list(listen([samples], Listener(model, early=early)))
        for word, (begin, end) in zip(found, words(frames, CONFIG.floor_log2), strict=True):
            stream = model.stream()
            wanted = early.run([stream.push(frame.astype(np.float32) / np.float32(512))
                                for frame in frames[begin:end]])
            assert (word.id, word.confidence, word.sure) == (
                wanted.id, wanted.confidence, wanted.sure)


def test_a_damaged_model_ends_with_status_1(run_command, two_words, tmp_path):
    (tmp_path / "cell.grnn").write_bytes(b"no model")
    status, _, err = run_command(module.app, two_words, "--model", tmp_path / "cell.grnn")
    assert status == 1
    assert err.startswith("FormatError: ")


# ---- real speech ---------------------------------------------------------------------------

@pytest.fixture(scope="module")
def digits(data_root):
    """Test recordings of real digits: every speaker's first ones."""
    from edge_sdk.data import fsdd

    return [r for r in fsdd(data_root) if r.index < 2]


def test_the_shipped_model_hears_the_digits_that_were_spoken(digits, tmp_path, run_command):
    chosen = [next(r for r in digits if r.digit == d and r.speaker == s and r.index == 0)
              for d, s in ((7, "jackson"), (3, "theo"), (9, "yweweler"))]
    parts = [silence(0.5)]
    for recording in chosen:
        parts += [recording.samples, silence(0.4)]
    path = write_wav(tmp_path / "three.wav", np.concatenate(parts))
    status, out, err = run_command(module.app, path)
    assert (status, err) == (0, "")
    assert [line.split()[2] for line in out.splitlines()] == ["seven", "three", "nine"]
