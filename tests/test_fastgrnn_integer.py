"""The integer form: against a slow version of its definition, and against float64."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from fastgrnn_models import KINDS, features, oracle, weights
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import CalibrationError, ShapeError, UnsupportedModel
from edge_sdk.fastgrnn import Weights
from edge_sdk.fastgrnn.fixed_point import (
    QuantizedMatrix,
    exponents,
    nonlinearity,
    quantize_matrix,
    round_shift,
    tanh_table,
)
from edge_sdk.fastgrnn.integer import QuantizedWeights, dequantize, quantize

# --- the definition once more, one number at a time -------------------------------------


def demand_int32(v: int) -> int:
    assert -(1 << 31) <= v < 1 << 31
    return v


def shifted(v: int, s: int) -> int:
    if s > 0:
        return demand_int32(v + (1 << (s - 1))) >> s
    return demand_int32(v * 2**-s)


def clip(v: int, low: int, high: int) -> int:
    return max(low, min(high, v))


def int16(v: int) -> int:
    return clip(v, -32768, 32767)


def slow_tanh(v: int, bits: int) -> int:
    size = min(abs(v), 8 * 2**bits - 1)
    i, part, step = size // 2**(bits - 4), size % 2**(bits - 4), 2**(bits - 4)
    a, b = int(tanh_table()[i]), int(tanh_table()[i + 1])
    found = a + ((b - a) * part + step // 2) // step
    return found if v >= 0 else -found


def slow_nonlinearity(name: str, v: int) -> int:
    if name == "tanh":
        return slow_tanh(v, 12)
    if name == "sigmoid":
        return min((32768 + slow_tanh(v, 13) + 1) // 2, 32767)
    if name == "relu":
        return clip(v, 0, 32767)
    if name == "quant_tanh":
        return clip(8 * v, -32767, 32767)
    if name == "quant_sigmoid":
        return clip(4 * (v + 4096), 0, 32767)
    return clip(2 * (v + 8192), 0, 32767)


def slow_matrix(m: QuantizedMatrix, x: list[int]) -> list[int]:
    found = []
    for row, shift in zip(m.q.tolist(), m.shift.tolist(), strict=True):
        total = 0
        for q, v in zip(row, x, strict=True):
            total = demand_int32(total + q * v)
        found.append(shifted(total, shift))
    return found


def slow_product(factors: tuple[QuantizedMatrix, ...], x: list[int]) -> list[int]:
    if len(factors) == 2:
        x = [int16(v) for v in slow_matrix(factors[0], x)]
    return slow_matrix(factors[-1], x)


def slow_step(m: QuantizedWeights, features: list[int], h: list[int]) -> list[int]:
    if m.mean is None:
        x = [int16(shifted(f, m.x_shift)) for f in features]
    else:
        x = [int16(shifted(demand_int32((f - mean) * k), m.x_shift))
             for f, mean, k in zip(features, m.mean.tolist(), m.multiplier.tolist(), strict=True)]
    wx, uh = slow_product(m.w, x), slow_product(m.u, h)
    kind = "tanh" if m.gate.endswith("tanh") else "relu" if m.gate == "relu" else "sigmoid"
    zb, tb = {"sigmoid": (15, 14), "tanh": (14, 13), "relu": (12, 12)}[kind]
    cb = 12 if m.update == "relu" else 15
    found = []
    for j in range(len(h)):
        p = demand_int32(wx[j] + uh[j])
        z = slow_nonlinearity(m.gate, demand_int32(p + int(m.bias_gate[j])))
        if kind == "tanh":
            z = shifted(z, 1)
        c = slow_nonlinearity(m.update, demand_int32(p + int(m.bias_update[j])))
        one = min(2**zb, 32767)
        t = shifted(demand_int32(m.zeta * (one - z) + m.nu * 2**zb), 15 + zb - tb)
        assert -32768 <= t <= 32767
        found.append(int16(shifted(demand_int32(z * h[j]), zb)
                           + shifted(demand_int32(t * c), tb + cb - m.state_bits)))
    return found


def slow_logits(m: QuantizedWeights, h: list[int]) -> list[int]:
    return [demand_int32(a + b) for a, b in
            zip(slow_matrix(m.head, h), m.head_bias.tolist(), strict=True)]


shapes = st.fixed_dictionaries({
    "seed": st.integers(0, 10**6), "d": st.integers(1, 9), "h": st.integers(1, 9),
    "c": st.integers(1, 4), "gate": st.sampled_from(KINDS), "update": st.sampled_from(KINDS),
    "gain": st.sampled_from([0.05, 1.0, 4.0]), "zeros": st.sampled_from([0.0, 0.9, 1.0]),
    "normalized": st.booleans(),
})


def quantized(options, data) -> QuantizedWeights:
    d, h = options["d"], options["h"]
    ranks = st.one_of(st.none(), st.integers(1, min(d, h))), st.one_of(st.none(), st.integers(1, h))
    relu = "relu" in (options["gate"], options["update"])
    options = {**options, "gain": 0.3} if relu else options
    w = weights(**options, rank_w=data.draw(ranks[0]), rank_u=data.draw(ranks[1]))
    x = features(options["seed"], d=d, n=2, normalized=options["normalized"])
    try:
        return quantize(w, features=data.draw(st.sampled_from([None, x])))
    except CalibrationError:  # A ReLU that grew.
        return quantize(w, features=None)


@settings(max_examples=150, deadline=None)
@given(options=shapes, data=st.data())
def test_a_step_is_the_definition_for_every_feature_and_state(options, data):
    model = quantized(options, data)
    extreme = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1]))
    x = data.draw(st.lists(extreme, min_size=model.n_inputs, max_size=model.n_inputs))
    h = data.draw(st.lists(extreme, min_size=model.n_hidden, max_size=model.n_hidden))
    got = model.step(np.array(x, np.int16), np.array(h, np.int16))
    assert got.dtype == np.int16
    assert got.tolist() == slow_step(model, x, h)
    assert model.logits(got).tolist() == slow_logits(model, got.tolist())


@settings(max_examples=40, deadline=None)
@given(options=shapes, data=st.data())
def test_a_sequence_is_its_steps_and_a_batch_its_rows(options, data):
    model = quantized(options, data)
    rng = np.random.default_rng(options["seed"])
    x = rng.integers(-32768, 32768, (2, 5, model.n_inputs)).astype(np.int16)
    h = model.start(2)
    for t in range(5):
        h = model.step(x[:, t], h)
    for row in range(2):
        states = model.states(x[row])
        assert np.array_equal(states[-1], h[row])
        assert np.array_equal(model.run(x[row]), model.logits(h)[row])


# --- parts ------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "shift", "rounded"), [
    (5, 1, 3), (-5, 1, -2), (4, 1, 2), (-4, 1, -2), (3, 0, 3), (-3, -2, -12), (1, 2, 0),
    (2, 2, 1), (-2, 2, 0), (-3, 2, -1), ((1 << 30), 30, 1), (-(1 << 29) - 1, 30, -1),
])
def test_a_shift_rounds_half_up(value, shift, rounded):
    assert round_shift(np.array(value), shift) == rounded == shifted(value, shift)


EVERY = np.arange(-(1 << 17), (1 << 17) + 1)


@pytest.mark.parametrize("name", KINDS)
def test_a_nonlinearity_is_monotone_and_the_definition_everywhere(name):
    made = nonlinearity(name, EVERY)
    assert (np.diff(made) >= 0).all()
    assert made.tolist() == [slow_nonlinearity(name, v) for v in EVERY.tolist()]
    assert np.array_equal(nonlinearity(name, np.array([-(1 << 31) + 1, (1 << 31) - 1])),
                          made[[0, -1]])


@pytest.mark.parametrize(("name", "exact", "limit"), [
    ("tanh", np.tanh, 2.1e-4), ("sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)), 1.2e-4),
    ("quant_tanh", lambda x: np.clip(x, -1.0, 1.0), 2.0**-15),
    ("quant_sigmoid", lambda x: np.clip((x + 1.0) / 2.0, 0.0, 1.0), 2.0**-15),
    ("quant_sigmoid4", lambda x: np.clip((x + 2.0) / 4.0, 0.0, 1.0), 2.0**-15),
])
def test_a_nonlinearity_is_near_the_exact_one(name, exact, limit):
    made = nonlinearity(name, EVERY) / 2.0**15
    assert np.abs(made - exact(EVERY / 2.0**12)).max() <= limit


@pytest.mark.parametrize("name", ["tanh", "quant_tanh"])
def test_a_signed_nonlinearity_is_odd(name):
    assert np.array_equal(nonlinearity(name, EVERY), -nonlinearity(name, -EVERY))


def test_the_tanh_table_ends_where_int16_does():
    table = tanh_table()
    assert (table.size, int(table[0]), int(table[-1])) == (129, 0, 32767)
    assert (np.diff(table.astype(int)) >= 0).all()


@pytest.mark.parametrize(("largest", "exponent"), [
    (127.0, 0), (127.0 * 2**-9, -9), (np.nextafter(127.0, 128.0), 1), (64.0, 0), (63.5, -1),
    (63.0, -1), (0.0, 0), (1e-30, -106),
])
def test_a_scale_is_the_smallest_power_of_two_that_holds_the_column(largest, exponent):
    assert exponents(np.array([[largest, -largest / 2], [0.0, largest]]))[1] == exponent


def test_weights_round_to_the_nearest_of_their_columns_scale():
    matrix = weights(3).w[0]
    found = quantize_matrix(matrix, bits_in=12, bits_out=12)
    scale = np.exp2(exponents(matrix))
    assert np.abs(found.q.T * scale - matrix).max(axis=0) == pytest.approx(
        np.abs(matrix / scale - np.rint(matrix / scale)).max(axis=0) * scale)
    assert (np.abs(found.q.astype(int)).max(axis=1) >= 63).all()
    assert (found.shift == -np.log2(scale)).all()


def test_a_column_too_small_to_count_becomes_zeros():
    matrix = np.array([[1.0, 1e-20, 0.0], [0.5, -1e-20, 0.0]], np.float32)
    found = quantize_matrix(matrix, bits_in=12, bits_out=12)
    assert found.q.tolist() == [[64, 32], [0, 0], [0, 0]]
    assert found.shift.tolist() == [6, 0, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 600), st.sampled_from([0.5, 0.9, 0.995, 1.0]))
def test_pairs_hold_the_matrix_and_their_bytes_are_counted(seed, n_inputs, zeros):
    rng = np.random.default_rng(seed)
    q = rng.integers(-127, 128, (3, n_inputs)) * (rng.random((3, n_inputs)) >= zeros)
    m = QuantizedMatrix(q.astype(np.int8), np.zeros(3, np.int8))
    pairs = m.sparse()
    back, at = np.zeros_like(q), 0
    for row, count in enumerate(pairs.counts.tolist()):
        i = 0
        for value, delta in zip(pairs.values[at : at + count].tolist(),
                                pairs.deltas[at : at + count].tolist(), strict=True):
            i += delta
            back[row, i] += value
        at += count
    assert np.array_equal(back, q)
    assert at == len(pairs.values) == len(pairs.deltas)
    if pairs.counts.max() < 256:
        assert pairs.n_bytes == 2 * at + 3
    assert m.n_bytes == min(pairs.n_bytes, q.size) + 3
    assert m.is_sparse == (m.n_bytes < q.size + 3)


# --- no overflow ------------------------------------------------------------------------


def flat(n: int, value: int = 127) -> QuantizedMatrix:
    return QuantizedMatrix(np.full((2, n), value, np.int8), np.full(2, 8, np.int8))


def test_the_widest_sum_that_fits_is_accepted_and_one_input_more_refused():
    n = ((1 << 31) - 1 - 128) // (127 * 32768)
    assert flat(n).bounds()[0] == (n * 127 * 32768 + 128) >> 8
    extreme = np.full(n, -32768)
    assert flat(n, -127).apply(extreme)[0] == (n * 127 * 32768 + 128) >> 8
    with pytest.raises(UnsupportedModel, match=r"2\*\*31"):
        flat(n + 1).bounds()


def test_a_model_whose_sums_could_overflow_is_refused():
    wide = weights(d=700, h=2, c=2, rank_w=None, rank_u=None)
    wide = dataclasses.replace(wide, w=(np.full((700, 2), 127 / 64, np.float32),))
    with pytest.raises(UnsupportedModel, match="sums below"):
        quantize(wide, features=None)


def test_parts_that_fit_alone_but_not_together_are_refused():
    model = quantize(weights(), features=None)
    large = QuantizedMatrix(model.w[-1].q, np.full(model.n_hidden, -6, np.int8))
    most = np.abs(large.q.astype(int)).sum(1).max() * 32768 << 6
    assert (1 << 30) < most < (1 << 31)
    dataclasses.replace(model, w=(*model.w[:-1], large))
    with pytest.raises(UnsupportedModel, match="`p`"):
        dataclasses.replace(model, w=(*model.w[:-1], large),
                            u=(*model.u[:-1], QuantizedMatrix(large.q[:, :6], large.shift)))


# --- from floats ------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "update", "limit"), [
    ("sigmoid", "tanh", 2e-3), ("quant_sigmoid", "quant_tanh", 4e-3),
    ("quant_sigmoid4", "tanh", 3e-3), ("sigmoid", "relu", 1e-3), ("tanh", "quant_tanh", 2e-3),
    ("relu", "tanh", 2e-3),
])
@pytest.mark.parametrize("ranks", [(8, 6), (None, None)])
def test_the_integers_follow_float64_with_the_same_rounded_weights(gate, update, limit, ranks):
    gain = 0.4 if "sigmoid" not in gate else 1.0
    w = weights(1, gate=gate, update=update, gain=gain, rank_w=ranks[0], rank_u=ranks[1])
    sequences = features(2, n=6, lengths=(10, 60))
    model = quantize(w, features=sequences)
    rounded = dequantize(model)
    for s in sequences:
        states, logits = oracle(rounded, s)
        got = model.states(model.quantize_input(s))
        assert np.abs(got / 2.0**model.state_bits - states).max() <= limit
        assert np.abs(model.logits(got) / 2.0**model.logit_bits - logits).max() <= 2 * limit


def test_the_integers_stay_near_the_weights_as_trained():
    w, sequences = weights(1), features(2, n=6, lengths=(10, 60))
    for seen in (sequences, None):
        model = quantize(w, features=seen)
        for s in sequences:
            states, _ = oracle(w, s)
            got = model.states(model.quantize_input(s)) / 2.0**model.state_bits
            assert np.abs(got - states).max() <= 0.08


def test_without_calibration_data_only_ranges_are_coarser():
    w = weights(1)
    seen, unseen = quantize(w, features=features(2)), quantize(w, features=None)
    assert (unseen.x_bits, unseen.state_bits) == (12, 13)
    assert unseen.w_bits < seen.w_bits
    assert all(np.array_equal(a.q, b.q) for a, b in zip(seen.w, unseen.w, strict=True))


def test_calibration_leaves_headroom_above_what_it_saw():
    w, sequences = weights(1), features(2)
    model = quantize(w, features=sequences)
    largest = max(np.abs(model.states(model.quantize_input(s))).max() for s in sequences)
    assert 32767 / 2.6 < largest <= 32767 / 1.2


def test_log_mel_models_take_the_front_ends_integers():
    w = weights(preprocessing={"log_mel": {}})
    model = quantize(w, features=features())
    assert model.input_bits == 9
    integers = np.arange(-16, 16, dtype=np.int16)
    assert np.array_equal(model.quantize_input(integers / 512.0), integers)


def test_features_round_half_up_and_saturate():
    model = dataclasses.replace(quantize(weights(d=4, h=3, rank_w=2, rank_u=2), features=None),
                                input_bits=1)
    assert model.quantize_input(np.array([0.25, -0.25, 1e9, -1e9])).tolist() == \
        [1, 0, 32767, -32768]


@pytest.mark.parametrize(("bias", "end"), [(32767, 32767), (-32768, -32768)])
def test_a_state_that_grows_stops_at_the_end_of_int16(bias, end):
    # z = 1 and c = +-1: each step adds nu.
    model = quantize(weights(gate="quant_sigmoid", update="quant_tanh"), features=None)
    full = np.full(model.n_hidden, 32767, np.int16)
    model = dataclasses.replace(model, nu=32767, bias_gate=full,
                                bias_update=np.full(model.n_hidden, bias, np.int16))
    x, h, largest = np.zeros(32, np.int16), model.start(), []
    x[:] = model.mean
    for _ in range(12):
        assert model.step(x, h).tolist() == slow_step(model, x.tolist(), h.tolist())
        h = model.step(x, h)
        largest.append(int(h[np.abs(h.astype(int)).argmax()]))
    assert abs(largest[0]) < 10000  # one state_bits unit of 1.0, and not at the end at once
    assert largest[-1] == end


def test_bytes_are_those_of_the_arrays():
    model = quantize(weights(h=24, rank_w=8, rank_u=6), features=None)
    assert model.n_bytes_by_part == {
        "w": 32 * 8 + 8 + 8 * 24 + 24, "u": 24 * 6 + 6 + 6 * 24 + 24, "cell": 4 * 24 + 4,
        "normalization": 4 * 32, "head": 24 * 10 + 10 + 40}
    assert model.n_bytes == sum(model.n_bytes_by_part.values())
    assert model.has_tanh_table
    assert not quantize(weights(gate="quant_sigmoid", update="quant_tanh"),
                        features=None).has_tanh_table


def test_a_sparse_model_is_smaller_by_what_it_leaves_out():
    whole = quantize(weights(rank_w=None, rank_u=None), features=None)
    sparse = quantize(weights(rank_w=None, rank_u=None, zeros=0.8), features=None)
    assert sparse.u[0].is_sparse
    assert not whole.u[0].is_sparse
    n = np.count_nonzero(sparse.u[0].q)
    assert sparse.n_bytes_by_part["u"] == 2 * n + 24 + 24


def test_a_bare_cell_has_states_and_no_logits():
    model = quantize(weights(c=0), features=None)
    assert model.n_classes == 0
    assert "head" not in model.n_bytes_by_part
    assert model.step(np.zeros(32, np.int16), model.start()).shape == (24,)
    with pytest.raises(ShapeError, match="bare cell"):
        model.logits(model.start())


def test_ties_go_to_the_lowest_class():
    w = weights(c=3)
    same = np.ascontiguousarray(np.repeat(w.head[:, :1], 3, 1))
    model = quantize(dataclasses.replace(w, head=same, head_bias=np.zeros(3, np.float32)),
                     features=None)
    logits = model.run(model.quantize_input(features()[0]))
    assert (logits == logits[0]).all()
    assert logits.argmax() == 0


# --- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [
    [], np.empty((0, 32), np.float32), [np.full((2, 32), np.nan)], [np.full((2, 32), np.inf)],
])
def test_calibration_needs_finite_frames(bad):
    with pytest.raises(CalibrationError, match="finite frames"):
        quantize(weights(), features=bad)


def test_calibration_needs_the_models_features():
    with pytest.raises(ShapeError, match="32"):
        quantize(weights(), features=np.zeros((5, 31)))


def test_a_state_that_grows_without_bound_is_refused():
    w = weights(d=2, h=2, rank_w=None, rank_u=None, update="relu", normalized=False)
    w = dataclasses.replace(w, u=(np.full((2, 2), 3.0, np.float32),),
                            bias_update=np.ones(2, np.float32))
    with pytest.raises(CalibrationError, match="ReLU below 8"):
        quantize(w, features=np.ones((60, 2)))


@pytest.mark.parametrize(("field", "value", "word"), [
    ("bias_gate", 8.5, "biases"), ("bias_update", -9.0, "biases"), ("scale", 1e6, "scale"),
    ("head_bias", 1e9, "head_bias"),
])
def test_numbers_that_the_integers_can_not_hold_are_refused(field, value, word):
    w = weights(preprocessing={"log_mel": {}})
    changed = getattr(w, field).copy()
    changed[0] = value
    with pytest.raises(UnsupportedModel, match=word):
        quantize(dataclasses.replace(w, **{field: changed}), features=None)


def test_a_mean_beyond_the_front_ends_range_is_refused():
    w = weights(preprocessing={"log_mel": {}})
    with pytest.raises(CalibrationError, match="means below 64"):
        quantize(dataclasses.replace(w, mean=w.mean + 60.0), features=None)


@pytest.mark.parametrize("x", [np.zeros(32, np.float32), np.zeros(31, np.int16),
                               np.zeros((), np.int16), [0] * 32])
def test_a_frame_of_another_shape_or_type_is_refused(x):
    model = quantize(weights(), features=None)
    with pytest.raises(ShapeError, match="int16"):
        model.step(x, model.start())


def test_a_sequence_of_length_0_is_refused():
    with pytest.raises(ShapeError, match="length 0"):
        quantize(weights(), features=None).states(np.empty((0, 32), np.int16))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad):
    with pytest.raises(ShapeError, match="NaN or infinity"):
        quantize(weights(), features=None).quantize_input(np.full((3, 32), bad))


# --- a trained model --------------------------------------------------------------------


def test_edgemls_trained_usps_model_gives_its_ten_labels_in_integers(data_root):
    folder = data_root / "conformance" / "edgeml"
    told = json.loads((folder / "usps_fastgrnn_lr.json").read_text())
    wanted = json.loads((folder / "usps_fastgrnn_lr_oracle.json").read_text())

    def matrix(name, rows):
        # By output unit; ours are by input.
        stored = np.array(told[name], np.float32).reshape(rows, -1)
        return np.ascontiguousarray(stored.T)

    model = Weights(
        w=(matrix("USPS_W1", 5), matrix("USPS_W2", 32)),
        u=(matrix("USPS_U1", 5), matrix("USPS_U2", 32)),
        bias_gate=np.array(told["USPS_Bg"], np.float32),
        bias_update=np.array(told["USPS_Bh"], np.float32), zeta=told["USPS_sigmoid_zeta"],
        nu=told["USPS_sigmoid_nu"], head=matrix("FC_weights", 10),
        head_bias=np.array(told["FCbias"], np.float32))
    images = np.array(told["input"]).reshape(10, 256) - np.array(told["USPS_mean"])
    images = (images / np.array(told["USPS_stdDev"])).reshape(10, 16, 16)
    small = quantize(model, features=list(images))
    states = [small.states(small.quantize_input(x)) for x in images]
    assert [int(small.logits(s)[-1].argmax()) for s in states] == wanted["labels"]
    real = np.array(states) / 2.0**small.state_bits
    assert np.abs(real - np.array(wanted["hidden"])).max() <= 0.05
    assert small.n_bytes == 1136
