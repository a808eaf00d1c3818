"""A recurrent model in every engine: eager mode's answers, however the frames are cut."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny_sequence as tiny  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from edge_sdk import containers, freeze, inspect, selftest  # noqa: E402
from edge_sdk.bench import __main__ as bench  # noqa: E402
from edge_sdk.engines import SequenceModel, load  # noqa: E402
from edge_sdk.errors import EdgeError, FormatError, GranularityError, ShapeError  # noqa: E402

FILES = ("executorch", "litert", "onnx", "onnx-step")


def wordy(message):
    """Whether an error says what was expected and what to do."""
    return "expected " in message and "\nhint: " in message and "Traceback" not in message


@pytest.fixture(scope="module", params=FILES)
def done(request, sequence_file):
    return sequence_file(request.param)


@pytest.fixture(scope="module")
def model(done):
    return load(done.path)


@pytest.fixture(scope="module")
def eager():
    return tiny.model()


@pytest.mark.parametrize("length", [1, 2, 11, 12, 128, 129, 130, 300])
def test_whole_sequences_are_as_in_eager_mode(model, eager, length):
    x, = tiny.sequences([length], seed=length)
    states, logits = tiny.answers(eager, x)
    h, got = model.advance(x)
    scale = max(1.0, np.abs(logits).max())
    assert got.shape == (length, tiny.N_CLASSES)
    np.testing.assert_allclose(got, logits, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(h, states[-1], rtol=0, atol=1e-5 * scale)
    np.testing.assert_array_equal(model.run(x), got[-1])


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_a_sequence_may_be_cut_anywhere(model, cuts, seed):
    x, = tiny.sequences([sum(cuts)], seed=seed)
    want_h, want = model.advance(x)
    h, found = None, []
    for piece in np.split(x, np.cumsum(cuts)[:-1]):
        h, logits = model.advance(piece, h)
        found.append(logits)
    scale = max(1.0, np.abs(want).max())
    np.testing.assert_allclose(np.concatenate(found), want, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(h, want_h, rtol=0, atol=1e-5 * scale)


def test_step_by_step_is_the_whole_sequence(model, done):
    x, = tiny.sequences([130], seed=5)
    want_h, want = model.advance(x)
    h = None
    for frame, logits in zip(x, want, strict=True):
        h, got = model.step(frame, h)
        np.testing.assert_allclose(got, logits, rtol=0, atol=1e-5 * max(1.0, np.abs(want).max()))
    np.testing.assert_allclose(h, want_h, rtol=0, atol=1e-5)
    assert done.metadata.sequence.streaming_difference <= 1e-5


def test_a_stream_takes_frames_and_pieces_and_begins_anew_when_told(model):
    x, = tiny.sequences([30], seed=6)
    stream = model.stream()
    first = stream.push(x[0])
    np.testing.assert_allclose(first, model.step(x[0])[1], rtol=0, atol=1e-6)
    last = stream.push(x[1:])
    np.testing.assert_allclose(last, model.run(x), rtol=0, atol=1e-4)
    stream.reset()
    np.testing.assert_array_equal(stream.h, np.zeros(tiny.N_HIDDEN, np.float32))
    np.testing.assert_array_equal(stream.push(x[0]), first)


def test_the_model_keeps_no_state_and_hands_out_its_own_arrays(model):
    one, other = tiny.sequences([13, 17], seed=7)
    before = model.run(one)
    h, logits = model.step(one[0])
    kept = h.copy(), logits.copy()
    model.run(other)
    np.testing.assert_array_equal(model.run(one), before)
    np.testing.assert_array_equal(h, kept[0])
    np.testing.assert_array_equal(logits, kept[1])


def test_arrays_of_any_stride_are_taken(model):
    x, = tiny.sequences([24], seed=8)
    wide = np.zeros((24, 64), np.float32)
    wide[:, ::2] = x
    np.testing.assert_array_equal(model.run(wide[:, ::2]), model.run(x))
    np.testing.assert_array_equal(model.step(wide[3, ::2])[1], model.step(x[3])[1])


def test_every_method_runs_alone_and_its_specs_are_true(model):
    x, = tiny.sequences([20], seed=9)
    for name, method in model.info.methods.items():
        n = method.least if method.most == method.least else 7
        out = model.engine.call(name, {"x": x[:n], "h": model.start()[None]})
        assert [(spec.name, out[spec.name].dtype) for spec in method.outputs] == [
            ("h_next", np.float32), ("logits", np.float32)]
        assert out["h_next"].shape == method.outputs[0].shape == (1, tiny.N_HIDDEN)
        assert out["logits"].shape == (n, tiny.N_CLASSES)


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "words"), [
    (np.zeros((0, 32), np.float32), "at least one frame, got a sequence of length 0"),
    (np.zeros((5, 31), np.float32), r"float32 of shape \(T, 32\), got float32 of shape \(5, 31\)"),
    (np.zeros((1, 5, 32), np.float32), "got float32 of shape"),
    (np.zeros(32, np.float32), "whole frames; one frame goes to step"),
    (np.zeros((5, 32)), "got float64"),
    ([[0.0] * 32], "a NumPy array"),
    (np.full((5, 32), np.nan, np.float32), "finite numbers, got NaN"),
    (np.full((5, 32), np.inf, np.float32), "finite numbers"),
], ids=["empty", "narrow", "batched", "a frame", "float64", "a list", "nan", "infinite"])
def test_frames_that_are_none_are_refused_and_leave_no_trace(model, x, words):
    good, = tiny.sequences([15], seed=3)
    stream = model.stream()
    stream.push(good)
    before = stream.h.copy()
    with pytest.raises(ShapeError, match=words) as error:
        model.advance(x)
    assert wordy(str(error.value))
    if not (isinstance(x, np.ndarray) and x.ndim == 1):
        with pytest.raises(ShapeError):
            stream.push(x)
    np.testing.assert_array_equal(stream.h, before)


@pytest.mark.parametrize(("x", "h"), [
    (np.zeros(31, np.float32), None), (np.zeros((1, 32), np.float32), None),
    (np.full(32, np.nan, np.float32), None), (np.zeros(32), None), (None, None),
    (np.zeros(32, np.float32), np.zeros(23, np.float32)),
    (np.zeros(32, np.float32), np.zeros((1, 24), np.float32)),
    (np.zeros(32, np.float32), np.zeros(24)), (np.zeros(32, np.float32), [0.0] * 24),
    (np.zeros(32, np.float32), np.full(24, np.inf, np.float32)),
], ids=str)
def test_a_wrong_frame_or_state_is_a_shape_error(model, x, h):
    with pytest.raises(ShapeError) as error:
        model.step(x, h)
    assert wordy(str(error.value))


def test_a_sequence_model_has_no_granularities_and_a_granular_one_no_steps(sequence_file, artifact):
    engine = load(sequence_file("onnx").path).engine
    assert engine.granularities == ()
    for name in (None, "XL", "scan"):
        with pytest.raises(GranularityError, match="a file with granularities, got a fastgrnn"):
            engine.run({"x": np.zeros((1, 32), np.float32)}, name)
    with pytest.raises(FormatError, match="a file of a recurrent model, got a matformer"):
        SequenceModel.load(artifact("onnx").path)
    with pytest.raises(EdgeError) as error:
        freeze.freeze(engine.artifact.path, "S", engine.artifact.path.with_name("f.onnx"))
    assert wordy(str(error.value))


def test_a_damaged_file_is_refused_by_everything_that_reads_it(done, run_command, tmp_path):
    content = done.path.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / done.path.name
    for at in (0, *rng.integers(0, len(content), 30), len(content) - 1):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            load(path)
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError):
            load(path)
    for command in (selftest, bench, inspect):
        status, out, err = run_command(command.app, path)
        assert (status, out) == (1, "")
        assert err.startswith("FormatError: ")
        assert wordy(err)


def test_loading_an_exported_sequence_model_loads_no_torch(sequence_file):
    script = ("import sys; from edge_sdk.engines import load; load(sys.argv[1]).stream()\n"
              "print([m for m in ('torch', 'onnx', 'edge_sdk.exporters', 'edge_sdk.sequence') "
              "if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", script, sequence_file("onnx").path],
                          capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_sealed_file_that_no_engine_loads_is_an_error_of_ours(sequence_file, tmp_path):
    native = containers.unsealed_bytes(sequence_file("onnx-step").path)
    path = tmp_path / "m.onnx"
    path.write_bytes(native.replace(b"Sigmoid", b"Zigmoid"))
    containers.seal(path)
    with pytest.raises(EdgeError) as error:
        load(path)
    assert wordy(str(error.value))
