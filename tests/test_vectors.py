"""`VectorIndex`: what its stages find is what NumPy finds, on every processor and thread."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_sdk
from edge_sdk import _native, corefile
from edge_sdk.errors import FormatError, OutputError, ShapeError, VectorError, VersionError
from edge_sdk.vectors import VectorIndex, cost, funnel_stages, layout
from edge_sdk.vectors.plan import overlap

FOLDER = Path(__file__).resolve().parent / "vectors"
DIMS = (4, 8, 20)


def _oracle():
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make_vectors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


oracle = _oracle()


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def vectors_of(n, dim=20, seed=0):
    """Rows in clusters, their variance falling with the coordinate."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((12, dim))
    rows = centres[rng.integers(12, size=n)] + 0.7 * rng.standard_normal((n, dim))
    return (rows / np.sqrt(1 + np.arange(dim))).astype(np.float32)


def stored_codes(index):
    """The int8 prefixes, read from the file's blocks row by row."""
    raw = index._view("PREF", "<i1")
    groups = -(-index.prefix_dim // 4)
    table = np.empty((len(index), index.prefix_dim), np.int8)
    for i in range(len(index)):
        for d in range(index.prefix_dim):
            table[i, d] = raw[((i // 64 * groups + d // 4) * 64 + i % 64) * 4 + d % 4]
    return table


def demand_oracle(index, queries, k, stages, **options):
    hits = index.search(queries, k, stages=stages, **options)
    clipped = [(dim, min(keep, len(index))) for dim, keep in stages]
    for query, ids, scores in zip(queries, hits.ids, hits.scores, strict=True):
        found = oracle.search(index.vectors, stored_codes(index), query, index.prefix_dim, clipped)
        assert ids.tolist() == [i for i, _ in found]
        assert scores.tolist() == [score for _, score in found]


def same(one, other):
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.scores, other.scores)


# ---- search -----------------------------------------------------------------------------


def test_the_committed_vectors_are_those_that_the_oracle_makes():
    assert (FOLDER / oracle.NAME).read_text(encoding="ascii") == oracle.text()
    assert (FOLDER / oracle.NAME).stat().st_size < 60_000


def test_a_search_answers_the_vectors(isa):
    for name, prefix_dim, dims, rows, queries, stages in oracle.cases():
        index = VectorIndex.build(rows, dims=dims, prefix_dim=prefix_dim)
        assert np.array_equal(stored_codes(index), oracle.code_rows(rows, prefix_dim)), name
        demand_oracle(index, queries, stages[-1][1], stages)


@pytest.mark.parametrize("prefix_dim", [1, 2, 3, 4, 5, 16, 31, 32, 33, 40])
def test_stages_find_what_numpy_finds_for_every_prefix(isa, prefix_dim):
    dims = sorted({prefix_dim, 41, 45})
    index = VectorIndex.build(vectors_of(200, 45), dims=dims, prefix_dim=prefix_dim)
    queries = vectors_of(11, 45, seed=1)  # more than are searched at once
    demand_oracle(index, queries, 5, [(prefix_dim, 40), (45, 5)])
    demand_oracle(index, queries, 5, [(prefix_dim, 40), (41, 20), (45, 5)])


def test_codes_at_their_extremes_do_not_overflow(isa):
    rows = np.where(np.random.default_rng(0).random((130, 64)) < 0.5, -1, 1).astype(np.float32)
    rows[0], rows[129] = 1, -1
    index = VectorIndex.build(rows, dims=(64,))
    assert set(np.unique(stored_codes(index))) == {-127, 127}
    demand_oracle(index, np.float32([rows[0], -rows[0], rows[5]]), 130, [(64, 130)])


def test_many_rows_are_searched_from_a_guessed_limit(isa):
    rows = vectors_of(70_000, 8)
    index = VectorIndex.build(rows, dims=(4, 8), prefix_dim=4)
    queries = vectors_of(3, 8, seed=1)
    codes = oracle.code_rows(rows, 4).astype(np.int64)
    for keep in (10, 64, 700, 5000):
        for begin, end in ((0, 70_000), (37, 69_999), (100, 165)):
            ids, distances = index.scan(queries, 4, keep, False, begin, end)
            for query, row, far in zip(queries, ids, distances, strict=True):
                products = codes[begin:end] @ oracle.coded_query(query, 4)
                wanted = begin + oracle.best(-products, keep)
                assert np.array_equal(row, wanted)
                assert np.array_equal(-np.diff(far.astype(np.int64)),
                                      np.diff(products[wanted - begin]))


def test_a_limit_guessed_too_low_costs_time_and_no_answer(isa):
    # Only the sampled blocks hold what is near, so the guess is far too strict.
    rows = np.tile(np.float32([[-1, 0.01]]), (64 * 64 * 4, 1))
    rows[:256] = [1, 0.01]
    index = VectorIndex.build(rows, dims=(2,))
    ids, _ = index.scan(np.float32([[1, 0]]), 2, 2000, False, 0, len(rows))
    near = np.flatnonzero(rows[:, 0] > 0)
    far = np.flatnonzero(rows[:, 0] < 0)[: 2000 - near.size]
    assert ids[0].tolist() == sorted([*near.tolist(), *far.tolist()])


@given(st.integers(1, 150), st.integers(1, 12), st.integers(1, 9), st.integers(1, 4),
       st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_lists_that_keep_everything_are_the_flat_search(n, k, n_queries, threads, seed):
    rng = np.random.default_rng(seed)
    # Small integers: many equal rows, and ties.
    rows = rng.integers(-1, 2, (n, 20)).astype(np.float32)
    rows[:, 19] = 1
    queries = rng.integers(-1, 2, (n_queries, 20)).astype(np.float32)
    queries[:, 19] = 2
    index = VectorIndex.build(rows, dims=DIMS, prefix_dim=8)
    flat = index.flat(queries, k)
    for before in ([], [(4, n)], [(8, n)], [(4, n), (8, n)], [(8, n), (8, n), (20, n)]):
        stages = [*before, (20, k)]
        assert same(index.search(queries, k, stages=stages, threads=threads), flat)
    for query, ids, scores in zip(queries, flat.ids, flat.scores, strict=True):
        wanted = oracle.cosines(rows, query, 20)
        order = np.argsort(-wanted, kind="stable")[:k]
        assert np.array_equal(ids, order)
        assert np.array_equal(scores, wanted[order])


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 5), st.integers(0, 2**32),
       st.lists(st.sampled_from([4, 8, 20]), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_stages_are_their_oracle(n, k, threads, seed, dims):
    rng = np.random.default_rng(seed)
    index = VectorIndex.build(vectors_of(n, seed=seed), dims=DIMS, prefix_dim=8)
    keeps = sorted((int(keep) for keep in rng.integers(k, 3 * k + 1, len(dims))), reverse=True)
    stages = [*zip(sorted(dims), [*keeps[:-1], k], strict=True)]
    demand_oracle(index, vectors_of(3, seed=seed + 1), k, stages, threads=threads)


@pytest.mark.parametrize("n_queries", [1, 2, 9])
def test_threads_do_not_change_an_answer(n_queries):
    index = VectorIndex.build(vectors_of(1000), dims=DIMS, prefix_dim=8)
    queries = vectors_of(n_queries, seed=3)
    one = index.search(queries, 6)
    for threads in (2, 3, 8):
        assert same(index.search(queries, 6, threads=threads), one)
        assert same(index.flat(queries, 6, threads=threads), index.flat(queries, 6))
        assert same(index.funnel(queries, 6, threads=threads), index.funnel(queries, 6))


def test_the_norm_of_a_vector_or_a_query_does_not_matter():
    rows, queries = vectors_of(300), vectors_of(4, seed=1)
    index = VectorIndex.build(rows, dims=DIMS)
    lengths = (2.0 ** np.random.default_rng(0).integers(-20, 20, (300, 1))).astype(np.float32)
    scaled = VectorIndex.build(rows * lengths, dims=DIMS)
    assert same(index.search(queries, 10), scaled.search(queries * 1024, 10))


def test_a_prefix_is_divided_by_its_own_norm():
    # By the plain dot product of prefixes the first would win, by the cosine the second.
    rows = np.float32([[0.9, 0.4, 0, 0.1], [0.3, 0, 0.9, 0.3]])
    hits = VectorIndex.build(rows, dims=(2, 4)).search([1.0, 0.0, 0.0, 1e-9], 1, stages=[(2, 1)])
    assert hits.ids.tolist() == [[1]]
    assert hits.scores.tolist() == [[1.0]]


def test_k_of_none_and_more_than_all_and_no_queries_are_answered():
    index = VectorIndex.build(vectors_of(9), dims=DIMS)
    queries = vectors_of(3, seed=1)
    assert index.search(queries, 0).ids.shape == index.flat(queries, 0).ids.shape == (3, 0)
    assert index.search(queries, 99).ids.shape == index.funnel(queries, 99).ids.shape == (3, 9)
    assert same(index.search(queries, 99), index.flat(queries, 99))
    none = index.search(np.empty((0, 20), np.float32), 4)
    assert none.ids.shape == none.scores.shape == (0, 4)
    assert index.search(queries[0], 2).ids.shape == (1, 2)


def test_an_empty_index_finds_nothing(tmp_path):
    VectorIndex.write(tmp_path / "x.vec", np.empty((0, 20), np.float32), dims=DIMS)
    index = VectorIndex.open(tmp_path / "x.vec")
    for hits in (index.search(vectors_of(2), 3), index.flat(vectors_of(2), 3),
                 index.funnel(vectors_of(2), 3)):
        assert hits.ids.shape == hits.scores.shape == (2, 0)
    assert len(index) == 0


# ---- stages -----------------------------------------------------------------------------


def test_a_funnel_halves_the_list_and_doubles_the_dim():
    dims = (8, 16, 32, 64, 128, 256)
    assert funnel_stages(dims, 10, start_dim=16, keep=200) == \
        ((16, 200), (32, 100), (64, 50), (128, 25), (256, 10))
    assert funnel_stages((8, 12, 30, 192), 4, start_dim=8, keep=5) == \
        ((8, 5), (30, 4), (192, 4))
    assert funnel_stages((8,), 4, start_dim=8, keep=5) == ((8, 5),)


def test_a_funnel_is_the_search_of_its_stages():
    index = VectorIndex.build(vectors_of(500), dims=DIMS, prefix_dim=4)
    queries = vectors_of(5, seed=1)
    stages = funnel_stages(DIMS, 10, start_dim=4, keep=80)
    assert stages == ((4, 80), (8, 40), (20, 10))
    assert same(index.funnel(queries, 10, start_dim=4, keep=80),
                index.search(queries, 10, stages=stages))


def test_a_cost_counts_the_scan_and_every_list():
    row, coordinate = cost(((8, 1), (8, 1)), 0, 4), 0
    assert row == coordinate == 0
    scan_only = cost(((16, 100), (64, 10)), 1000, 16) - cost(((16, 100), (64, 10)), 100, 16)
    assert scan_only == 900 * 16
    assert cost(((16, 200), (64, 10)), 1000, 16) > cost(((16, 100), (64, 10)), 1000, 16)
    assert cost(((64, 10),), 1000, 16) > cost(((16, 100), (64, 10)), 1000, 16)


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.975, 1.0])
def test_a_calibrated_plan_meets_its_recall_at_no_more_than_a_flat_scan(recall):
    index = VectorIndex.build(vectors_of(3000, 64), dims=(4, 8, 16, 64), prefix_dim=4)
    queries = vectors_of(60, 64, seed=1)
    plan = index.calibrate(queries, 10, recall=recall)
    found = index.search(queries, 10, stages=plan.stages).ids
    assert plan.recall == overlap(found, index.flat(queries, 10).ids) >= recall
    assert plan.cost == cost(plan.stages, 3000, 4) <= cost(((64, 10),), 3000, 4)
    assert (plan.n_queries, plan.k, plan.stages[-1]) == (60, 10, (64, 10))


def test_what_no_list_can_meet_is_left_to_the_exact_scan():
    # The prefix says nothing at all about the rest.
    rows = np.random.default_rng(0).standard_normal((400, 32)).astype(np.float32)
    rows[:, 0] = 1e-3
    index = VectorIndex.build(rows, dims=(1, 32), prefix_dim=1)
    plan = index.calibrate(rows[:20] + 0.01, 5, recall=1.0)
    assert (plan.stages, plan.recall) == (((32, 5),), 1.0)


def test_an_index_of_one_dim_can_be_calibrated():
    index = VectorIndex.build(vectors_of(50, 8), dims=(8,))
    assert index.calibrate(vectors_of(4, 8, seed=1), 5).stages == ((8, 5),)
    assert same(index.search(vectors_of(4, 8), 5), index.flat(vectors_of(4, 8), 5))


@pytest.mark.parametrize(("stages", "got"), [
    ([(5, 30), (20, 3)], "5"), ([(8, 30), (19, 3)], "19"), ([], r"\[\]"),
    ([(8, 30), (4, 3)], "4"), ([(8, 30), (20, 40)], "40"), ([(8, 30)], "30"),
    ([(8, 2), (20, 3)], "2"), ([(8, 0), (20, 0)], "0"), ([(8, -4), (20, 3)], "-4")])
def test_stages_that_do_not_fit_are_refused(stages, got):
    index = VectorIndex.build(vectors_of(100), dims=DIMS)
    with pytest.raises(ShapeError, match=rf"got .*{got}.* - at `stages`"):
        index.search(vectors_of(1), 3, stages=stages)


def test_an_untrained_start_or_a_list_too_short_is_refused():
    index = VectorIndex.build(vectors_of(100), dims=DIMS)
    with pytest.raises(ShapeError, match=r"one of \[4, 8, 20\], got 16 - at `start_dim`"):
        index.funnel(vectors_of(1), 3, start_dim=16)
    with pytest.raises(ShapeError, match="k = 9, got 8 - at `keep`"):
        index.funnel(vectors_of(1), 9, keep=8)
    with pytest.raises(ShapeError, match="got 16 - at `stages`"):
        index.flat(vectors_of(1), 3, dim=16)


@pytest.mark.parametrize(("queries", "k", "recall"), [
    (np.empty((0, 20), np.float32), 5, 0.9), (vectors_of(2), 0, 0.9), (vectors_of(2), 5, 1.1),
    (vectors_of(2), 5, float("nan"))])
def test_a_calibration_of_nothing_is_refused(queries, k, recall):
    with pytest.raises(ShapeError, match="at least one query"):
        VectorIndex.build(vectors_of(10), dims=DIMS).calibrate(queries, k, recall=recall)


# ---- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("queries", [
    np.ones((2, 19), np.float32), np.ones((2, 20), np.int64), np.ones((2, 2, 20)), "text", [[]],
    np.float32(1)])
