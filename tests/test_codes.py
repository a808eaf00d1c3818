"""`CodeIndex`: every decoder is its oracle, on every instruction set, and says what it refuses."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk import _native, reference
from edge_sdk.codes import CodeIndex, as_words, calibrate
from edge_sdk.codes.classes import DECODERS
from edge_sdk.errors import CodeError, FormatError, OutputError, ShapeError

ROOT = Path(__file__).resolve().parent.parent
BOOKS = [(1, 1), (1, 2), (3, 5), (8, 256), (10, 300), (20, 70), (21, 1000), (32, 700), (33, 700),
         (47, 65), (64, 1), (64, 900)]
SOME = settings(max_examples=40, deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def random_words(rng, bits, n):
    return rng.integers(0, (1 << bits) - 1, n, dtype=np.uint64, endpoint=True)


def book_of(bits, n, seed=0):
    """Return `n` different codes."""
    rng = np.random.default_rng(seed)
    if bits <= 10:
        return rng.permutation(1 << bits)[:n].astype(np.uint64)
    codes = np.unique(random_words(rng, bits, 2 * n + 50))
    rng.shuffle(codes)
    return codes[:n]


def near_words(codes, bits, seed=1, n=40):
    """Return codes, codes with one to three bits flipped, random words, the least and the last."""
    rng = np.random.default_rng(seed)
    words = [codes[rng.integers(len(codes), size=n)]]
    for _ in range(3):
        flip = np.uint64(1) << rng.integers(0, bits, n, dtype=np.uint64)
        words.append(words[-1] ^ flip)
    edges = np.array([0, (1 << bits) - 1], np.uint64)
    return np.concatenate([*words, random_words(rng, bits, n), edges])


def plans_of(index):
    return [plan for plan in ("auto", "table", "scan", "ball", "multi")
            if plan != "table" or index.bits <= 20]


def scores_of(codes, bits, seed=2, n=30):
    """Return noisy codes, random scores, scores with many ties, and scores of wild scales."""
    rng = np.random.default_rng(seed)
    words = codes[rng.integers(len(codes), size=n)]
    signs = (words[:, None] >> np.arange(bits, dtype=np.uint64) & np.uint64(1)) * 2.0 - 1
    noisy = signs + rng.normal(0, 0.7, signs.shape)
    random = rng.normal(size=(n, bits))
    wild = random * 10.0 ** rng.integers(-30, 30, random.shape)
    return np.concatenate([noisy, random, np.round(noisy * 2), wild, np.zeros((1, bits)),
                           np.full((1, bits), -0.0)]).astype(np.float32)


def penalty_of(index, scores, one):
    """Return the sum of |z| over the bits in which class and signs differ, as the core rounds."""
    costs = reference.bit_costs(scores)
    flips = int(index.codes[one]) ^ reference.sign_word(scores)
    z = np.abs(scores.astype(np.float64)).max()
    unit = 2.0 ** (max(math.frexp(z)[1], -125) - 55)
    return float(sum(cost for j, cost in enumerate(costs) if flips >> j & 1)) * unit


# ---- words to classes -------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "n"), BOOKS)
def test_every_decoder_of_words_is_its_oracle(isa, bits, n):
    codes = book_of(bits, n)
    words = near_words(codes, bits)
    index = CodeIndex.build(codes, bits=bits, multi=True)
    assert np.array_equal(index.decode_ed(words), reference.exact_decode(codes, words))
    ids, distances = reference.hamming_search(codes, words, 2)
    for plan in plans_of(index):
        assert np.array_equal(index.decode_mhd(words, plan=plan), ids[:, 0]), plan
    near = index.nearest(words)
    assert np.array_equal(near.ids, ids[:, 0])
    assert np.array_equal(near.distances, distances[:, 0])
    second = distances[:, 1] if n > 1 else np.full(len(words), bits + 1)
    assert np.array_equal(near.runners_up, second)
    assert np.array_equal(near.margins, second - distances[:, 0])
    hits = index.search(words, 7)
    wanted = reference.hamming_search(codes, words, 7)
    assert np.array_equal(hits.ids, wanted[0])
    assert np.array_equal(hits.distances, wanted[1])


@given(st.integers(1, 64), st.data())
@SOME
def test_decoders_of_words_are_their_oracles_on_any_codes_even_equal_ones(bits, data):
    word = st.integers(0, 2**bits - 1)
    codes = np.array(data.draw(st.lists(word, min_size=1, max_size=40)), np.uint64)
    words = np.array(data.draw(st.lists(word, max_size=10)), np.uint64)
    words = np.concatenate([codes, codes ^ np.uint64(1), words])
    index = CodeIndex.build(codes, bits=bits, multi=True, duplicates="lowest")
    assert np.array_equal(index.decode_ed(words), reference.exact_decode(codes, words))
    wanted = reference.hamming_search(codes, words, 1)[0][:, 0]
    for plan in plans_of(index):
        assert np.array_equal(index.decode_mhd(words, plan=plan), wanted), plan


def test_ties_go_to_the_lowest_id_by_every_plan(isa):
    codes = np.array([0b1000, 0b0100, 0b0010, 0b0001], np.uint64)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        index = CodeIndex.build(codes[order], bits=4, multi=True)
        for plan in plans_of(index):
            assert index.decode_mhd([0, 15], plan=plan).tolist() == [0, 0]
        assert index.nearest([0]).margins.tolist() == [0]
        zeros = np.zeros((1, 4), np.float32)
        assert index.decode_ord(zeros).ids.tolist() == [0]
        assert index.decode_soft(zeros).ids.tolist() == [0]


def test_many_classes_are_all_found_again(isa):
    for bits in (24, 40, 64):
        codes = book_of(bits, 50_000)
        index = CodeIndex.build(codes, bits=bits)
        assert np.array_equal(index.decode_ed(codes), np.arange(50_000))
        others = np.setdiff1d(random_words(np.random.default_rng(5), bits, 20_000), codes)
        assert (index.decode_ed(others) == -1).all()


def test_get_is_ed_of_one_integer():
    index = CodeIndex.build([5, 2**63], bits=64)
    assert index.get(5) == 0
    assert index.get(2**63) == 1
    assert index.get(6) is None
    with pytest.raises(TypeError):
        index.get(-1)
    with pytest.raises(CodeError, match="fit the index's bits"):
        CodeIndex.build([5], bits=3).get(8)


def test_words_come_packed_or_as_tables():
    codes = book_of(12, 50)
    index = CodeIndex.build(codes, bits=12)
    table = (codes[:, None] >> np.arange(12, dtype=np.uint64) & np.uint64(1)).astype(np.int8)
    for words in (codes, codes.tolist(), table, table * 2 - 1, codes.astype(np.int32),
                  np.repeat(codes, 2)[::2]):
        assert np.array_equal(index.decode_ed(words), np.arange(50))
        assert np.array_equal(index.decode_mhd(words), np.arange(50))


# ---- scores to classes ------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "n"), BOOKS)
def test_unbounded_ord_and_the_soft_scan_are_the_argmax(isa, bits, n):
    codes = book_of(bits, min(n, 300))
    scores = scores_of(codes, bits, n=10)
    index = CodeIndex.build(codes, bits=bits)
    wanted = reference.soft_decode(codes, scores)
    soft, ordered = index.decode_soft(scores), index.decode_ord(scores)
    assert np.array_equal(soft.ids, wanted)
    assert np.array_equal(ordered.ids, wanted)
    assert np.array_equal(ordered.penalties, soft.penalties)
    assert soft.penalties.tolist() == [penalty_of(index, z, one)
                                       for z, one in zip(scores, wanted, strict=True)]
    assert set(soft.met.tolist()) == {3}
    assert set(soft.lookups.tolist()) == {0}
    assert set(ordered.met.tolist()) <= {1, 3}


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(("bits", "n"), [(13, 5000), (20, 6000), (32, 20_000), (64, 20_000)])
def test_unbounded_ord_of_many_classes_is_the_soft_scan_to_the_last_tie(isa, bits, n, multi):
    rng = np.random.default_rng(bits)
    codes = random_words(rng, bits, n)  # equal ones among them
    index = CodeIndex.build(codes, bits=bits, multi=multi, duplicates="lowest")
    scores = scores_of(codes, bits, n=40)
    signs = np.where(codes[:40, None] >> np.arange(bits, dtype=np.uint64) & np.uint64(1), 1, -1)
    few = (signs * rng.integers(0, 3, (40, bits))).astype(np.float32)  # free bits and ties
    scores = np.concatenate([scores, few, signs.astype(np.float32)])
    soft, ordered = index.decode_soft(scores), index.decode_ord(scores)
    assert np.array_equal(ordered.ids, soft.ids)
    assert np.array_equal(ordered.penalties, soft.penalties)
    assert {1, 3} >= set(ordered.met.tolist())
    some = rng.permutation(len(scores))[:2]
    assert np.array_equal(soft.ids[some], reference.soft_decode(codes, scores[some]))


@pytest.mark.parametrize("max_lookups", [1, 2, 3, 10, 100, 65536])
@pytest.mark.parametrize(("bits", "n"), [(1, 2), (3, 5), (7, 9), (9, 40)])
def test_bounded_ord_looks_up_in_the_oracles_order_and_then_falls_back(isa, bits, n, max_lookups):
    codes = book_of(bits, n)
    scores = scores_of(codes, bits, n=6)
    index = CodeIndex.build(codes, bits=bits)
    found = {name: index.decode_ord(scores, max_lookups=max_lookups, fallback=name)
             for name in ("none", "mhd", "soft")}
    for i, z in enumerate(scores):
        one, lookups = reference.ordered_decode(codes, z, max_lookups)
        assert (found["none"].ids[i], found["none"].lookups[i]) == (one, lookups)
        assert found["none"].met[i] == (0 if one < 0 else 1)
        assert np.isinf(found["none"].penalties[i]) == (one < 0)
        signs = reference.hamming_search(codes, [reference.sign_word(z)], 1)[0][0, 0]
        assert found["mhd"].ids[i] == (signs if one < 0 else one)
        assert found["mhd"].met[i] == (2 if one < 0 else 1)
        assert found["mhd"].penalties[i] == penalty_of(index, z, found["mhd"].ids[i])
        assert found["mhd"].lookups[i] == lookups
    assert np.array_equal(found["soft"].ids, reference.soft_decode(codes, scores))


@given(st.integers(1, 12), st.data())
@SOME
def test_ord_is_the_argmax_for_any_floats(bits, data):
    codes = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=12)),
                     np.uint64)
    one = st.floats(width=32, allow_nan=False, allow_infinity=False)
    scores = np.array([data.draw(st.lists(one, min_size=bits, max_size=bits))], np.float32)
    index = CodeIndex.build(codes, bits=bits, duplicates="lowest")
    wanted = reference.soft_decode(codes, scores)
    assert np.array_equal(index.decode_soft(scores).ids, wanted)
    assert np.array_equal(index.decode_ord(scores).ids, wanted)
    assert np.array_equal(index.decode_ord(scores, max_lookups=5).ids, wanted)


def test_the_penalty_of_an_exact_match_is_zero_and_one_look_up_finds_it():
    index = CodeIndex.build([0b01, 0b10], bits=2)
    found = index.decode_ord([[1.0, -2.0]], max_lookups=1, fallback="none")
    assert (found.ids[0], found.penalties[0], found.lookups[0], found.met[0]) == (0, 0.0, 1, 1)
    missed = index.decode_ord([[1.0, 2.0]], max_lookups=1, fallback="none")
    assert (missed.ids[0], missed.penalties[0], missed.met[0]) == (-1, np.inf, 0)
    assert index.decode_ord([[1.0, 2.0]], max_lookups=1, fallback="mhd").penalties[0] == 2.0


def test_scores_of_other_real_types_are_taken():
    index = CodeIndex.build([0b01, 0b10], bits=2)
    for scores in ([[3, -1]], np.array([[3, -1]], np.float64), np.array([[3, -1]], np.int8),
                   np.asfortranarray(np.array([[3, -1], [3, -1]], np.float32))):
        assert set(index.decode_ord(scores).ids.tolist()) == {0}


# ---- calibration ------------------------------------------------------------------------


def test_calibrated_decoding_is_decoding_of_calibrated_scores(isa):
    codes = book_of(10, 30)
    rng = np.random.default_rng(8)
    slope, offset = rng.normal(1, 0.5, 10).astype("f4"), rng.normal(0, 0.5, 10).astype("f4")
    scores = scores_of(codes, 10)[:60]
    index = CodeIndex.build(codes, bits=10, calibration=(slope, offset))
    plain = CodeIndex.build(codes, bits=10)
    mapped = (scores.astype(np.float64) * slope + offset).astype(np.float32)
    wanted = reference.soft_decode(codes, mapped)
    assert not np.array_equal(wanted, reference.soft_decode(codes, scores))
    for got in (index.decode_soft(scores), index.decode_ord(scores), plain.decode_ord(mapped)):
        assert np.array_equal(got.ids, wanted)
    assert np.array_equal(index.decode_ord(scores).penalties, plain.decode_ord(mapped).penalties)
    short = index.at(bits=6, untrained=True, duplicates="lowest")
    cut = reference.soft_decode(codes & np.uint64(63), mapped[:, :6])
    assert np.array_equal(short.decode_soft(scores[:, :6]).ids, cut)


def test_calibrate_finds_the_log_likelihood_ratio_of_gaussian_bits():
    rng = np.random.default_rng(3)
    n, scale = 20_000, np.array([0.5, 2.0, 40.0])
    bits = rng.integers(0, 2, (n, 3))
    # Means +-scale, deviation scale: the ratio is 2 z / scale, shifted by 1 for the second bit.
    scores = scale * (2 * bits - 1 + rng.normal(size=(n, 3))) + np.array([0.0, 1.0, 0.0])
    slope, offset = calibrate(scores, bits.astype(np.uint8))
    assert slope.dtype == offset.dtype == np.float32
    np.testing.assert_allclose(slope, 2 / scale, rtol=0.08)
    np.testing.assert_allclose(offset, [0.0, -1.0, 0.0], atol=0.08)
    packed = bits @ np.array([1, 2, 4])
    assert np.array_equal(calibrate(scores, packed)[0], slope)


def test_calibrate_stays_finite_where_bits_are_constant_or_separable():
    scores = np.array([[-1.0, 0.0, 5.0], [1.0, 0.0, 5.0]])
    slope, offset = calibrate(scores, np.array([[0, 1, 1], [1, 0, 1]], np.uint8))
    assert np.isfinite(slope).all()
    assert np.isfinite(offset).all()
    assert slope[0] > 0
    CodeIndex.build([1, 6], bits=3, calibration=(slope, offset)).decode_ord(scores)


@pytest.mark.parametrize(("scores", "codes", "kind"), [
    (np.zeros(3), [1], ShapeError), (np.zeros((0, 3)), [], ShapeError),
    (np.zeros((2, 3)), [1], ShapeError), (np.array([[np.nan, 1, 1]]), [1], CodeError),
    (np.array([[np.inf, 1, 1]]), [1], CodeError), (np.zeros((1, 3)), [8], CodeError),
])
def test_calibrate_refuses_what_it_can_not_fit(scores, codes, kind):
    with pytest.raises(kind, match="hint: "):
        calibrate(scores, codes)


@pytest.mark.parametrize("calibration", [
    (np.ones(3), np.ones(3)), (np.ones(4), np.full(4, np.nan)), (np.ones(4), np.full(4, np.inf)),
    (np.ones((1, 4)), np.ones((1, 4))),
])
def test_a_calibration_of_another_shape_or_not_finite_is_refused(calibration):
    with pytest.raises(ShapeError, match="a finite slope and offset for each of 4 bits"):
        CodeIndex.build([1, 2], bits=4, calibration=calibration)


# ---- what an index holds ----------------------------------------------------------------


def test_labels_prefixes_and_provenance_come_back(tmp_path):
    codes = book_of(24, 5)
    labels = ["Katze", "Hund", "", "日本", "a b"]
    made = CodeIndex.build(codes, bits=24, labels=labels, prefixes=(8, 16),
                           provenance={"run": 3, "data": {"n": [1, 2]}})
    made.save(tmp_path / "x.llc")
    for index in (made, CodeIndex.open(tmp_path / "x.llc"),
                  CodeIndex.open(str(tmp_path / "x.llc"), verify=False)):
        assert index.labels == labels
        assert index.prefixes == (8, 16)
        assert index.provenance == {"run": 3, "data": {"n": [1, 2]}}
        assert np.array_equal(index.codes, codes)
        assert (len(index), index.bits, index.kind) == (5, 24, 1)
        assert index.nbytes == (tmp_path / "x.llc").stat().st_size
    bare = CodeIndex.build(codes, bits=24)
    assert (bare.labels, bare.prefixes, bare.provenance) == (None, (), {})


def test_the_same_codes_make_the_same_bytes(tmp_path):
    for name in "ab":
        CodeIndex.build(book_of(40, 500), bits=40, multi=True).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("decoders", [("ed",), ("mhd",), ("ord",), ("ed", "mhd"), ()])
@pytest.mark.parametrize("bits", [16, 40])
def test_an_index_can_do_what_it_was_built_for_and_refuses_the_rest(decoders, bits):
    codes = book_of(bits, 20)
    index = CodeIndex.build(codes, bits=bits, decoders=decoders)
    calls = {"ed": lambda: index.decode_ed(codes), "mhd": lambda: index.decode_mhd(codes),
             "ord": lambda: index.decode_ord(np.ones((1, bits)))}
    for name in decoders:
        calls[name]()
    stored = "mhd" in decoders or "ord" in decoders
    if "ed" not in decoders and "ord" not in decoders:
        with pytest.raises(CodeError, match=r"an index built for this decoder[^$]*hint: build"):
            calls["ed"]()
        with pytest.raises(CodeError, match="an index built for this decoder"):
            calls["ord"]()
    if not stored:
        for call in (calls["mhd"], lambda: index.nearest(codes),
                     lambda: index.decode_soft(np.ones((1, bits))), lambda: index.search(codes, 1)):
            with pytest.raises(CodeError, match="an index built for this decoder"):
                call()
        with pytest.raises(CodeError, match="an index that holds its codes"):
            _ = index.codes
    with pytest.raises(CodeError, match="an index built for this decoder"):
        index.decode_mhd(codes, plan="multi")


def test_known_is_the_exact_match_or_a_ball_around_the_classes():
    index = CodeIndex.build([0b0000, 0b1111], bits=4)
    words = [0b0000, 0b0001, 0b0011, 0b1111]
    assert index.known(words).tolist() == [True, False, False, True]
    assert index.known(words, radius=1).tolist() == [True, True, False, True]
    assert index.known(words, radius=2).tolist() == [True] * 4
    assert index.known(words).dtype == np.bool_
    with pytest.raises(ShapeError, match="a radius of 0 bits or more, got -1"):
        index.known(words, radius=-1)
    empty = CodeIndex.build([], bits=4)
    assert not empty.known(words, radius=100).any()


def test_a_prefix_is_an_index_of_the_first_bits_with_the_same_ids():
    codes = book_of(40, 64)
    codes = codes & ~np.uint64(255) | np.arange(64, dtype=np.uint64)[::-1]  # unique at 8 bits
    labels = [f"c{i}" for i in range(64)]
    index = CodeIndex.build(codes, bits=40, labels=labels, prefixes=(8, 16, 30),
                            provenance={"run": 1})
    for bits in (8, 16, 30, 40):
        short = index.at(bits=bits)
        cut = codes & np.uint64((1 << bits) - 1)
        assert np.array_equal(short.codes, cut)
        assert np.array_equal(short.decode_ed(cut), np.arange(64))
        assert (short.bits, short.labels, short.provenance) == (bits, labels, {"run": 1})
        assert short.prefixes == tuple(p for p in (8, 16, 30) if p < bits)
    assert index.at(bits=30).at(bits=16).at(bits=8).codes.tolist() == \
        index.at(bits=8).codes.tolist()
    assert index.at(bits=10, untrained=True).bits == 10


def test_a_prefix_that_was_not_trained_or_is_too_long_is_refused():
    index = CodeIndex.build(book_of(40, 20), bits=40, prefixes=(16,))
    with pytest.raises(CodeError, match=r"a trained length \(16, 40\), got 8 - at `bits`"):
        index.at(bits=8)
    for bits in (0, -1, 41, 64):
        with pytest.raises(ShapeError, match="1 to 40 bits"):
            index.at(bits=bits, untrained=True)


def test_a_prefix_that_is_not_unique_names_the_twins():
    index = CodeIndex.build([0b0101, 0b1001, 0b1101], bits=4, labels=["a", "b", "c"],
                            prefixes=(2, 3))
    with pytest.raises(CodeError, match=r"2 duplicates, the first of ids 0 \(a\) and 1 \(b\)"):
        index.at(bits=2)
    assert index.at(bits=2, duplicates="lowest").decode_ed([1]).tolist() == [0]
    assert index.at(bits=3, duplicates="lowest").decode_ed([5, 1]).tolist() == [0, 1]


def test_prefixes_of_64_bits_and_a_whole_code_are_the_code():
    codes = np.array([2**64 - 1, 2**63, 1], np.uint64)
    index = CodeIndex.build(codes, bits=64)
    assert np.array_equal(index.at(bits=64).codes, codes)


# ---- many threads, none, and nothing ----------------------------------------------------


def test_threads_decode_at_once_and_get_the_same_answers():
    codes = book_of(64, 3000)
    index = CodeIndex.build(codes, bits=64, multi=True)
    words, scores = near_words(codes, 64, n=100), scores_of(codes, 64, n=20)

    def decode(_):
        near = index.nearest(words)
        return [index.decode_ed(words), index.decode_mhd(words), near.ids, near.runners_up,
                index.decode_mhd(words, plan="multi"), index.decode_ord(scores).ids,
                index.decode_ord(scores, max_lookups=50, fallback="mhd").ids,
                index.decode_soft(scores).penalties, index.search(words, 3).ids]

    alone = decode(0)
    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(decode, range(24)):
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("bits", [1, 8, 20, 40, 64])
def test_an_empty_index_knows_nobody(bits):
    for codes in ([], np.empty((0, bits)), np.empty(0, np.uint64)):
        index = CodeIndex.build(codes, bits=bits, labels=[])
        assert len(index) == 0
        assert index.labels == []
        assert index.decode_ed([0, 1]).tolist() == [-1, -1]
        for plan in ("auto", "table", "scan", "ball", "multi"):
            assert index.decode_mhd([0, 1], plan=plan).tolist() == [-1, -1]
        near = index.nearest([0])
        assert (near.ids[0], near.distances[0], near.margins[0]) == (-1, bits + 1, 0)
        for found in (index.decode_ord(np.ones((2, bits))), index.decode_soft(np.ones((2, bits))),
                      index.decode_ord(np.ones((2, bits)), max_lookups=3, fallback="mhd")):
            assert found.ids.tolist() == [-1, -1]
            assert found.met.tolist() == [0, 0]
            assert np.isinf(found.penalties).all()
        assert index.get(0) is None
        assert index.search([0], 3).ids.shape == (1, 0)
        assert not index.known([0, 1]).any()
        assert index.at(bits=1, untrained=True).bits == 1


@pytest.mark.parametrize("n", [0, 1, 50])
def test_a_batch_of_no_queries_gives_no_answers(n):
    index = CodeIndex.build(book_of(24, n), bits=24, multi=True)
    none = np.empty(0, np.uint64)
    for words in (none, [], np.empty((0, 24), np.uint8)):
        assert index.decode_ed(words).shape == (0,)
        assert index.decode_mhd(words).shape == (0,)
        assert index.decode_mhd(words, plan="multi").shape == (0,)
        assert index.nearest(words).margins.shape == (0,)
        assert index.known(words).shape == (0,)
        assert index.search(words, 4).ids.shape == (0, min(4, n))
    for found in (index.decode_ord(np.empty((0, 24))), index.decode_soft(np.empty((0, 24)))):
        assert found.ids.shape == found.penalties.shape == found.lookups.shape == (0,)


def test_one_class_is_the_nearest_of_all_words():
    index = CodeIndex.build([6], bits=3, multi=True)
    for plan in plans_of(index):
        assert index.decode_mhd(range(8), plan=plan).tolist() == [0] * 8
    assert index.decode_ed(range(8)).tolist() == [-1] * 6 + [0, -1]
    assert index.nearest([6]).margins.tolist() == [4]
    assert index.decode_ord(scores_of(np.array([6], np.uint64), 3)).ids.max() == 0


def test_an_index_outlives_the_arrays_it_was_made_from():
    indexes = [CodeIndex.build(book_of(40, 100, seed), bits=40) for seed in range(20)]
    for seed, index in enumerate(indexes):
        assert np.array_equal(index.decode_ed(book_of(40, 100, seed)), np.arange(100))


# ---- what is refused --------------------------------------------------------------------


def test_equal_codes_are_refused_with_ids_and_labels_and_lowest_takes_them():
    codes, labels = [4, 9, 4, 9, 4], ["ant", "bee", "cat", "dog", "eel"]
    with pytest.raises(CodeError, match=r"3 duplicates, the first of ids 0 \(ant\) and 2 \(cat\)"):
        CodeIndex.build(codes, bits=4, labels=labels)
    with pytest.raises(CodeError, match="3 duplicates, the first of ids 0 and 2 - at `codes`"):
        CodeIndex.build(codes, bits=4)
    index = CodeIndex.build(codes, bits=4, labels=labels, duplicates="lowest", multi=True)
    assert index.decode_ed([4, 9]).tolist() == [0, 1]
    for plan in plans_of(index):
        assert index.decode_mhd([4, 9, 5], plan=plan).tolist() == [0, 1, 0]
    assert index.nearest([4]).margins.tolist() == [0]
    assert len(index) == 5


@pytest.mark.parametrize("decode", ["decode_ed", "decode_mhd", "nearest", "known"])
def test_words_of_2_to_the_k_or_more_are_refused(decode):
    index = CodeIndex.build([1, 2], bits=10)
    for words in ([1024], np.array([1024], np.uint64), np.array([1, 2**63], np.uint64)):
        with pytest.raises(CodeError, match="hint: "):
            getattr(index, decode)(words)


@pytest.mark.parametrize("decode", ["decode_ed", "decode_mhd", "nearest", "known"])
def test_words_of_another_width_or_form_are_refused(decode):
    index = CodeIndex.build([1, 2], bits=10)
    for words in (np.ones((3, 9), np.int8), np.ones((3, 11), np.int8), 5, [1.5],
                  np.ones((1, 10, 1), np.uint8), np.ones((2, 10), np.uint64)[None]):
        with pytest.raises(ShapeError, match="hint: "):
            getattr(index, decode)(words)


def test_codes_of_the_wrong_width_or_beyond_2_to_the_k_are_refused():
    with pytest.raises(ShapeError, match="8 bits a code, got 9"):
        CodeIndex.build(np.ones((2, 9), np.int8), bits=8)
    with pytest.raises(CodeError, match=r"codes below 2\*\*8, got 256"):
        CodeIndex.build([1, 256], bits=8)
    for bits in (128, 256):
        with pytest.raises(ShapeError, match="codes of 1 to 64 bits"):
            CodeIndex.build(np.eye(bits, dtype=np.int8)[:2])
    with pytest.raises(CodeError, match="NaN"):
        CodeIndex.build(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize("decode", ["decode_ord", "decode_soft"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(isa, decode, bad):
    index = CodeIndex.build(book_of(20, 30), bits=20)
    scores = np.zeros((3, 20), np.float32)
    scores[2, 19] = bad
    with pytest.raises(CodeError, match="finite numbers"):
        getattr(index, decode)(scores)


@pytest.mark.parametrize("shape", [(20,), (2, 19), (2, 21), (2, 20, 1), (0,), ()])
def test_scores_of_another_width_are_refused(shape):
    index = CodeIndex.build(book_of(20, 30), bits=20)
    for decode in (index.decode_ord, index.decode_soft):
        with pytest.raises(ShapeError, match=r"scores \(n, 20\)"):
            decode(np.ones(shape))


@pytest.mark.parametrize("max_lookups", [0, -1, 65537, 2**40])
def test_look_ups_out_of_range_are_refused(max_lookups):
    index = CodeIndex.build([1, 2], bits=4)
    with pytest.raises(ShapeError, match="1 to 65536 look-ups"):
        index.decode_ord(np.ones((1, 4)), max_lookups=max_lookups)


def test_another_number_of_labels_and_prefixes_out_of_range_are_refused():
    with pytest.raises(ShapeError, match="2 labels, got 3"):
        CodeIndex.build([1, 2], bits=4, labels=["a", "b", "c"])
    for prefix in (0, 4, 5, -1):
        with pytest.raises(ShapeError, match="prefixes of 1 to 3 bits"):
            CodeIndex.build([1, 2], bits=4, prefixes=(2, prefix))


def test_names_that_do_not_exist_are_refused():
    index = CodeIndex.build([1, 2], bits=4)
    with pytest.raises(CodeError, match="one of auto, table, scan, ball, multi, got 'fast'"):
        index.decode_mhd([1], plan="fast")
    with pytest.raises(CodeError, match="one of none, mhd, soft"):
        index.decode_ord(np.ones((1, 4)), fallback="hard")
    with pytest.raises(CodeError, match="one of ed, mhd, ord"):
        CodeIndex.build([1, 2], bits=4, decoders=("ed", "soft"))
    with pytest.raises(CodeError, match="one of ed, mhd, ord"):
        CodeIndex.build([1, 2], bits=4, decoders="ord")
    with pytest.raises(CodeError, match="one of error, lowest"):
        CodeIndex.build([1, 2], bits=4, duplicates="highest")
    assert DECODERS == ("ed", "mhd", "ord")


def test_a_search_of_less_than_none_is_refused_and_of_none_is_empty():
    index = CodeIndex.build([1, 2], bits=4)
    with pytest.raises(ShapeError, match="k from 0 up"):
        index.search([1], -1)
    assert index.search([1], 0).ids.shape == (1, 0)
    assert index.search([1], 2**40).ids.tolist() == [[0, 1]]


def test_an_index_of_another_width_does_not_take_the_codes_of_this_one():
    short, long = CodeIndex.build([1, 2], bits=4), CodeIndex.build(book_of(20, 9), bits=20)
    with pytest.raises(CodeError, match="below"):
        short.decode_ed(long.codes.astype(np.int64))
    with pytest.raises(CodeError, match="fit the index's bits"):
        short.decode_ed(long.codes)
    with pytest.raises(ShapeError, match=r"scores \(n, 4\)"):
        short.decode_ord(np.ones((1, 20)))


def test_saving_into_no_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="a writable output folder"):
        CodeIndex.build([1], bits=4).save(tmp_path / "missing" / "x.llc")
    assert list(tmp_path.iterdir()) == []


def test_an_index_neither_copies_nor_pickles_half_way():
    import copy
    import pickle

    index = CodeIndex.build([1], bits=4)
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            duplicate(index)


@pytest.mark.parametrize("isa", ["sse9", "", "AVX2"])
def test_an_instruction_set_that_is_not_there_is_refused(isa):
    before = _native.isa()
    with pytest.raises(ShapeError):
        _native.use_isa(isa)
    assert _native.isa() == before
    assert before in _native.isas()
    assert _native.isas()[0] == "scalar"


# ---- the names of the core --------------------------------------------------------------


def test_every_status_of_the_header_becomes_a_typed_error():
    from edge_sdk.errors import EdgeError, from_status

    header = (ROOT / "runtime" / "include" / "edge_runtime.h").read_text()
    names = re.findall(r"X\((ERR_\w+), 0x", header)
    assert len(names) >= 9
    for name in names:
        error = from_status(name, "words of the core")
        assert isinstance(error, EdgeError)
        assert "words of the core" in str(error)
    assert type(from_status("ERR_FORMAT", "")) is FormatError
    assert type(from_status("ERR_WIDTH", "")) is CodeError


def test_the_stub_of_the_extension_is_fresh(tmp_path):
    stubgen = pytest.importorskip("nanobind.stubgen")
    generator = stubgen.StubGen(_native)
    generator.put(_native)
    written = (ROOT / "edge_sdk" / "_native.pyi").read_text()
    made = "".join(line for line in written.splitlines(True) if not line.startswith("# "))
    assert generator.get().strip() == made.strip()


def test_words_and_codes_are_exported_where_the_docs_say():
    import edge_sdk.codes as codes

    assert set(codes.__all__) >= {"CodeIndex", "InstanceIndex", "Hits", "Nearest", "Ordered",
                                  "as_words", "calibrate"}
    assert as_words is codes.as_words
