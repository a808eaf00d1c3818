"""`FastGRNN`: states are NumPy's to the bit on every processor, however the frames come."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk import FastGRNN, _native, corefile, reference
from edge_sdk.errors import CodeError, FormatError, OutputError, ShapeError, VersionError
from edge_sdk.fastgrnn.integer import quantize
from edge_sdk.fastgrnn.weights import NONLINEARITIES, Weights

FOLDER = Path(__file__).resolve().parent / "vectors"
AT_VERSION, AT_DIGEST, HEAD_BYTES, ENTRY = 8, 56, 64, 32
SOME = settings(max_examples=60, deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])


def load_generator():
    spec = importlib.util.spec_from_file_location("make_fastgrnn", FOLDER / "make_fastgrnn.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


exact = load_generator()


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def frames_for(weights, n=7, seed=0, size=1.0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, weights.n_inputs)) * size).astype(np.float32)


shapes = st.fixed_dictionaries({
    "seed": st.integers(0, 2**32), "n_inputs": st.integers(1, 130),
    "n_hidden": st.integers(1, 130), "n_classes": st.integers(0, 130),
    "rank_w": st.integers(0, 130), "rank_u": st.integers(0, 130),
    "gate": st.sampled_from(NONLINEARITIES), "update": st.sampled_from(NONLINEARITIES),
    "normalized": st.booleans(), "density": st.sampled_from([1.0, 0.5, 0.1, 0.0]),
})


def cell_of(shape):
    rank_w = min(shape["rank_w"], shape["n_inputs"], shape["n_hidden"])
    return exact.random_weights(**{**shape, "rank_w": rank_w,
                                   "rank_u": min(shape["rank_u"], shape["n_hidden"])})


def is_finite(weights, frames):
    """Whether states stay far enough from overflow, which a ReLU can reach."""
    with np.errstate(all="ignore"):
        return bool(np.abs(exact.states(weights, frames)).max() < 1e30)


# --- answers ----------------------------------------------------------------------------


@SOME
@given(shape=shapes, n=st.integers(1, 70), sparse=st.booleans())
def test_states_and_logits_are_those_of_numpy_to_the_bit(isa, shape, n, sparse):
    weights = cell_of(shape)
    frames = frames_for(weights, n, shape["seed"])
    if not is_finite(weights, frames):
        return
    model = FastGRNN.build(weights, sparse=sparse)
    want = exact.states(weights, frames)
    assert same(model.states(frames), want)
    if weights.n_classes:
        assert same(model.run(frames), exact.logits(weights, want[-1]))


@SOME
@given(shape=shapes, n=st.integers(1, 20))
def test_states_are_near_those_of_float64(shape, n):
    weights = replace(cell_of(shape), gate="sigmoid", update="tanh")
    frames = frames_for(weights, n, shape["seed"])
    want, want_logits = reference.fastgrnn(
        frames, w=weights.w, u=weights.u, bias_gate=weights.bias_gate,
        bias_update=weights.bias_update, zeta=weights.zeta, nu=weights.nu, head=weights.head,
        head_bias=weights.head_bias, mean=weights.mean, scale=weights.scale)
    model = FastGRNN.build(weights)
    assert np.abs(model.states(frames) - want).max() < 2e-5
    if weights.n_classes:
        assert np.abs(model.run(frames) - want_logits[-1]).max() < 2e-4


@SOME
@given(shape=shapes, cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_a_stream_in_any_pieces_is_the_whole(isa, shape, cuts):
    weights = cell_of(shape)
    frames = frames_for(weights, sum(cuts), shape["seed"])
    if not is_finite(weights, frames):
        return
    model, at = FastGRNN.build(weights), 0
    stream, states = model.stream(), model.states(frames)
    for cut in cuts:
        piece = frames[at : at + cut] if cut > 1 else frames[at]
        logits = stream.push(piece)
        at += cut
        assert same(stream.h, states[at - 1])
    if weights.n_classes:
        assert same(logits, model.run(frames))
    stream.reset()
    assert not stream.h.any()


@SOME
@given(shape=shapes)
def test_a_step_is_one_frame_of_a_run(isa, shape):
    weights = cell_of(shape)
    frames = frames_for(weights, 3, shape["seed"])
    if not is_finite(weights, frames):
        return
    model, h = FastGRNN.build(weights), None
    for frame, state in zip(frames, model.states(frames), strict=True):
        h, logits = model.step(frame, h)
        assert same(h, state)
    if weights.n_classes:
        assert same(logits, model.run(frames))
        out = np.empty(weights.n_hidden, np.float32), np.empty(weights.n_classes, np.float32)
        assert model.step(frames[0], out=out) is out
        assert same(out[0], model.states(frames[:1])[0])
        assert same(out[1], model.run(frames[:1]))


@SOME
@given(shape=shapes, n=st.integers(1, 12), wild=st.booleans())
def test_a_model_in_integers_is_its_numpy_twin(shape, n, wild):
    shape = {**shape, "gate": shape["gate"].replace("relu", "tanh"),
             "update": shape["update"].replace("relu", "sigmoid")}
    weights = cell_of(shape)
    real = frames_for(weights, n, shape["seed"])
    twin = quantize(weights, features=real)
    model = FastGRNN.build(twin)
    x = np.random.default_rng(1).integers(-32768, 32768, real.shape).astype(np.int16) if wild \
        else twin.quantize_input(real)
    states, logits = model.integers(x)
    assert same(states, twin.states(x))
    if weights.n_classes:
        assert same(logits, twin.run(x))
        want = (twin.run(twin.quantize_input(real)) * 2.0**-twin.logit_bits).astype(np.float32)
        assert same(model.run(real), want)
    want = (twin.states(twin.quantize_input(real)) * 2.0**-twin.state_bits).astype(np.float32)
    assert same(model.states(real), want)


def test_huge_and_tiny_frames_saturate_and_never_give_nan(isa):
    weights = exact.random_weights(5, 16, 40, 4, rank_w=5, rank_u=7)
    model = FastGRNN.build(weights)
    for size in (1e-45, 1e-30, 1e4, 1e20, 1e35):
        frames = np.full((4, 16), size, np.float32)
        frames[1] *= -1
        states = model.states(frames)
        assert np.isfinite(states).all()
        assert np.abs(states).max() <= 4
    with pytest.raises(CodeError):  # infinity minus infinity
        model.states(np.full((4, 16), 3e38, np.float32))


def test_a_state_beyond_float32_is_refused_and_the_stream_keeps_the_one_before(isa):
    ones = np.ones((2, 2), np.float32) * 1e30
    weights = Weights(w=(ones,), u=(ones,), bias_gate=ones[0] * 0, bias_update=ones[0] * 0,
                      zeta=1.0, nu=1.0, gate="sigmoid", update="relu")
    stream = FastGRNN.build(weights).stream()
    frame = np.ones(2, np.float32)
    stream.push(frame)
    before = stream.h
    with pytest.raises(CodeError, match="NaN or infinite"):
        stream.push(frame)
    assert same(stream.h, before)


def test_the_published_usps_model_gives_its_published_states(isa, data_root):
    folder = data_root / "conformance" / "edgeml"
    raw = json.loads((folder / "usps_fastgrnn_lr.json").read_text())
    oracle = json.loads((folder / "usps_fastgrnn_lr_oracle.json").read_text())
    weights = usps(raw)
    model = FastGRNN.build(weights)
    frames = np.array(raw["input"], np.float32).reshape(10, 16, 16)
    mean, deviation = (np.array(raw[f"USPS_{name}"], np.float32).reshape(16, 16)
                       for name in ("mean", "stdDev"))
    for x, hidden, scores in zip(frames, oracle["hidden"], oracle["scores"], strict=True):
        normalized = np.ascontiguousarray((x - mean) / deviation)
        assert np.abs(model.states(normalized) - np.array(hidden)).max() <= 2e-6
        assert np.abs(model.run(normalized) - np.array(scores)).max() <= 2e-5


def usps(raw):
    def matrix(name, rows):
        return np.ascontiguousarray(np.array(raw[name], np.float32).reshape(rows, -1))

    def factor(name, rank):
        """C holds (outputs, inputs) row by row."""
        return np.ascontiguousarray(matrix(name, rank).T)

    return Weights(
        w=(factor("USPS_W1", 5), factor("USPS_W2", 32)),
        u=(factor("USPS_U1", 5), factor("USPS_U2", 32)),
        bias_gate=matrix("USPS_Bg", 1)[0], bias_update=matrix("USPS_Bh", 1)[0],
        zeta=raw["USPS_sigmoid_zeta"], nu=raw["USPS_sigmoid_nu"],
        head=factor("FC_weights", 10), head_bias=matrix("FCbias", 1)[0])


# --- files ------------------------------------------------------------------------------


def small(**options):
    return exact.random_weights(9, 3, 6, 2, rank_u=2, **options)


def test_a_saved_file_says_what_the_model_was(tmp_path):
    weights = replace(small(), labels=("yes", "nö"), preprocessing={"log_mel": {"n_bands": 3}})
    model = FastGRNN.build(weights, early={"at": [1, 2]})
    model.save(tmp_path / "a.grnn")
    for opened in (FastGRNN.load(tmp_path / "a.grnn"),
                   FastGRNN.open(tmp_path / "a.grnn", verify=False)):
        assert (opened.n_inputs, opened.n_hidden, opened.n_classes) == (3, 6, 2)
        assert opened.ranks == (None, 2)
        assert opened.labels == ("yes", "nö")
        assert opened.preprocessing == {"log_mel": {"n_bands": 3}}
        assert opened.early == {"at": [1, 2]}
        assert opened.n_bytes == (tmp_path / "a.grnn").stat().st_size
        assert not opened.is_integer
        assert same(opened.run(frames_for(weights)), model.run(frames_for(weights)))


def test_a_file_without_notes_has_none():
    model = FastGRNN.build(small())
    assert (model.labels, model.preprocessing, model.early) == ((), {}, None)


def test_zeros_are_left_out_only_where_that_takes_less():
    full, thin = small(), exact.random_weights(1, 32, 100, 10, density=0.05)
    assert FastGRNN.build(full, sparse=True).n_bytes == FastGRNN.build(full).n_bytes
    assert FastGRNN.build(thin, sparse=True).n_bytes < FastGRNN.build(thin).n_bytes / 4


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(FormatError, match=r"none\.grnn"):
        FastGRNN.load(tmp_path / "none.grnn")
    with pytest.raises(OutputError):
        FastGRNN.build(small()).save(tmp_path / "none" / "a.grnn")
    (tmp_path / "bad.grnn").write_bytes(b"x" * 100)
    with pytest.raises(FormatError, match=r"bad\.grnn"):
        FastGRNN.load(tmp_path / "bad.grnn")


@pytest.mark.parametrize("kind", ["floats", "sparse", "integers"])
def test_every_flipped_bit_and_every_cut_is_refused(kind):
    weights = small(density=0.3)
    model = FastGRNN.build(quantize(weights, features=None)) if kind == "integers" else \
        FastGRNN.build(weights, sparse=kind == "sparse")
    data = np.array(model._data)
    for i in range(0, data.size * 8, 3):
        data[i // 8] ^= 1 << i % 8
        with pytest.raises(FormatError):
            FastGRNN(data)
        data[i // 8] ^= 1 << i % 8
    for size in range(0, data.size, 7):
        with pytest.raises((FormatError, ShapeError)):
            FastGRNN(data[:size].copy())


def sections_of(model):
    return {entry.tag: (entry.width, model._data[entry.offset : entry.offset + entry.size])
            for entry in corefile.table(model._data)}


def rebuilt(model, **changes):
    parts = {**sections_of(model), **changes}
    return corefile.pack(corefile.FASTGRNN, model.n_inputs, model.n_hidden, [
        corefile.Section(tag, width, data.size, [data])
        for tag, (width, data) in parts.items() if data is not None])


def changed(model, tag, at, value, dtype=np.uint32):
    width, data = sections_of(model)[tag]
    data = np.array(data)
    data[at : at + np.dtype(dtype).itemsize] = np.array([value], dtype).view(np.uint8)
    return rebuilt(model, **{tag: (width, data)})


@pytest.mark.parametrize(("at", "value", "dtype"), [
    (0, 7, np.uint32), (4, 7, np.uint32), (8, 65537, np.uint32), (8, 20, np.uint32),
    (12, 6, np.uint32), (16, 6, np.uint32), (20, 1, np.uint32), (20, 2, np.uint32),
    (24, 5, np.uint32), (44, 1, np.uint32), (48, -0.1, np.float32), (48, np.nan, np.float32),
    (52, 1.1, np.float32), (56, 1, np.uint32), (60, 1, np.uint32),
])
def test_a_cell_that_can_not_be_is_refused(at, value, dtype):
    with pytest.raises(FormatError):
        FastGRNN(changed(FastGRNN.build(small()), "CELL", at, value, dtype))


@pytest.mark.parametrize("tag", ["WGHT", "BIAS", "NORM"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(tag, value):
    with pytest.raises(FormatError):
        FastGRNN(changed(FastGRNN.build(small()), tag, 4, value, np.float32))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("at", range(11))
def test_sparse_places_outside_the_matrix_are_refused_even_unverified(at, verify):
    weights = exact.random_weights(1, 8, 8, 0, density=0.1, normalized=False)
    model = FastGRNN.build(weights, sparse=True)
    nonzeros = int(np.count_nonzero(weights.w[0]))
    assert 0 < nonzeros < 12
    if at < 9:  # where rows start, behind the values; then which outputs
        place, dtype, value = 64 + 4 * at, np.uint32, 99
    else:
        place, dtype, value = 128 + at - 9, np.uint8, 8
    with pytest.raises(FormatError):
        FastGRNN(changed(model, "WGHT", place, value, dtype), verify=verify)


@pytest.mark.parametrize("tag", ["CELL", "WGHT", "BIAS", "NORM"])
def test_sections_of_another_size_or_missing_are_refused(tag):
    model = FastGRNN.build(small())
    width, data = sections_of(model)[tag]
    for other in (data[:-1], np.concatenate([data, data[:1]]), data[:0]):
        with pytest.raises(FormatError):
            FastGRNN(rebuilt(model, **{tag: (width, other)}), verify=False)
    if tag != "NORM":
        with pytest.raises(FormatError):
            FastGRNN(rebuilt(model, **{tag: (width, None)}))


@pytest.mark.parametrize(("at", "value"), [
    (8, 16), (8, -1), (16, 31), (16, -31), (28, 40000), (28, -1), (36, 1), (0, 61), (12, -61),
])
def test_integers_that_can_not_be_are_refused_even_unverified(at, value):
    model = FastGRNN.build(quantize(small(), features=None))
    with pytest.raises(FormatError):
        FastGRNN(changed(model, "FIXD", at, value, np.int32), verify=False)


def test_shifts_beyond_30_are_refused_even_unverified():
    model = FastGRNN.build(quantize(small(), features=None))
    with pytest.raises(FormatError):
        FastGRNN(changed(model, "WGHT", 64, 31, np.int8), verify=False)


def test_unknown_sections_are_ignored_unless_they_are_essential():
    model = FastGRNN.build(small())
    note = 1, np.zeros(3, np.uint8)
    assert same(FastGRNN(rebuilt(model, next=note)).run(frames_for(small())),
                model.run(frames_for(small())))
    with pytest.raises(VersionError):
        FastGRNN(rebuilt(model, NEXT=note))


def test_notes_that_are_no_json_are_refused_when_they_are_read():
    model = FastGRNN(rebuilt(FastGRNN.build(small()), labl=(1, np.full(3, 123, np.uint8)),
                             prep=(1, np.frombuffer(b"[1]", np.uint8))))
    for name in ("labels", "preprocessing"):
        with pytest.raises(FormatError):
            getattr(model, name)


# --- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("x", [
    np.zeros((4, 2), np.float32), np.zeros((4, 3)), np.zeros((0, 3), np.float32),
    np.zeros((2, 2, 3), np.float32), np.zeros((3, 4), np.float32).T, np.zeros((4, 3), np.int16),
    np.zeros((4, 6), np.float32)[:, ::2], [[0.0] * 3], None, np.float32(0),
    np.zeros((4, 3), ">f4"), np.zeros(0, np.float32),
])
def test_frames_of_another_shape_or_type_are_refused(x):
    model = FastGRNN.build(small())
    for call in (model.run, model.states, model.stream().push, model.step):
        with pytest.raises(ShapeError):
            call(x)


def test_states_and_outputs_of_another_shape_are_refused():
    model, x = FastGRNN.build(small()), np.zeros(3, np.float32)
    frozen = np.zeros(2, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ShapeError):
        model.step(x, np.zeros(5, np.float32))
    with pytest.raises(ShapeError):
        model.step(x, out=(np.zeros(6, np.float32),))
    with pytest.raises(ShapeError):
        model.step(x, out=(np.zeros(6, np.float32), frozen))
    for out in (np.zeros(3, np.float32), np.zeros(2), frozen):
        with pytest.raises(ShapeError):
            model.stream().push(x, out)
    with pytest.raises(ShapeError):
        model.stream().h = np.zeros(7, np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_frames_that_are_not_finite_are_refused_and_change_nothing(isa, value):
    model = FastGRNN.build(small())
    stream, frames = model.stream(), frames_for(small(), 40)
    stream.push(frames)
    before = stream.h
    for at in (0, 20, 39):
        bad = frames.copy()
        bad[at, 1] = value
        for call in (stream.push, model.run, model.states):
            with pytest.raises(CodeError):
                call(bad)
        assert same(stream.h, before)
    with pytest.raises(CodeError):
        stream.h = np.full(6, value, np.float32)
    assert same(stream.h, before)


def test_a_cell_without_a_head_has_states_but_no_logits():
    weights = small().without_head()
    model, x = FastGRNN.build(weights), frames_for(weights)
    assert model.n_classes == 0
    assert model.stream().push(x).shape == (0,)
    assert model.step(x[0])[1].shape == (0,)
    with pytest.raises(CodeError):
        model.run(x)


def test_a_model_of_too_many_units_is_refused():
    class Wide:
        n_inputs, n_hidden, n_classes = 65537, 1, 1
    with pytest.raises(ShapeError):
        FastGRNN.build(Wide())


def test_arrays_of_other_makes_are_read_too():
    """A subclass, a view and a foreign dtype object take the slower way to the same bits."""
    model, x = FastGRNN.build(small()), frames_for(small())
    want = model.run(x)
    other = np.frombuffer(x.tobytes(), np.dtype("<f4")).reshape(x.shape)
    assert same(model.run(other), want)
    assert same(model.run(x.view(np.recarray).view(np.matrix).view(np.ndarray)), want)


def test_threads_share_a_model():
    model, x = FastGRNN.build(small()), frames_for(small(), 2000)
    want, found = model.run(x), []
    threads = [threading.Thread(target=lambda: found.append(model.run(x))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(same(one, want) for one in found)


def test_the_vectors_are_those_that_their_generator_writes():
    want = exact.HEAD + "\n".join(exact.lines()) + "\n"
    assert (FOLDER / "fastgrnn.txt").read_text() == want


@pytest.mark.parametrize("ranks", [(None, None), (3, 4)])
@pytest.mark.parametrize("bare", [False, True])
def test_the_integers_come_back_from_a_file(ranks, bare):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return (rng.standard_normal(shape) * shape[0] ** -0.5).astype(np.float32)

    w = (normal(7, 9),) if ranks[0] is None else (normal(7, 3), normal(3, 9))
    u = (normal(9, 9),) if ranks[1] is None else (normal(9, 4), normal(4, 9))
    more = {} if bare else {"head": normal(9, 5), "head_bias": normal(5), "mean": normal(7),
                            "scale": np.ones(7, np.float32), "labels": tuple("abcde")}
    weights = Weights(w=w, u=u, bias_gate=normal(9), bias_update=normal(9), zeta=0.6, nu=0.1,
                      **more)
    integers = quantize(weights, features=normal(50, 7))
    model = FastGRNN.build(integers)
    back = model.quantized()
    frames = integers.quantize_input(normal(20, 7))
    np.testing.assert_array_equal(back.states(frames), integers.states(frames))
    np.testing.assert_array_equal(FastGRNN.build(back)._data, model._data)
    with pytest.raises(FormatError, match="float32"):
        FastGRNN.build(weights).quantized()