def test_queries_of_another_shape_or_kind_are_refused(queries):
    with pytest.raises(ShapeError, match=r"shape \(n, 20\).* - at `queries`"):
        VectorIndex.build(vectors_of(9), dims=DIMS).search(queries, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused(bad):
    rows = vectors_of(9).astype(np.float64)
    index = VectorIndex.build(rows, dims=DIMS)
    rows[7, 19] = bad
    with pytest.raises(VectorError, match="row 7 - at `vectors`"):
        VectorIndex.build(rows, dims=DIMS)
    with pytest.raises(VectorError, match="row 7 - at `queries`"):
        index.search(rows, 3)
    with pytest.raises(edge_sdk.errors.EdgeError):  # and by the core itself
        index.search_stages(np.full((1, 20), np.float32(np.nan)), [(20, 1)])


def test_vectors_of_zeros_are_refused_and_zero_prefixes_score_zero():
    rows = vectors_of(9)
    rows[4] = 0
    with pytest.raises(VectorError, match="zeros in row 4 - at `vectors`"):
        VectorIndex.build(rows, dims=DIMS)
    rows[4, 19] = 1
    index = VectorIndex.build(rows, dims=DIMS, prefix_dim=4)
    with pytest.raises(VectorError, match="zeros in row 0 - at `queries`"):
        index.search(np.zeros((1, 20), np.float32), 3)
    assert index.search(rows[4:5], 9, stages=[(4, 9)]).scores.tolist() == [[0.0] * 9]
    assert index.search(rows[4:5], 1).ids.tolist() == [[4]]


@pytest.mark.parametrize(("dims", "prefix_dim", "where"), [
    ((), None, "dims"), ((20, 8), None, "dims"), ((8, 8, 20), None, "dims"),
    ((0, 20), None, "dims"),
    (range(1, 34), None, "dims"), (DIMS, 16, "prefix_dim"), ((4, 8), None, "vectors")])
def test_dims_that_do_not_fit_are_refused(dims, prefix_dim, where):
    with pytest.raises(ShapeError, match=f" - at `{where}`"):
        VectorIndex.build(vectors_of(5), dims=dims, prefix_dim=prefix_dim)


def test_the_default_prefix_is_the_largest_trained_dim_up_to_32():
    assert layout.check_dims((8, 16, 32, 64), None) == ((8, 16, 32, 64), 32)
    assert layout.check_dims((8, 24, 48), None)[1] == 24
    assert layout.check_dims((48, 96), None)[1] == 48


@pytest.mark.parametrize("ids", [[1, 2], [1, 2, 3, 4], [1.0, 2.0, 3.0], [[1, 2, 3]]])
def test_more_or_fewer_ids_than_vectors_are_refused(ids):
    with pytest.raises(ShapeError, match=r"3 integer ids.* - at `ids`"):
        VectorIndex.build(vectors_of(3), dims=DIMS, ids=ids)
    with pytest.raises(VectorError, match="ids from 0 up, got -7"):
        VectorIndex.build(vectors_of(3), dims=DIMS, ids=[1, -7, 2])


# ---- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000])
def test_a_file_written_in_chunks_is_the_built_one_byte_for_byte(n, tmp_path):
    rows, ids = vectors_of(n), np.arange(n, dtype=np.uint64) + np.uint64(2**63)
    built = VectorIndex.build(rows, dims=DIMS, prefix_dim=8, ids=ids)
    for size in (7, 400, 5000):
        chunks = [rows[at : at + size] for at in range(0, n, size)]
        VectorIndex.write(tmp_path / "a.vec", iter(chunks), n=n, dims=DIMS, prefix_dim=8,
                          ids=ids)
        VectorIndex.write(tmp_path / "b.vec", chunks, dims=DIMS, prefix_dim=8, ids=ids)
        for name in ("a.vec", "b.vec"):
            assert (tmp_path / name).read_bytes() == built._data.tobytes()
    for verify in (True, False):
        index = VectorIndex.open(tmp_path / "a.vec", verify=verify)
        assert same(index.search(rows[:3], 5), built.search(rows[:3], 5))
        assert index.search(rows[:1], 1).ids.tolist() == [[2**63]]
        assert index.search(rows[:1], 1, own_ids=False).ids.tolist() == [[0]]
        assert (len(index), index.dims, index.prefix_dim) == (n, DIMS, 8)
        assert np.array_equal(index.vectors, rows)
        assert np.array_equal(index.ids, ids)


def test_the_scale_of_the_codes_is_that_of_the_first_rows(monkeypatch):
    monkeypatch.setattr(layout, "SCALE_ROWS", 100)
    rows = vectors_of(250)
    rows[200] = 0
    rows[200, 0] = 1  # a unit prefix beyond all before
    whole = VectorIndex.build(rows, dims=DIMS)
    parts = VectorIndex.build([rows[:30], rows[30:120], rows[120:]], dims=DIMS)
    assert whole._data.tobytes() == parts._data.tobytes()
    assert stored_codes(whole)[200, 0] == 127


def test_a_file_takes_a_prefix_more_than_its_vectors(tmp_path):
    VectorIndex.write(tmp_path / "x.vec", vectors_of(6400, 64), dims=(32, 64))
    index = VectorIndex.open(tmp_path / "x.vec")
    assert index.nbytes == (tmp_path / "x.vec").stat().st_size
    head = index.resident_bytes - 6400 * 32
    assert 0 < head < 400
    assert index.nbytes == 6400 * (64 * 4 + 32) + head


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_search_of_a_mapped_file_reads_the_prefix_and_little_else(tmp_path):
    rows = np.random.default_rng(0).standard_normal((40_000, 256)).astype(np.float32)
    VectorIndex.write(tmp_path / "x.vec", rows, dims=(32, 256))
    index = VectorIndex.open(tmp_path / "x.vec")
    index.search(rows[:1], 2, stages=[(32, 4), (256, 2)])
    resident = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if " " in line and "-" in line.split()[0]:
            inside = line.endswith("x.vec")
        elif inside and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024
    assert index.resident_bytes < 1_300_000 < index.nbytes // 30
    # Systems map some neighbours of a page too, at once.
    assert index.resident_bytes // 2 < resident < index.nbytes // 2


def test_more_or_fewer_vectors_than_announced_leave_no_file(tmp_path):
    for n in (9, 11):
        with pytest.raises(FormatError, match="bytes of section VECT"):
            VectorIndex.write(tmp_path / "x.vec", iter([vectors_of(10)]), n=n, dims=DIMS)
    with pytest.raises(VectorError):
        VectorIndex.write(tmp_path / "x.vec", [vectors_of(9), np.full((1, 20), np.nan)],
                          dims=DIMS)
    with pytest.raises(ShapeError, match="how many vectors come"):
        VectorIndex.write(tmp_path / "x.vec", iter([vectors_of(10)]), dims=DIMS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError):
        VectorIndex.write(tmp_path / "none" / "x.vec", vectors_of(3), dims=DIMS)


def test_every_truncation_and_every_flipped_bit_is_refused(tmp_path):
    whole = VectorIndex.build(vectors_of(3, 4), dims=(2, 4), ids=[4, 5, 6])._data
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            VectorIndex(whole[:length].copy())
    for bit in range(8 * len(whole)):
        damaged = whole.copy()
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            VectorIndex(damaged)
    for name, got in (("none.vec", "No such file"), ("empty.vec", "empty")):
        (tmp_path / "empty.vec").touch()
        with pytest.raises(FormatError, match=rf"an \.vec file.*{got}"):
            VectorIndex.open(tmp_path / name)


def sections(n=3):
    return [corefile.section("DIMS", np.array([2, 2, 4], "<u4")),
            corefile.section("VECT", np.ones((n, 4), "<f4")),
            corefile.section("PREF", np.zeros(256 * (-(-n // 64)), np.int8))]


def pack(parts, n=3, kind=corefile.VECTORS):
    return corefile.pack(kind, 4, n, parts)


@pytest.mark.parametrize(("at", "part"), [
    (0, corefile.section("DIMS", np.array([2], "<u4"))),
    (0, corefile.section("DIMS", np.array([3, 2, 4], "<u4"))),
    (0, corefile.section("DIMS", np.array([2, 2, 5], "<u4"))),
    (0, corefile.section("DIMS", np.array([2, 4, 2, 4], "<u4"))),
    (0, corefile.section("DIMS", np.array([0, 0, 4], "<u4"))),
    (0, corefile.section("DIMS", np.zeros(9, np.uint8))),
    (1, corefile.section("VECT", np.ones(11, "<f4"))),
    (2, corefile.section("PREF", np.zeros(255, np.int8))),
    (2, corefile.section("ITID", np.zeros(2, "<u8")))])
def test_sections_that_do_not_fit_each_other_are_refused(at, part):
    assert VectorIndex(pack(sections())).dims == (2, 4)
    wrong = sections()
    wrong[at] = part
    for verify in (True, False):
        with pytest.raises(FormatError):
            VectorIndex(pack(wrong), verify=verify)
    missing = sections()
    del missing[at]
    with pytest.raises(FormatError):
        VectorIndex(pack(missing))


def test_a_newer_file_is_told_from_a_damaged_one_and_unknown_notes_are_passed_over():
    with pytest.raises(VersionError):
        VectorIndex(pack([*sections(), corefile.section("NEWS", np.zeros(4, np.uint8))]))
    index = VectorIndex(pack([*sections(), corefile.json_section("note", {"by": "a test"})]))
    assert index.search([1.0, 1, 1, 1], 3).ids.tolist() == [[0, 1, 2]]


def test_a_file_of_codes_is_no_file_of_vectors(tmp_path):
    edge_sdk.InstanceIndex.write(tmp_path / "x.llc", [np.arange(5, dtype=np.uint64)], n=5, bits=8)
    with pytest.raises(FormatError):
        VectorIndex.open(tmp_path / "x.llc")
    with pytest.raises(FormatError):
        edge_sdk.InstanceIndex(VectorIndex.build(vectors_of(3), dims=DIMS)._data)
    with pytest.raises(ShapeError):
        VectorIndex("x.vec")


def test_damaged_vectors_that_nobody_verified_give_ids_in_range():
    index = VectorIndex.build(vectors_of(200), dims=DIMS, prefix_dim=8)
    data = np.array(index._data)
    offset, size, _ = index.section("VECT")
    rng = np.random.default_rng(0)
    data[offset : offset + size] = rng.integers(0, 256, size)
    offset, size, _ = index.section("PREF")
    data[offset : offset + size] = rng.integers(0, 256, size)
    hits = VectorIndex(data, verify=False).search(vectors_of(5), 20)
    assert hits.ids.min() >= 0
    assert hits.ids.max() < 200
    assert [len(set(row)) for row in hits.ids.tolist()] == [20] * 5


def test_the_core_itself_refuses_stages_slices_and_candidates_out_of_range():
    index = VectorIndex.build(vectors_of(9), dims=DIMS)
    query = vectors_of(1)
    for stages in ([], [(5, 1)], [(20, 0)], [(20, 2**21)], [(20, 2), (8, 1)], [(8, 1), (20, 2)]):
        with pytest.raises(ShapeError):
            index.search_stages(query, stages)
    for begin, end in ((5, 4), (0, 10)):
        with pytest.raises(ShapeError):
            index.scan(query, 8, 2, False, begin, end)
    for ids in ([[9]], [[-1]], [[0], [1]]):
        with pytest.raises(ShapeError):
            index.rerank(query, [(20, 1)], np.array(ids, np.int64))
    with pytest.raises(ShapeError):
        index.search_stages(query[:, :8].copy(), [(20, 1)])
