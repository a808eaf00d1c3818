"""`Head`: logits are the oracle's on every processor, and no damaged byte gets past the door."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk import _native, corefile, reference
from edge_sdk.cascade import Head
from edge_sdk.errors import (
    CheckpointError,
    CodeError,
    EdgeError,
    FormatError,
    OutputError,
    ShapeError,
    VersionError,
)

FOLDER = Path(__file__).resolve().parent / "vectors"
COUNTS = (1, 15, 16, 17, 63, 64, 65, 968, 1000)
DIMS = (1, 3, 8, 24)
AT_VERSION, AT_DIGEST, HEAD_BYTES, ENTRY = 8, 56, 64, 32
SOME = settings(max_examples=40, deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])


def load_generator():
    spec = importlib.util.spec_from_file_location("make_mrl", FOLDER / "make_mrl.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


make_mrl = load_generator()


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def exact(n_classes, dims, *, tied, normalized=False, seed=0):
    """A random head as the oracle in float32."""
    rng = np.random.default_rng(seed)
    depths = dims[-1:] if tied else dims
    weights = [rng.normal(size=(n_classes, depth)).astype(np.float32) for depth in depths]
    biases = [rng.normal(size=n_classes).astype(np.float32) for _ in depths]
    return make_mrl.Exact(tuple(dims), weights, biases, tied, normalized,
                          float(np.float32(9.5)) if normalized else 1.0)


def built(one):
    return Head.build(one.weights, one.biases, tied=one.tied, dims=one.dims,
                      normalized=one.normalized, scale=one.scale)


def embeddings(n, dim, seed=1):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def small(**options):
    """A head whose file is small enough to flip every bit of it."""
    return built(exact(3, (1, 2), tied=options.pop("tied", True), **options))


# ---- logits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n_classes", COUNTS)
def test_logits_of_every_dim_are_those_of_the_oracle_in_float64(n_classes, tied, normalized):
    one = exact(n_classes, DIMS, tied=tied, normalized=normalized)
    head, x = built(one), embeddings(5, DIMS[-1])
    assert (head.n_classes, head.dim, tuple(head.dims)) == (n_classes, DIMS[-1], DIMS)
    assert (head.tied, head.normalized, head.scale) == (tied, normalized, one.scale)
    for place, dim in enumerate(DIMS):
        at = 0 if tied else place
        wanted = reference.mrl_logits(x, one.weights[at], one.biases[at], dim=dim,
                                      normalize=normalized, scale=one.scale)
        np.testing.assert_allclose(head.at(x, dim), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n_classes", COUNTS)
def test_every_processor_gives_the_bytes_of_the_oracle_in_float32(n_classes, tied, isa):
    one = exact(n_classes, DIMS, tied=tied, normalized=n_classes % 2 == 0)
    head, x = built(one), embeddings(3, DIMS[-1], seed=n_classes)
    for dim in DIMS:
        wanted = np.stack([one.logits(row, dim) for row in x])
        assert head.at(x, dim).tobytes() == wanted.tobytes()
        assert head.at(x[1], dim).tobytes() == wanted[1:2].tobytes()


NUMBERS = st.integers(-(2**20), 2**20).map(lambda whole: whole / 2**12)


@given(st.data())
@SOME
def test_any_head_gives_the_same_bytes_on_every_processor(data):
    n_classes = data.draw(st.integers(1, 150))
    dims = sorted(data.draw(st.sets(st.integers(1, 20), min_size=1, max_size=4)))
    tied, normalized = data.draw(st.booleans()), data.draw(st.booleans())
    made = exact(n_classes, dims, tied=tied, normalized=normalized,
                 seed=data.draw(st.integers(0, 2**32 - 1)))
    head = built(made)
    x = np.array(data.draw(st.lists(NUMBERS, min_size=dims[-1], max_size=dims[-1])), np.float32)
    dim = data.draw(st.sampled_from(dims))
    best, wanted = _native.isa(), made.logits(x, dim).tobytes()
    for isa in _native.isas():
        _native.use_isa(isa)
        found = head.at(x, dim).tobytes()
        _native.use_isa(best)
        assert found == wanted, isa


def test_a_tied_head_is_cut_anywhere_where_that_is_asked_for():
    one = exact(17, DIMS, tied=True, normalized=True)
    head, x = built(one), embeddings(2, DIMS[-1])
    for dim in range(1, DIMS[-1] + 1):
        wanted = np.stack([one.logits(row, dim) for row in x])
        assert head.at(x, dim, interpolate=True).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("tied", "dim", "interpolate"), [
    (True, 2, False), (True, 0, True), (True, 25, True), (False, 2, False), (False, 2, True),
    (False, 0, True), (False, 25, True),
])
def test_dims_without_a_classifier_are_refused(tied, dim, interpolate):
    head = built(exact(5, DIMS, tied=tied))
    with pytest.raises(ShapeError, match=r"not trained for|out of range"):
        head.at(embeddings(1, DIMS[-1]), dim, interpolate=interpolate)


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1.0, 1e10])
def test_a_prefix_is_normalized_however_long_it_is(scale):
    one = exact(5, (4,), tied=True, normalized=True)
    x = (np.array([[3.0, 4.0, 0.0, 0.0]]) * scale).astype(np.float32)
    # As torch.nn.functional.normalize: by 1e-12 at least.
    unit = x.astype(np.float64) / max(5.0 * scale, 1e-12)
    wanted = one.scale * unit @ one.weights[0].astype(np.float64).T + one.biases[0]
    np.testing.assert_allclose(built(one).at(x), wanted, rtol=1e-5, atol=1e-5)


def test_the_zero_vector_gets_the_biases():
    one = exact(5, (4,), tied=True, normalized=True)
    assert np.array_equal(built(one).at(np.zeros(4, np.float32))[0], one.biases[0])


def test_a_head_equals_the_trained_module():
    torch = pytest.importorskip("torch")
    from edge_sdk.nn.mrl import MRLEHead, MRLHead

    x = torch.randn(6, 24, generator=torch.Generator().manual_seed(0))
    for kind in (MRLHead, MRLEHead):
        for normalize in (False, True):
            torch.manual_seed(1)
            module = kind(DIMS, 37, normalize=normalize)
            if normalize:
                torch.nn.init.constant_(module.log_scale, 0.3)  # 0 would hide a missing exp
            head = Head.from_module(module)
            assert head.tied == (kind is MRLEHead)
            assert head.normalized == normalize
            for dim in DIMS:
                np.testing.assert_allclose(head.at(x.numpy(), dim), module(x, dim).detach(),
                                           rtol=1e-5, atol=2e-5)
    with pytest.raises(ShapeError, match="an MRLHead or MRLEHead, got Linear"):
        Head.from_module(torch.nn.Linear(2, 3))


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("x", [
    np.zeros((1, 23), np.float32), np.zeros(23, np.float32), np.zeros((1, 24)),
    np.zeros((1, 24), np.float16), np.zeros((1, 1, 24), np.float32), [[0.0] * 24], None,
], ids=["short", "one short", "float64", "float16", "three axes", "a list", "None"])
def test_embeddings_of_another_shape_or_type_are_refused(x):
    with pytest.raises(ShapeError, match=r"expected embeddings \(n, 24\), float32"):
        built(exact(5, DIMS, tied=True)).at(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e16, -1e16])
def test_coordinates_that_are_not_finite_are_refused_where_they_are_used(bad):
    head, x = built(exact(5, DIMS, tied=True)), embeddings(2, 24)
    x[1, 8] = bad
    assert np.isfinite(head.at(x, 8)).all()
    with pytest.raises(CodeError):
        head.at(x, 24)


def test_embeddings_may_be_longer_scattered_or_none():
    head, x = built(exact(5, DIMS, tied=True)), embeddings(4, 30)
    assert np.array_equal(head.at(x), head.at(np.ascontiguousarray(x[:, :24])))
    assert np.array_equal(head.at(x[::2]), head.at(x)[::2])
    assert head.at(x[:0]).shape == (0, 5)


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(("weights", "biases", "options"), [
    ([], [], {}),
    ([], [], {"tied": True, "dims": []}),
    ([ones(3, 2)], [], {}),
    ([ones(3, 2)], [ones(4)], {}),
    ([ones(0, 2)], [ones(0)], {}),
    ([ones(3, 0)], [ones(3)], {}),
    ([ones(3, 2), ones(4, 4)], [ones(3), ones(4)], {}),
    ([ones(3, 4), ones(3, 2)], [ones(3), ones(3)], {}),
    ([ones(3, 2), ones(3, 2)], [ones(3), ones(3)], {}),
    ([ones(3, 2)], [ones(3)], {"dims": [1, 2]}),
    ([ones(3, 2)], [ones(3)], {"tied": True, "dims": []}),
    ([ones(3, 2)], [ones(3)], {"tied": True, "dims": [1]}),
    ([ones(3, 2)], [ones(3)], {"tied": True, "dims": [0, 2]}),
    ([ones(3, 2)], [ones(3)], {"tied": True, "dims": [1, 1, 2]}),
    ([ones(3, 2)] * 2, [ones(3)] * 2, {"tied": True, "dims": [1, 2]}),
    ([ones(1, 33)], [ones(1)], {"tied": True, "dims": range(1, 34)}),
    ([ones(3)], [ones(3)], {}),
    ([ones(3, 2)], [ones(3, 1)], {}),
    ([ones(1, 65537)], [ones(1)], {}),
    ([ones(3, 2)], [ones(3)], {"scale": 0.0}),
    ([ones(3, 2)], [ones(3)], {"scale": -1.0}),
    ([ones(3, 2)], [ones(3)], {"scale": np.nan}),
    ([ones(3, 2)], [ones(3)], {"scale": 1e16}),
    ([ones(3, 2)], [ones(3)], {"scale": 1e-60}),
])
def test_classifiers_that_do_not_fit_together_are_refused(weights, biases, options):
    with pytest.raises(ShapeError):
        Head.build(weights, biases, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e16])
def test_weights_that_are_not_finite_are_refused(bad):
    weights, bias = ones(3, 2), ones(3)
    weights[2, 1] = bad
    with pytest.raises(CheckpointError, match="weights"):
        Head.build([weights], [bias])
    bias[2] = bad
    with pytest.raises(CheckpointError, match="biases"):
        Head.build([ones(3, 2)], [bias])


# ---- the file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_head_answers_as_the_built_one_did(tmp_path, tied):
    head, x = built(exact(65, DIMS, tied=tied, normalized=True)), embeddings(4, 24)
    head.save(tmp_path / "x.mrl")
    for again in (Head.open(tmp_path / "x.mrl"), Head.open(tmp_path / "x.mrl", verify=False),
                  Head((tmp_path / "x.mrl").read_bytes())):
        assert again.dims == head.dims
        assert (again.tied, again.normalized, again.scale) == (tied, True, head.scale)
        for dim in DIMS:
            assert again.at(x, dim).tobytes() == head.at(x, dim).tobytes()


def test_the_same_classifiers_make_the_same_bytes(tmp_path):
    small().save(tmp_path / "a.mrl")
    small().save(tmp_path / "b.mrl")
    assert (tmp_path / "a.mrl").read_bytes() == (tmp_path / "b.mrl").read_bytes()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        small().save(tmp_path / "nowhere" / "x.mrl")
    with pytest.raises(FormatError, match=r"an \.mrl file.*x\.mrl"):
        Head.open(tmp_path / "x.mrl")
    (tmp_path / "x.mrl").write_bytes(b"")
    with pytest.raises(FormatError, match="an empty file"):
        Head.open(tmp_path / "x.mrl")


def test_another_kind_of_file_is_no_head(tmp_path):
    from edge_sdk.codes import CodeIndex

    CodeIndex.build(np.arange(4, dtype=np.uint64), bits=8).save(tmp_path / "x.llc")
    with pytest.raises(FormatError):
        Head.open(tmp_path / "x.llc")
    small().save(tmp_path / "x.mrl")
    with pytest.raises(FormatError):
        CodeIndex.open(tmp_path / "x.mrl")


def aligned(data):
    """A writable copy, 64-byte aligned as a mapped file is."""
    room = np.zeros(len(data) + 64, np.uint8)
    start = -room.ctypes.data % 64
    room[start : start + len(data)] = np.frombuffer(bytes(data), np.uint8)
    return room[start : start + len(data)]


def refused(data, *, verify=True):
    try:
        Head(data, verify=verify)
    except FormatError:
        return True
    return False


@pytest.mark.parametrize("tied", [False, True])
def test_every_truncation_is_refused(tied):
    data = aligned(small(tied=tied)._data)
    assert not refused(data)
    for size in range(len(data)):
        assert refused(aligned(data[:size])), size
        assert refused(aligned(data[:size]), verify=False), size


@pytest.mark.parametrize("tied", [False, True])
def test_every_flipped_bit_is_refused(tied):
    data = aligned(small(tied=tied)._data)
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert refused(data), bit
        data[bit // 8] ^= 1 << bit % 8


def test_a_newer_file_is_told_from_a_damaged_one():
    data = aligned(small()._data)
    data[AT_VERSION] += 1
    digest = _native.Digest()
    digest.add(data[:AT_DIGEST])
    digest.add(data[HEAD_BYTES : HEAD_BYTES + ENTRY * 4])
    data[AT_DIGEST:HEAD_BYTES] = np.frombuffer(digest.value().to_bytes(8, "little"), np.uint8)
    with pytest.raises(VersionError):
        Head(data)


def with_section(tag):
    head = small()
    kept = [corefile.section(entry.tag, head._data[entry.offset : entry.offset + entry.size])
            for entry in corefile.table(head._data)]
    return corefile.pack(corefile.HEAD, 2, 3, [*kept, corefile.section(tag, ones(3))])


def test_unknown_sections_are_passed_over_unless_they_are_essential():
    assert np.array_equal(Head(with_section("note")).at(ones(2)), small().at(ones(2)))
    with pytest.raises(VersionError):
        Head(with_section("NEWS"))


@given(st.data())
@SOME
def test_an_unverified_file_is_an_error_or_gives_classes_that_there_are(data):
    tied = data.draw(st.booleans())
    bytes_ = aligned(built(exact(17, (2, 5), tied=tied))._data)
    weights = next(entry for entry in corefile.table(bytes_) if entry.tag == "WGHT")
    numbers = bytes_[weights.offset : weights.offset + weights.size].view(np.float32)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(numbers) - 1))
        numbers[place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38]))
    head = Head(bytes_, verify=False)
    for signal in (1, 2, 3):
        try:
            ids, _ = _native.Steps(head, (2, 5), (0.5, 0.0), signal).every(embeddings(4, 5))
        except CodeError:
            continue
        assert ids.min() >= 0
        assert ids.max() < head.n_classes


@given(st.binary(max_size=400))
@SOME
def test_any_bytes_are_refused_as_what_they_are(data):
    for verify in (True, False):
        with pytest.raises(EdgeError):
            Head(aligned(data), verify=verify)


# ---- the vectors ------------------------------------------------------------------------------


def test_the_committed_vectors_are_those_that_numpy_makes():
    for name, text in make_mrl.files().items():
        assert (FOLDER / name).read_text(encoding="ascii") == text, \
            f"run {FOLDER / 'make_mrl.py'}"
        assert len(text) < 60_000


def test_logits_are_those_of_the_vectors(isa):
    for case in (*make_mrl.by_hand(), *make_mrl.by_recipe()):
        head = built(case.head())
        for dim, _ in case.steps:
            found = head.at(case.embeddings(), dim, interpolate="i" in case.flags)
            wanted = [case.head().logits(x, dim) for x in case.embeddings()]
            assert found.tobytes() == np.stack(wanted).tobytes(), (case.name, dim)
