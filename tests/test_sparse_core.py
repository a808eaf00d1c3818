"""`SparseMatrix`: packed as its plain Python twin packs, the same bits on every processor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import _native
from edge_sdk.errors import CheckpointError, FormatError, ShapeError, VersionError
from edge_sdk.sparse import SparseMatrix, reference

SOME = settings(max_examples=60, deadline=None)
HEAD, AT_VERSION, AT_DIGEST = 32, 4, 28


def xxh64(data):
    digest = _native.Digest()
    digest.add(np.frombuffer(data, np.uint8))
    return digest.value()


def weight(rows, cols, density, seed=0):
    rng = np.random.default_rng(seed)
    kept = rng.random((rows, cols)) < density
    return (rng.standard_normal((rows, cols)) * kept).astype(np.float32)


def numbers(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sealed(data):
    return data[:AT_DIGEST] + (xxh64(data[:AT_DIGEST]) & 0xFFFFFFFF).to_bytes(4, "little") + \
        data[HEAD:]


def scales_of(dense, values):
    if values == "float32":
        return dense, np.ones(len(dense), np.float32)
    rows = [reference.quantized(row) for row in dense]
    return np.stack([q for q, _ in rows]), np.array([s for _, s in rows], np.float32)


matrices = st.fixed_dictionaries({
    "rows": st.integers(1, 70), "cols": st.integers(1, 600),
    "density": st.sampled_from([0.0, 0.003, 0.05, 0.1, 0.5, 1.0]), "seed": st.integers(0, 999)})
kinds = {"values": st.sampled_from(["float32", "int8"]), "bits": st.sampled_from([8, 16])}


# ---- the bytes -------------------------------------------------------------------------------


@SOME
@given(shape=matrices, **kinds)
def test_the_core_packs_the_bytes_that_plain_python_packs(shape, values, bits):
    dense = weight(**shape)
    packed = SparseMatrix.pack(dense, values=values, delta_bits=bits)
    assert packed.bytes == reference.pack(dense, values, bits, xxh64)


@SOME
@given(shape=matrices, **kinds)
def test_what_is_packed_comes_out_again(shape, values, bits):
    dense = weight(**shape)
    packed = SparseMatrix.from_bytes(
        SparseMatrix.pack(dense, values=values, delta_bits=bits).bytes)
    q, scales = scales_of(dense, values)
    assert packed.dense().tobytes() == (q * scales[:, None] + np.float32(0)).tobytes()
    assert packed.n_kept == np.count_nonzero(q)
    assert (packed.rows, packed.cols, packed.values) == (*dense.shape, values)


def test_bytes_that_change_after_they_were_checked_change_nothing():
    weight = np.eye(5, dtype=np.float32)
    data = bytearray(SparseMatrix.pack(weight).bytes)
    packed = SparseMatrix.from_bytes(data)
    data[:] = b"\xff" * len(data)
    assert (packed.linear(np.ones((2, 5), np.float32)) == 1.0).all()
    assert packed.bytes == SparseMatrix.pack(weight).bytes


@pytest.mark.parametrize("column", [0, 255, 256, 510, 511, 65535, 65536, 69999])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_gap_wider_than_the_deltas_is_bridged(column, bits):
    dense = np.zeros((2, 70000), np.float32)
    dense[1, column] = 3
    packed = SparseMatrix.pack(dense, delta_bits=bits)
    assert np.array_equal(packed.dense(), dense)
    assert packed.n_kept == 1
    assert packed.n_stored == 1 + max(column - 1, 0) // (2**bits - 1)
    x = numbers((5, 70000))
    assert np.array_equal(packed.linear(x)[:, 1], 3 * x[:, column])


def test_without_delta_bits_the_smaller_bytes_are_taken():
    dense = weight(64, 1024, 0.1)
    assert SparseMatrix.pack(dense).delta_bits == 8
    far = np.zeros((4, 60000), np.float32)
    far[:, ::9000] = 1
    assert SparseMatrix.pack(far).delta_bits == 16


@pytest.mark.parametrize(("density", "values", "limit"), [
    (0.1, "float32", 0.13), (0.05, "float32", 0.066), (0.1, "int8", 0.054), (0.05, "int8", 0.029)])
def test_bytes_follow_the_entries(density, values, limit):
    dense = weight(768, 768, density)
    assert SparseMatrix.pack(dense, values=values).nbytes <= limit * dense.nbytes


def test_a_convolutions_weight_is_flattened():
    w = numbers((6, 3, 2, 5))
    assert np.array_equal(SparseMatrix.pack(w).dense(), w.reshape(6, 30))


def test_every_truncation_and_every_flip_of_the_head_is_refused():
    data = SparseMatrix.pack(weight(9, 50, 0.2)).bytes
    for size in range(len(data)):
        with pytest.raises(FormatError):
            SparseMatrix.from_bytes(data[:size])
    with pytest.raises(FormatError):
        SparseMatrix.from_bytes(data + b"\0")
    for bit in range(8 * HEAD):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            SparseMatrix.from_bytes(bytes(damaged))


def test_a_newer_version_is_told_apart_from_damage():
    data = bytearray(SparseMatrix.pack(weight(3, 5, 0.5)).bytes)
    data[AT_VERSION] = 2
    with pytest.raises(VersionError):
        SparseMatrix.from_bytes(sealed(bytes(data)))


def test_a_column_beyond_the_matrix_is_refused():
    packed = SparseMatrix.pack(np.eye(1, 40, 39, dtype=np.float32))
    data = bytearray(packed.bytes)
    data[-1] += 1
    with pytest.raises(FormatError):
        SparseMatrix.from_bytes(bytes(data))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_weights_that_are_not_finite_are_refused(bad):
    dense = np.ones((3, 4))
    dense[1, 2] = bad
    with pytest.raises(CheckpointError, match="finite weights"):
        SparseMatrix.pack(dense)


@pytest.mark.parametrize(("dense", "options"), [
    (np.ones(4, np.float32), {}), (np.ones((0, 4), np.float32), {}),
    (np.ones((2, 3), np.int32), {}), (np.ones((2, 3), np.float32), {"values": "int4"}),
    (np.ones((2, 3), np.float32), {"delta_bits": 7}), ("weights", {})])
def test_what_is_no_weight_is_refused(dense, options):
    with pytest.raises(ShapeError):
        SparseMatrix.pack(dense, **options)


# ---- linear layers ---------------------------------------------------------------------------


@SOME
@given(shape=matrices, n=st.integers(1, 210), activation=st.sampled_from([None, "relu", "relu6"]),
       **kinds)
def test_a_linear_layer_is_the_oracles_on_every_processor(shape, n, activation, values, bits):
    dense = weight(**shape)
    packed = SparseMatrix.pack(dense, values=values, delta_bits=bits)
    x, bias = numbers((n, shape["cols"])), numbers(shape["rows"])
    low, high = (0 if activation else -np.inf), (6 if activation == "relu6" else np.inf)
    got = {packed.linear(x, bias, activation=activation, isa=isa).tobytes()
           for isa in _native.isas()}
    bits_expected = np.clip(reference.exact_linear(x, *scales_of(dense, values), bias), low, high)
    assert got == {np.asarray(bits_expected, np.float32).tobytes()}
    y = np.frombuffer(got.pop(), np.float32).reshape(n, -1)
    limit = 1e-6 * (np.abs(x) @ np.abs(packed.dense()).T + np.abs(bias)) * np.sqrt(shape["cols"])
    exact = reference.linear(x, packed.dense(), bias, low, high)
    assert (np.abs(y - exact) <= limit + 1e-6).all()


@pytest.mark.parametrize("n", [2, 3, 4, 16, 17, 49, 196, 500])
def test_a_tokens_result_does_not_depend_on_the_other_tokens(n):
    packed = SparseMatrix.pack(weight(50, 700, 0.1))
    x, bias = numbers((n, 700)), numbers(50)
    alone = np.concatenate([packed.linear(token[None], bias) for token in x])
    assert packed.linear(x, bias).tobytes() == alone.tobytes()


def test_rows_without_entries_give_the_bias_and_dense_matrices_work():
    bias = numbers(5)
    x = numbers((20, 30))
    empty = SparseMatrix.pack(np.zeros((5, 30), np.float32))
    assert np.array_equal(empty.linear(x, bias), np.tile(bias, (20, 1)))
    full = numbers((5, 30))
    assert np.allclose(SparseMatrix.pack(full).linear(x), x @ full.T, atol=1e-4)


def test_axes_before_the_last_one_are_kept():
    packed = SparseMatrix.pack(weight(7, 12, 0.3))
    x = numbers((2, 3, 12))
    assert packed.linear(x).shape == (2, 3, 7)
    assert packed.linear(x[0, 0]).shape == (7,)


@pytest.mark.parametrize(("x", "options"), [
    (np.ones((2, 5), np.float32), {}), (np.ones((2, 4)), {}), (np.ones((0, 4), np.float32), {}),
    (np.float32(1), {}), ([[1.0] * 4], {}),
    (np.ones((2, 4), np.float32), {"bias": np.ones(2, np.float32)}),
    (np.ones((2, 4), np.float32), {"bias": np.ones(3)}),
    (np.ones((2, 4), np.float32), {"activation": "gelu"})])
def test_bad_inputs_of_a_linear_layer_are_refused(x, options):
    with pytest.raises(ShapeError):
        SparseMatrix.pack(np.ones((3, 4), np.float32)).linear(x, **options)


# ---- convolutions ----------------------------------------------------------------------------

images = st.fixed_dictionaries({
    "batch": st.integers(1, 2), "channels": st.integers(1, 6), "rows": st.integers(1, 20),
    "height": st.integers(1, 20), "width": st.integers(1, 34),
    "kernel": st.tuples(st.integers(1, 5), st.integers(1, 5)),
    "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "padding": st.tuples(st.integers(0, 3), st.integers(0, 3))})


@SOME
@given(shape=images, density=st.sampled_from([0.05, 0.3, 1.0]),
       activation=st.sampled_from([None, "relu"]), **kinds)
def test_a_convolution_is_the_oracles_on_every_processor(shape, density, activation, values, bits):
    kernel, stride, padding = shape["kernel"], shape["stride"], shape["padding"]
    if (shape["height"] + 2 * padding[0] < kernel[0]
            or shape["width"] + 2 * padding[1] < kernel[1]):
        shape = {**shape, "height": shape["height"] + 5, "width": shape["width"] + 5}
    dense = weight(shape["rows"], shape["channels"] * kernel[0] * kernel[1], density)
    packed = SparseMatrix.pack(dense, values=values, delta_bits=bits)
    x = numbers((shape["batch"], shape["channels"], shape["height"], shape["width"]))
    bias = numbers(shape["rows"])
    got = [packed.conv2d(x, kernel_size=kernel, stride=stride, padding=padding, bias=bias,
                         activation=activation, isa=isa) for isa in _native.isas()]
    assert len({y.tobytes() for y in got}) == 1
    exact = reference.conv2d(x, packed.dense().reshape(shape["rows"], shape["channels"], *kernel),
                             stride, padding, bias, 0 if activation else -np.inf)
    assert got[0].shape == exact.shape
    assert np.abs(got[0] - exact).max() <= 1e-4


def test_one_pixel_is_a_token():
    packed = SparseMatrix.pack(weight(30, 40, 0.2))
    x = numbers((1, 40, 7, 7))
    tokens = packed.linear(np.ascontiguousarray(x.reshape(40, 49).T))
    assert packed.conv2d(x, kernel_size=1).reshape(30, 49).tobytes() == tokens.T.tobytes()


@pytest.mark.parametrize(("x", "options"), [
    (np.ones((1, 3, 8, 8), np.float32), {}), (np.ones((1, 2, 8, 8)), {}),
    (np.ones((2, 8, 8), np.float32), {}), (np.ones((0, 2, 8, 8), np.float32), {}),
    (np.ones((1, 2, 2, 8), np.float32), {}),
    (np.ones((1, 2, 8, 8), np.float32), {"kernel_size": 4}),
    (np.ones((1, 2, 8, 8), np.float32), {"stride": 0}),
    (np.ones((1, 2, 8, 8), np.float32), {"padding": -1}),
    (np.ones((1, 2, 8, 8), np.float32), {"padding": 2**31}),
    (np.ones((1, 2, 8, 8), np.float32), {"stride": (1, 2, 3)})])
def test_bad_inputs_of_a_convolution_are_refused(x, options):
    packed = SparseMatrix.pack(np.ones((4, 18), np.float32))
    with pytest.raises(ShapeError):
        packed.conv2d(x, **{"kernel_size": 3, **options})
