"""`InstanceIndex`: the nearest k are those of comparing everything, for every width and thread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import _native, reference
from edge_sdk.codes import InstanceIndex, instances
from edge_sdk.codes.instances import chunked
from edge_sdk.errors import CodeError, FormatError, OutputError, ShapeError

WIDE = (128, 256)


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def table_of(bits, n, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (n, bits)).astype(np.int8)


def near_table(table, seed=1, n=6):
    """Rows of `table`, some bits flipped, and random ones."""
    rng = np.random.default_rng(seed)
    rows = table[rng.integers(len(table), size=n)] ^ (rng.random((n, table.shape[1])) < 0.05)
    return np.concatenate([rows, rng.integers(0, 2, rows.shape)]).astype(np.int8)


def searched(table, queries, k):
    """Ids and distances by comparing everything."""
    distances = (queries[:, None, :] != table[None, :, :]).sum(-1)
    ids = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(distances, ids, axis=1)


def demand_equal(hits, ids, distances):
    assert np.array_equal(hits.ids, ids)
    assert np.array_equal(hits.distances, distances)
    assert hits.distances.dtype == np.int32


# ---- search -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [*range(1, 65), *WIDE])
def test_a_search_is_its_oracle_for_every_width(isa, bits):
    table = table_of(bits, 333)
    queries = near_table(table)
    index = InstanceIndex.build(table)
    assert (len(index), index.bits, index.kind) == (333, bits, 2)
    for k in (1, 10, 333):
        demand_equal(index.search(queries, k), *searched(table, queries, k))
        demand_equal(index.search(queries, k, threads=2), *searched(table, queries, k))


def test_the_oracle_of_words_and_the_one_of_tables_agree():
    table, queries = table_of(20, 50), table_of(20, 4, 1)
    powers = 1 << np.arange(20, dtype=np.uint64)
    ids, distances = reference.hamming_search(table.astype(np.uint64) @ powers,
                                              queries.astype(np.uint64) @ powers, 7)
    wanted = searched(table, queries, 7)
    assert np.array_equal(ids, wanted[0])
    assert np.array_equal(distances, wanted[1])


@given(st.sampled_from([1, 5, 31, 32, 33, 64, 128, 256]), st.integers(0, 70), st.integers(0, 80),
       st.integers(0, 20), st.integers(1, 5), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_any_search_is_its_oracle(bits, n, k, n_queries, threads, seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 2, (n, bits)).astype(np.int8)
    table[: n // 2] = table[:1]  # many that are equal
    queries = rng.integers(0, 2, (n_queries, bits)).astype(np.int8)
    hits = InstanceIndex.build(table, bits=bits).search(queries, k, threads=threads)
    demand_equal(hits, *searched(table, queries, k))
    assert hits.ids.shape == (n_queries, min(n, k))


def test_many_items_and_many_queries_are_searched_tile_by_tile(isa):
    rng = np.random.default_rng(4)
    for bits in (32, 64):
        codes = rng.integers(0, 2**bits - 1, 70_000, np.uint64, endpoint=True)
        codes[::7] = codes[0]
        queries = np.concatenate([codes[:20], codes[:20] ^ np.uint64(9)])
        index = InstanceIndex.build(codes, bits=bits)
        wanted = reference.hamming_search(codes, queries, 100)
        demand_equal(index.search(queries, 100), *wanted)
        demand_equal(index.search(queries, 100, threads=3), *wanted)


@pytest.mark.parametrize("bits", [10, 64, 128])
def test_ties_go_to_the_lowest_item_whoever_searches(bits):
    table = np.zeros((500, bits), np.int8)
    index = InstanceIndex.build(table)
    for threads in (1, 2, 3, 7):
        hits = index.search(table[:2], 60, threads=threads)
        assert np.array_equal(hits.ids, [np.arange(60)] * 2)
        assert not hits.distances.any()


def test_queries_come_as_words_or_tables():
    table = table_of(12, 40)
    words = table.astype(np.uint64) @ (1 << np.arange(12, dtype=np.uint64))
    index = InstanceIndex.build(table)
    wanted = searched(table, table[:5], 3)
    for queries in (table[:5], table[:5] * 2 - 1, words[:5], words[:5].tolist(), words[:10][:5]):
        demand_equal(index.search(queries, 3), *wanted)


@pytest.mark.parametrize("bits", WIDE)
def test_wide_queries_come_as_rows_of_words_too(bits):
    table = table_of(bits, 40)
    words = np.packbits(table, axis=1, bitorder="little").view("<u8")
    index = InstanceIndex.build(table)
    wanted = searched(table, table[:5], 3)
    demand_equal(index.search(words[:5], 3), *wanted)
    demand_equal(index.search(np.asfortranarray(words[:5]), 3), *wanted)


def test_k_of_none_more_than_all_and_no_queries_are_answered():
    table = table_of(40, 9)
    index = InstanceIndex.build(table)
    assert index.search(table, 0).ids.shape == (9, 0)
    assert index.search(table, 9).ids.shape == index.search(table, 10**9).ids.shape == (9, 9)
    for none in (np.empty((0, 40)), [], np.empty(0, np.uint64)):
        hits = index.search(none, 4)
        assert hits.ids.shape == hits.distances.shape == (0, 4)
        assert hits.scores is None


@pytest.mark.parametrize("bits", [1, 40, 64, 128, 256])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_empty_index_finds_nothing(bits, threads):
    index = InstanceIndex.build(np.empty((0, bits)), bits=bits)
    hits = index.search(table_of(bits, 3), 5, threads=threads)
    assert hits.ids.shape == hits.distances.shape == (3, 0)
    assert len(index) == 0


# ---- own ids ----------------------------------------------------------------------------


def test_own_ids_come_back_even_beyond_2_to_the_63():
    table = table_of(64, 4)
    for ids in (np.array([7, 2**63, 2**64 - 1, 7], np.uint64), [7, 2**63, 2**64 - 1, 7]):
        index = InstanceIndex.build(table, ids=ids)
        hits = index.search(table, 1)
        assert hits.ids.dtype == np.uint64
        assert hits.ids[:, 0].tolist() == [7, 2**63, 2**64 - 1, 7]
        assert index.ids.tolist() == [7, 2**63, 2**64 - 1, 7]
        assert index.search(table, 1, threads=2).ids[:, 0].tolist() == [7, 2**63, 2**64 - 1, 7]
    assert InstanceIndex.build(table).ids is None
    assert InstanceIndex.build(table).search(table, 1).ids.dtype == np.int64
    assert InstanceIndex.build([], bits=4, ids=[]).ids.tolist() == []


@pytest.mark.parametrize("ids", [[1, 2, 3], [1, 2, 3, 4, 5], [], [[1, 2, 3, 4]],
                                 [1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"]])
def test_more_or_fewer_ids_than_codes_or_no_integers_are_refused(ids):
    with pytest.raises(ShapeError, match=r"4 integer ids.* - at `ids`"):
        InstanceIndex.build(table_of(8, 4), ids=ids)


def test_negative_ids_are_refused():
    with pytest.raises(CodeError, match="ids from 0 up, got -5"):
        InstanceIndex.build(table_of(8, 2), ids=[3, -5])


# ---- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 20, 32, 33, 64, 128, 256])
@pytest.mark.parametrize("own", [False, True])
def test_a_streamed_file_is_the_built_one_byte_for_byte(bits, own, tmp_path):
    table = table_of(bits, 1000)
    ids = np.arange(1000, dtype=np.uint64) * np.uint64(2**54) if own else None
    for size in (1, 7, 400, 1000, 5000):
        InstanceIndex.write(tmp_path / "x.llc", chunked(table, size), n=1000, bits=bits,
                            ids=None if ids is None else chunked(ids, 300))
        built = InstanceIndex.build(table, ids=ids)
        assert (tmp_path / "x.llc").read_bytes() == built._data.tobytes()
    index = InstanceIndex.open(tmp_path / "x.llc")
    queries = near_table(table)
    for opened in (index, InstanceIndex.open(tmp_path / "x.llc", verify=False)):
        hits = opened.search(queries, 5)
        assert np.array_equal(hits.ids, built.search(queries, 5).ids)
        assert np.array_equal(hits.distances, searched(table, queries, 5)[1])
        assert opened.nbytes == (tmp_path / "x.llc").stat().st_size


def test_a_memory_mapped_table_is_written_in_chunks(tmp_path):
    np.save(tmp_path / "t.npy", table_of(64, 500))
    mapped = np.load(tmp_path / "t.npy", mmap_mode="r")
    InstanceIndex.write(tmp_path / "x.llc", chunked(mapped, 64), n=500, bits=64)
    demand_equal(InstanceIndex.open(tmp_path / "x.llc").search(mapped[:3], 4),
                 *searched(table_of(64, 500), table_of(64, 500)[:3], 4))


def test_packed_words_and_bytes_are_written_too(tmp_path):
    table = table_of(128, 20)
    packed = np.packbits(table, axis=1, bitorder="little")
    InstanceIndex.write(tmp_path / "a.llc", chunked(packed, 6), n=20, bits=128, coding="packed")
    InstanceIndex.write(tmp_path / "b.llc", chunked(table, 6), n=20, bits=128)
    assert (tmp_path / "a.llc").read_bytes() == (tmp_path / "b.llc").read_bytes()
    words = np.arange(20, dtype=np.uint64)
    InstanceIndex.write(tmp_path / "c.llc", [words[:5], words[5:].tolist()], n=20, bits=6)
    assert InstanceIndex.open(tmp_path / "c.llc").search([19], 1).ids.tolist() == [[19]]


def test_chunks_are_read_by_the_coding_of_the_first(tmp_path):
    table = np.array([[-3, 0, 2], [2, -1, 0], [0, 1, 1], [1, 0, 0]], np.int8)
    InstanceIndex.write(tmp_path / "x.llc", chunked(table, 2), n=4, bits=3)
    assert (tmp_path / "x.llc").read_bytes() == InstanceIndex.build(table)._data.tobytes()
    with pytest.raises(CodeError, match="zeros and ones"):
        InstanceIndex.write(tmp_path / "y.llc", chunked(table[::-1], 2), n=4, bits=3)
    assert not (tmp_path / "y.llc").exists()


def test_no_items_are_a_file_too(tmp_path):
    InstanceIndex.write(tmp_path / "x.llc", [], n=0, bits=64, ids=[])
    assert len(InstanceIndex.open(tmp_path / "x.llc")) == 0


@pytest.mark.parametrize("n", [0, 9, 11, 1000])
def test_more_or_fewer_items_than_announced_leave_no_file(n, tmp_path):
    with pytest.raises(FormatError, match="bytes of section CODE"):
        InstanceIndex.write(tmp_path / "x.llc", chunked(table_of(64, 10), 4), n=n, bits=64)
    assert list(tmp_path.iterdir()) == []


def test_more_or_fewer_ids_than_announced_leave_no_file(tmp_path):
    for ids in ([np.arange(9)], [np.arange(10), np.arange(1)], []):
        with pytest.raises(FormatError, match="bytes of section ITID"):
            InstanceIndex.write(tmp_path / "x.llc", [table_of(64, 10)], n=10, bits=64, ids=ids)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("chunks", "kind"), [
    ([np.ones((2, 9), np.int8)], ShapeError), ([[300, 1]], CodeError),
    ([np.full((2, 8), np.nan)], CodeError), ([np.ones((2, 8)), ["a"]], ShapeError)])
def test_chunks_of_another_width_or_form_leave_no_file(chunks, kind, tmp_path):
    with pytest.raises(kind):
        InstanceIndex.write(tmp_path / "x.llc", chunks, n=2, bits=8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bits", [0, -1, 65, 127, 192, 512])
def test_a_width_that_items_can_not_have_is_refused(bits, tmp_path):
    with pytest.raises(ShapeError, match="codes of 1 to 64 or 128 or 256 bits"):
        InstanceIndex.write(tmp_path / "x.llc", [], n=0, bits=bits)
    assert list(tmp_path.iterdir()) == []


def test_writing_into_no_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="a writable output folder"):
        InstanceIndex.write(tmp_path / "no" / "x.llc", [], n=0, bits=8)


# ---- re-ranking -------------------------------------------------------------------------


def vectors_of(table, queries, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(len(queries), 16)).astype(np.float32),
            rng.normal(size=(len(table), 16)).astype(np.float32))


@pytest.mark.parametrize("candidates", [None, 5, 20, 200])
def test_reranking_orders_the_candidates_by_inner_product(candidates):
    table = table_of(32, 200)
    queries = near_table(table)
    vectors = vectors_of(table, queries)
    k = 5
    hits = InstanceIndex.build(table).search(queries, k, rerank=vectors, candidates=candidates)
    near, distances = searched(table, queries, candidates or 4 * k)
    for q in range(len(queries)):
        products = vectors[1][near[q]] @ vectors[0][q]
        order = np.argsort(-products, kind="stable")[:k]
        assert hits.ids[q].tolist() == near[q][order].tolist()
        assert hits.distances[q].tolist() == distances[q][order].tolist()
        np.testing.assert_allclose(hits.scores[q], products[order], rtol=1e-5)
    assert hits.scores.dtype == np.float32


def test_all_items_as_candidates_are_the_exact_inner_product_search():
    table = table_of(32, 100)
    queries, items = vectors_of(table, table[:3])
    hits = InstanceIndex.build(table).search(table[:3], 10, rerank=(queries, items), candidates=100)
    assert np.array_equal(hits.ids, np.argsort(-(queries @ items.T), axis=1)[:, :10])


def test_vectors_may_lie_in_a_memory_mapped_file_and_ids_be_own(tmp_path):
    table = table_of(32, 50)
    queries, items = vectors_of(table, table[:3])
    np.save(tmp_path / "v.npy", items.astype(np.float16))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    own = np.arange(50, dtype=np.uint64) + np.uint64(2**63)
    index = InstanceIndex.build(table, ids=own)
    hits = index.search(table[:3], 4, rerank=(queries, mapped))
    plain = InstanceIndex.build(table).search(table[:3], 4, rerank=(queries, mapped))
    assert np.array_equal(hits.ids, own[plain.ids])
    assert hits.scores.dtype == np.float32


def test_reranking_no_queries_or_no_items_finds_nothing():
    table = table_of(32, 50)
    index = InstanceIndex.build(table)
    none = index.search(np.empty((0, 32)), 4, rerank=(np.empty((0, 16)), np.ones((50, 16))))
    assert none.ids.shape == none.scores.shape == (0, 4)
    empty = InstanceIndex.build(np.empty((0, 32)), bits=32)
    hits = empty.search(table[:2], 4, rerank=(np.ones((2, 16)), np.empty((0, 16))))
    assert hits.ids.shape == hits.scores.shape == (2, 0)


@pytest.mark.parametrize(("queries", "items"), [
    ((2, 16), (50, 16)), ((3, 16), (49, 16)), ((3, 16), (50, 15)), ((3,), (50, 16)),
    ((3, 16), (50,))])
def test_vectors_that_do_not_fit_are_refused(queries, items):
    table = table_of(32, 50)
    with pytest.raises(ShapeError, match="one vector for each query"):
        InstanceIndex.build(table).search(table[:3], 4, rerank=(np.ones(queries), np.ones(items)))


# ---- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 64, 128])
def test_queries_of_another_width_or_form_are_refused(bits):
    index = InstanceIndex.build(table_of(bits, 5))
    for queries in (np.ones((2, bits + 1), np.int8), np.ones((2, bits - 1), np.int8), 5, "word",
                    np.ones((1, 1, bits), np.int8)):
        with pytest.raises(ShapeError, match="hint: "):
            index.search(queries, 1)


def test_queries_of_2_to_the_k_or_more_are_refused():
    index = InstanceIndex.build(table_of(8, 5))
    for queries in ([256], np.array([2**63], np.uint64)):
        with pytest.raises(CodeError, match=r"codes below 2\*\*8"):
            index.search(queries, 1)


@pytest.mark.parametrize(("k", "threads"), [(-1, 1), (1, 0), (1, -3)])
def test_a_negative_k_and_no_threads_are_refused(k, threads):
    with pytest.raises(ShapeError, match="k from 0 and threads from 1 up"):
        InstanceIndex.build(table_of(8, 5)).search([1], k, threads=threads)


def test_more_hits_than_the_core_sorts_are_refused(monkeypatch):
    monkeypatch.setattr(instances, "LARGEST_K", 3)
    index = InstanceIndex.build(table_of(8, 5))
    with pytest.raises(ShapeError, match="at most 3 hits a query, got 4"):
        index.search([1], 4)
    assert index.search([1], 3).ids.shape == (1, 3)


def test_codes_with_nan_or_of_no_form_are_refused():
    with pytest.raises(CodeError, match="NaN"):
        InstanceIndex.build(np.array([[np.nan, 1.0]]))
    with pytest.raises(ShapeError, match="`bits` beside packed integers"):
        InstanceIndex.build([1, 2])
    with pytest.raises(CodeError, match="packed words have shape"):
        InstanceIndex.build(np.array([[5, 6]], np.uint64))
