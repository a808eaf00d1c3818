"""The vectors that every language reads: fresh, and what the decoders answer on every processor."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import _native
from edge_sdk.codes import CodeIndex, InstanceIndex

FOLDER = Path(__file__).resolve().parent / "vectors"
PLANS = ("auto", "table", "scan", "ball", "multi")
MET = ("none", "order", "mhd", "soft")


def generator():
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(name):
    for line in (FOLDER / name).read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            given, _, answers = line.partition(" -> ")
            yield given.split(" "), answers


def words(column):
    return [] if column == "-" else [int(word, 16) for word in column.split(",")]


def packed(column):
    return np.array(words(column), np.uint64)


def table(numbers, bits):
    """Integers of any width as a table (n, bits)."""
    rows = [[number >> j & 1 for j in range(bits)] for number in numbers]
    return np.array(rows, np.uint8).reshape(len(numbers), bits)


def number(text):
    return -1 if text == "-" else int(text)


@pytest.fixture(params=_native.isas())
def isa(request):
    before = _native.isa()
    _native.use_isa(request.param)
    yield request.param
    _native.use_isa(before)


def test_the_committed_vectors_are_those_that_the_oracles_make():
    made = generator().files()
    assert {path.name for path in FOLDER.glob("*.txt")} >= set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="ascii") == text, f"run {FOLDER / 'make.py'}"


def test_no_file_of_vectors_is_beyond_60_kb():
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("codes_*.txt")}
    assert len(sizes) == 4
    assert max(sizes.values()) < 60_000, sizes


def test_ed_answers_the_vectors(isa):
    for (name, bits, codes, queries), answers in cases("codes_ed.txt"):
        index = CodeIndex.build(packed(codes), bits=int(bits), duplicates="lowest",
                                decoders=("ed",))
        wanted = [number(answer) for answer in answers.split(",")]
        assert index.decode_ed(packed(queries)).tolist() == wanted, name
        assert [index.get(query) for query in words(queries)] == \
            [None if one < 0 else one for one in wanted], name


def test_mhd_answers_the_vectors_by_every_plan(isa):
    for (name, bits, codes, queries), answers in cases("codes_mhd.txt"):
        index = CodeIndex.build(packed(codes), bits=int(bits), duplicates="lowest", multi=True)
        wanted = [[number(part) for part in answer.split(":")] for answer in answers.split(",")]
        for plan in PLANS:
            if plan != "table" or index.bits <= 20:
                found = index.decode_mhd(packed(queries), plan=plan)
                assert found.tolist() == [ids for ids, _, _ in wanted], (name, plan)
        near = index.nearest(packed(queries))
        rows = zip(near.ids.tolist(), near.distances.tolist(), near.runners_up.tolist(),
                   strict=True)
        assert [list(row) for row in rows] == wanted, name


def test_ord_answers_the_vectors(isa):
    indexes: dict = {}
    for (name, bits, codes, scores, most, fallback), answers in cases("codes_ord.txt"):
        key = codes, bits
        if key not in indexes:
            indexes[key] = CodeIndex.build(packed(codes), bits=int(bits), duplicates="lowest")
        index = indexes[key]
        z = np.array([int(raw, 16) for raw in scores.split(",")], "<u4").view("<f4")[None]
        one, lookups, met = answers.split(" ")
        found = index.decode_ord(z, max_lookups=int(most) or None, fallback=fallback)
        assert found.ids.tolist() == [number(one)], name
        if lookups != "-":
            assert found.lookups.tolist() == [int(lookups)], name
            assert MET[found.met[0]] == met, name
        else:
            assert index.decode_soft(z).ids.tolist() == [number(one)], name


def test_search_answers_the_vectors(isa):
    for (name, bits, codes, k, queries), answers in cases("codes_search.txt"):
        width = int(bits)
        items, asked = table(words(codes), width), table(words(queries), width)
        index = InstanceIndex.build(items, coding="01")
        hits = index.search(asked, int(k))
        wanted = [[] if row == "-" else [[int(part) for part in hit.split(":")]
                                         for hit in row.split(",")] for row in answers.split(";")]
        found = np.stack([hits.ids, hits.distances], axis=-1)
        assert found.tolist() == wanted, name
