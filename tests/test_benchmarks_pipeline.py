"""The peers of the whole pipeline do the same work, and are not timed if they do not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("typer")
from benchmarks import report
from benchmarks.peers import peers
from benchmarks.pipeline_calls import (
    BARE,
    _compare_image,
    _pass,
    every_size,
    front_end_of,
    loud,
    unchecked,
)
from benchmarks.report_pipeline import pareto
from benchmarks.report_source import Node
from edge_sdk import reference
from edge_sdk.audio.gate import words
from edge_sdk.audio.logmel import (
    FEATURE_BITS,
    POSITION_BITS,
    LogMelConfig,
    log_mel,
    tables,
    triangles,
)
from edge_sdk.errors import ComparisonError

CONFIG = {"rate_hz": 8000, "n_bands": 32, "low_hz": 60.0, "floor_log2": 12}
MADE = LogMelConfig(**CONFIG)


def sound(*parts: tuple[float, float], seed: int = 0) -> np.ndarray:
    """Return noise of (seconds, amplitude) after one another, int16."""
    drawn = np.random.default_rng(seed)
    return np.concatenate([drawn.normal(0, amplitude, round(seconds * 8000))
                           for seconds, amplitude in parts]).round().astype(np.int16)


# ---- the peer of speech ------------------------------------------------------------------------


@pytest.mark.parametrize("amplitude", [0, 3, 500, 9000])
def test_the_peers_front_end_is_log_mel(amplitude):
    samples = sound((0.4, amplitude))
    n = np.arange(MADE.window)
    right = reference.log_mel(
        samples, 0.5 - 0.5 * np.cos(2 * np.pi * n / MADE.window),
        triangles(tables(MADE).position, MADE.n_bands) / (1 << POSITION_BITS),
        hop=MADE.hop, n_fft=MADE.n_fft, floor=float(1 << MADE.floor_log2))
    got = front_end_of(CONFIG)(samples)
    assert got.dtype == np.float32
    assert got.shape == (MADE.n_frames(len(samples)), MADE.n_bands)
    np.testing.assert_allclose(got, right, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_peers_gate_cuts_the_words_that_ours_cuts(seed):
    samples = sound((0.6, 3), (0.4, 2000), (0.7, 3), (0.3, 900), (0.6, 3), seed=seed)
    ours = words(log_mel(samples, MADE), MADE.floor_log2)
    theirs = loud(front_end_of(CONFIG)(samples))
    assert len(ours) == len(theirs) == 2
    assert np.abs(np.subtract(ours, theirs)).max() <= 3  # frames


def test_the_peers_gate_hears_nothing_in_silence_and_in_clicks():
    front = front_end_of(CONFIG)
    assert loud(front(sound((1.0, 3)))) == []
    assert loud(front(np.zeros(8000, np.int16))) == []
    click = sound((1.0, 3))
    click[4000] = 30000
    assert loud(front(click)) == []
    assert loud(np.zeros((2, 32), np.float32)) == []


def test_features_of_both_are_the_same_octaves():
    samples = sound((0.5, 1000))
    ours = log_mel(samples, MADE) / (1 << FEATURE_BITS)
    assert np.abs(ours - front_end_of(CONFIG)(samples)).max() < 0.02


# ---- answers before times ----------------------------------------------------------------------


def test_a_pass_answers_every_picture():
    pictures = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    call = _pass(lambda picture: int(picture.sum()), pictures)
    call.run()
    assert call.output().tolist() == [6.0, 22.0, 38.0]


def test_a_call_that_answers_something_else_is_not_timed(tmp_path):
    pictures = np.zeros((3, 2, 2), np.uint8)
    right = {"XL": np.array([1, 1, 1])}
    _compare_image(tmp_path, "onnx", BARE, lambda picture: 1, pictures, right)
    assert json.loads((tmp_path / f"onnx, {BARE}.json").read_text()) == [1, 1, 1]
    with pytest.raises(ComparisonError, match="3 of 3 others - at onnx, bare XL"):
        _compare_image(tmp_path, "onnx", BARE, lambda picture: 2, pictures, right)


def test_an_answer_is_compared_with_that_of_the_plan_that_gave_it(tmp_path):
    pictures = np.zeros((2, 2, 2), np.uint8)
    right = {"XL": np.array([1, 1]), "S": np.array([1, 7])}
    plans = iter(["XL", "S"])

    def answer(picture):
        answer.plan = next(plans)
        return 1 if answer.plan == "XL" else 7

    _compare_image(tmp_path, "onnx", "by budget", answer, pictures, right)


def test_each_size_of_a_file_is_a_call_of_that_size(artifact):
    from edge_sdk.artifact import unpack_array
    from edge_sdk.engines import load

    path = artifact("onnx", "elastic").path
    calls = every_size(path.parent, path.name)
    engine = load(path)
    golden = engine.metadata.golden.inputs
    inputs = {name: unpack_array(packed)[:1] for name, packed in golden.items()}
    assert list(calls) == list(engine.granularities)
    outputs = [call.output() for call in calls.values()]
    for size, got in zip(calls, outputs, strict=True):
        np.testing.assert_array_equal(got, engine.run(inputs, size)["logits"])
    assert not np.array_equal(outputs[0], outputs[-1])


def broken(folder):
    raise ComparisonError("the same words", "others", where="a peer", hint="not timed")


def test_a_peer_that_answers_something_else_ends_the_measurement(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="did not answer as it should"), \
            peers({"broken": broken}, unchecked, tmp_path):
        pass
    assert "the same words" in capfd.readouterr().err


# ---- the front of accuracy, latency and RAM ----------------------------------------------------


def nodes(*values: float | None) -> tuple[Node, ...]:
    return tuple(Node(value, "d/pipeline.json#/x") for value in values)


COST = st.sampled_from([0.5, 1.0, 2.0, None])


@given(st.lists(st.tuples(COST, COST, COST), max_size=8))
def test_what_is_on_the_front_is_beaten_by_none_and_all_others_by_one(costs):
    front = pareto([nodes(*one) for one in costs])
    whole = [one for one in costs if None not in one]

    def beats(one, other):
        better = one[0] >= other[0] and one[1] <= other[1] and one[2] <= other[2]
        return better and one != other

    for one, best in zip(costs, front, strict=True):
        assert best == (None not in one and not any(beats(other, one) for other in whole))


def test_nothing_is_said_of_what_is_not_measured():
    assert pareto([nodes(0.9, 1.0, math.nan), nodes(0.8, 2.0, 3.0)]) == [False, True]


# ---- on the page -------------------------------------------------------------------------------


def test_the_page_has_the_front_and_the_pipelines(tmp_path):
    sizes = [{"engine": engine, "precision": precision, "size": size, "latency_ms": 0.1 + i,
              "ram_mb": 20.0 - i, "file_bytes": 1000, "accuracy": 0.8 + i / 100}
             for engine in ("LiteRT", "ONNX Runtime") for precision in ("fp32", "int8")
             for i, size in enumerate(("S", "XL"))]
    images = [{"engine": "LiteRT", "call": call, "ms": ms, "ram_mb": None, "accuracy": 0.9}
              for call, ms in (("bare XL", 0.5), ("Session, cascade", 0.4))]
    heard = [{"engine": "edge_sdk", "call": "Listener", "ms": 3.0, "ram_mb": 1.0},
             {"engine": "NumPy", "call": "frame by frame", "ms": 9.0, "ram_mb": 2.0}]
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "pipeline.json").write_text(json.dumps({"parts": {
        "sizes": {"rows": [], "sizes": sizes, "n": 5, "model": "m", "cases": "drawings",
                  "command": "python -m benchmarks.pipeline --only sizes"},
        "images": {"rows": [], "calls": images, "n": 2, "model": "m"},
        "words": {"rows": [], "calls": heard, "n": 2, "mean_recording_s": 1.5}}}))
    html = report.page(tmp_path)
    for name in ("d-pareto-latency-ms", "d-pareto-ram-mb", "d-pictures-ms", "d-words-ms"):
        assert f'id="{name}"' in html
    assert "d/pipeline.json#/parts/sizes/sizes/0/ram_mb" in html
