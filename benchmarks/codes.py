"""Code indices beside their peers, one thread: `python -m benchmarks.codes [--large]`.

Ours and the peer are called in turns in the same process, on fresh inputs each
time, and medians are compared; that the answers are equal is checked first.
Results go to `benchmarks/results/<device>/codes.json`, part by part;
`python -m benchmarks.readme_codes` makes the README's table from them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
import typer
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import codes_ord
from benchmarks.parts import chosen, each, store
from benchmarks.rows import (
    HEADING,
    Row,
    Scale,
    alternate,
    beside,
    count,
    fresh,
    in_child,
    row,
    using,
)
from edge_sdk import _native
from edge_sdk.codes import CodeIndex, InstanceIndex
from edge_sdk.codes.classes import Plan
from edge_sdk.console import command, say

Words = NDArray[np.uint64]
BATCH = 10_000
BATCHES = 100
"""Distinct batches: a table of a million classes is then touched all over."""
MHD_TARGETS = {"avx512": 6.0, "avx2": 1.8}


def distinct_words(n: int, bits: int, seed: int = 0) -> Words:
    """Return `n` different random words of `bits` bits, in random order."""
    random = np.random.default_rng(seed)
    if bits <= 20:
        return random.choice(1 << bits, n, replace=False).astype(np.uint64)
    drawn = random.integers(0, (1 << bits) - 1, n + n // 50 + 16, dtype=np.uint64)
    words = random.permutation(np.unique(drawn))[:n]
    assert len(words) == n
    return words


def absent_words(codes: Words, bits: int, n: int, seed: int = 1) -> Words:
    """Return `n` random words that are no code."""
    drawn = np.random.default_rng(seed).integers(0, (1 << bits) - 1, 2 * n, dtype=np.uint64)
    return drawn[~np.isin(drawn, codes)][:n]


def as_bytes(words: Words, n_bytes: int) -> NDArray[np.uint8]:
    """Return words as faiss takes binary vectors, (n, n_bytes)."""
    return np.ascontiguousarray(words.view(np.uint8).reshape(-1, 8)[:, :n_bytes])


def distances_of(codes: Words, words: Words, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the differing bits between each word and the code of its id."""
    different = np.ascontiguousarray(codes[ids] ^ words).view(np.uint8).reshape(len(words), 8)
    counted: NDArray[np.int64] = np.unpackbits(different, axis=1).sum(1, dtype=np.int64)
    return counted


# ---- exact decode ---------------------------------------------------------------------------


def ed(scale: Scale) -> list[Row]:
    """Return exact decode of batches: hits and misses, beside faiss, a dict and searchsorted."""
    sizes = [(1000, 20), (100_000, 32), (1_000_000, 64)]
    if scale.large:
        sizes.append((10_000_000, 64))
    return [made for n, bits in sizes for made in _ed_rows(scale.n(n), bits, scale)]


def _ed_rows(n: int, bits: int, scale: Scale) -> Iterator[Row]:
    codes = distinct_words(n, bits)
    index = CodeIndex.build(codes, bits=bits, decoders=("ed",))
    hits = codes[np.random.default_rng(2).integers(0, n, (BATCHES, BATCH))]
    misses = absent_words(codes, bits, BATCHES * BATCH // 2).reshape(-1, BATCH // 2)
    name, claimed = f"ED {count(n)} x {bits}", n >= 1_000_000

    table = faiss.MapLong2Long()
    table.add(codes.view(np.int64), np.arange(n))

    def mapped(words: Words) -> object:
        return table.search_multiple(words.view(np.int64))

    for batch in (hits[0], misses[0]):
        assert (index.decode_ed(batch) == mapped(batch)).all()
    for kind, batches in (("hits", hits), ("misses", misses)):
        yield beside(f"{name}, {kind}", fresh(index.decode_ed, batches),
                     fresh(mapped, batches, ahead=True), peer_name="faiss MapLong2Long",
                     unit="ns a word", units=1e9 / batches.shape[1], rounds=scale.rounds(200),
                     n=n, at_least=3 if claimed and kind == "hits" else None)

    order = np.argsort(codes)
    ascending = codes[order]

    def searched(words: Words) -> object:
        at = np.searchsorted(ascending, words).clip(max=n - 1)
        return np.where(ascending[at] == words, order[at], -1)

    yield beside(f"{name}, hits", fresh(index.decode_ed, hits), fresh(searched, hits, ahead=True),
                 peer_name="numpy searchsorted", unit="ns a word", units=1e9 / BATCH,
                 rounds=scale.rounds(40), n=n)
    mapping = {word: i for i, word in enumerate(codes.tolist())}
    yield beside(f"{name}, hits", fresh(index.decode_ed, hits),
                 fresh(lambda words: [mapping[word] for word in words], hits.tolist(), ahead=True),
                 peer_name="dict", unit="ns a word", units=1e9 / BATCH, rounds=scale.rounds(100),
                 n=n, at_least=20 if claimed else None)


def ed_single(scale: Scale) -> list[Row]:
    """Return exact decode of one integer, `index.get(word)`, beside `mapping[word]`.

    The table is cold. The words are integers other than the dict's own keys; they
    lie in memory in the order they are asked for, as words just computed would be
    at hand, or all over it, so that each costs a miss of its own for both peers.
    """
    made = []
    for n, bits, scattered, at_least in ((1000, 20, False, None), (1_000_000, 64, False, 3.0),
                                         (1_000_000, 64, True, None)):
        size = scale.n(n)
        codes = distinct_words(size, bits)
        index = CodeIndex.build(codes, bits=bits, decoders=("ed",))
        mapping = {word: i for i, word in enumerate(codes.tolist())}
        order = np.random.default_rng(3).permutation(size)
        if scattered:
            others = codes.tolist()
        else:
            others, order = codes[order].tolist(), np.arange(size)
        calls = min(20_000, size)
        chunks = [[others[i] for i in order[at : at + calls]]
                  for at in range(0, size - calls + 1, calls)]
        assert all(index.get(word) == mapping[word] for word in chunks[0])
        words = ", words all over the memory" if scattered else ""
        made.append(beside(f"ED {count(size)} x {bits}, one int a call{words}",
                           fresh(_getter(index), chunks),
                           fresh(_looker(mapping), chunks, ahead=True), peer_name="dict",
                           unit="ns a call", units=1e9 / calls, rounds=scale.rounds(50), n=size,
                           at_least=at_least))
    return made


def _getter(index: CodeIndex) -> Callable[[list[int]], None]:
    def call(words: list[int], get: Callable[[int], int | None] = index.get) -> None:
        for word in words:
            get(word)
    return call


def _looker(mapping: dict[int, int]) -> Callable[[list[int]], None]:
    def call(words: list[int], mapping: dict[int, int] = mapping) -> None:
        for word in words:
            mapping[word]
    return call


def memory(scale: Scale) -> list[Row]:
    """Return bytes a class for ED: of the file, and the growth of a process that decodes all."""
    made = []
    n = scale.n(1_000_000)
    for bits, at_most in ((64, 9.2), (32, 5.0)):
        codes = distinct_words(n, bits)
        index = CodeIndex.build(codes, bits=bits, decoders=("ed",))
        made.append(row(f"ED {bits} bits, the file", index.nbytes / n, unit="bytes a class", n=n,
                        at_most=at_most))
        folder = Path("build/bench")
        folder.mkdir(parents=True, exist_ok=True)
        index.save(folder / "ed.llc")
        np.save(folder / "ed.npy", codes)
        grown = in_child(rss_growth, "index", str(folder))
        for peer in ("dict", "faiss"):
            theirs = in_child(rss_growth, peer, str(folder)) / n
            made.append(row(f"ED {bits} bits, growth of a process", grown / n, theirs,
                            peer_name={"dict": "dict", "faiss": "faiss MapLong2Long"}[peer],
                            unit="bytes a class", ratio=theirs / (grown / n), n=n))
    return made


def rss_growth(kind: str, folder: str) -> float:
    """Return by how many bytes this process grows as it opens, or builds, and uses an index."""
    codes = np.load(Path(folder) / "ed.npy")
    codes.sum()
    resident = psutil.Process().memory_info
    # What decoding itself takes is there before the measurement starts.
    tiny = CodeIndex.build(codes[:BATCH], bits=64, decoders=("ed",))
    tiny.decode_ed(codes[:BATCH])
    before = resident().rss
    if kind == "index":
        kept: Any = CodeIndex.open(Path(folder) / "ed.llc")
        for at in range(0, len(codes), BATCH):
            kept.decode_ed(codes[at : at + BATCH])
    elif kind == "dict":
        kept = {int(word): i for i, word in enumerate(codes)}
    else:
        kept = faiss.MapLong2Long()
        kept.add(codes.view(np.int64), np.arange(len(codes)))
    return float(resident().rss - before)


# ---- minimum Hamming distance ---------------------------------------------------------------


def mhd(scale: Scale) -> list[Row]:
    """Return minimum-Hamming decode beside faiss's flat binary index."""
    codes = distinct_words(968, 20)
    index = CodeIndex.build(codes, bits=20)
    words = np.random.default_rng(4).integers(0, 1 << 20, BATCH, dtype=np.uint64)
    flat, rows = faiss.IndexBinaryFlat(24), as_bytes(words, 3)
    flat.add(as_bytes(codes, 3))
    assert (distances_of(codes, words, index.decode_mhd(words)) == flat.search(rows, 1)[0][:, 0]
            ).all()
    made = [beside("MHD 968 x 20, batch of 10,000", lambda: index.decode_mhd(words),
                   lambda: flat.search(rows, 1), peer_name="faiss flat (24 bits)",
                   unit="us a word", units=1e6 / BATCH, rounds=scale.rounds(30), n=968,
                   at_least=30)]
    return made + _mhd_million(scale)


def _mhd_million(scale: Scale) -> list[Row]:
    n, made = scale.n(1_000_000), []
    codes = distinct_words(n, 64)
    index = CodeIndex.build(codes, bits=64, decoders=("ed", "mhd"), multi=True)
    items = InstanceIndex.build(codes, bits=64)
    flat = faiss.IndexBinaryFlat(64)
    flat.add(as_bytes(codes, 8))
    random = np.random.default_rng(5)
    queries = {"random": random.integers(0, (1 << 64) - 1, 32, dtype=np.uint64),
               "near": codes[random.integers(0, n, 32)]}
    for _ in range(3):
        queries["near"] ^= np.uint64(1) << random.integers(0, 64, 32).astype(np.uint64)
    cases: list[tuple[str, str, int, Callable[[Words], Any], int]] = [
        (f"top {k}", "random", n_queries, partial(items.search, k=k), k)
        for k in (1, 10) for n_queries in (1, 32)]
    plans: list[tuple[str, Plan]] = [("random", "scan"), ("near", "scan"), ("near", "ball"),
                                     ("near", "multi")]
    cases += [(f"top 1 of classes, {plan}", kind, 32, partial(index.decode_mhd, plan=plan), 1)
              for kind, plan in plans]
    for isa in _native.isas():
        with using(isa):
            for what, kind, n_queries, call, k in cases:
                words = queries[kind][:n_queries]
                rows = as_bytes(words, 8)
                _check_nearest(call(words), flat, codes, words, k)
                made.append(beside(
                    f"MHD {count(n)} x 64, {what}, {kind}, batch of {n_queries}, {isa}",
                    partial(call, words), partial(flat.search, rows, k), peer_name="faiss",
                    unit="us a query", units=1e6 / n_queries, rounds=scale.rounds(30), n=n,
                    at_least=MHD_TARGETS.get(isa)))
    return made


def _check_nearest(found: Any, flat: Any, codes: Words, words: Words, k: int) -> None:
    """Ids may differ from faiss's where distances tie; distances may not."""
    theirs = flat.search(as_bytes(words, 8), k)[0]
    ours = found.distances if k > 1 or hasattr(found, "distances") else \
        distances_of(codes, words, found)[:, None]
    assert (np.asarray(ours) == theirs).all()


# ---- retrieval ------------------------------------------------------------------------------


def instances(scale: Scale) -> list[Row]:
    """Return the top 100 of 1e7, and with `large` of 1e8, beside the stream of memory and faiss."""
    sizes = [scale.n(10_000_000)] + ([100_000_000] if scale.large else [])
    made: list[Row] = []
    for n in sizes:
        made += _instance_rows(n, scale)
    if scale.large:
        single = next(r for r in made if r["n"] == sizes[-1] and r["unit"] == "ms a query")
        made.append(row("top 100 of 1e9, EXTRAPOLATED from 1e8, one query", single["ours"] * 10,
                        unit="ms a query", n=1_000_000_000))
    return made


def _instance_rows(n: int, scale: Scale) -> Iterator[Row]:
    path = Path("build/bench") / f"instances-{n}.llc"
    path.parent.mkdir(parents=True, exist_ok=True)
    random, chunk = np.random.default_rng(6), min(n, 1_000_000)
    InstanceIndex.write(path, (random.integers(0, (1 << 64) - 1, chunk, dtype=np.uint64)
                               for _ in range(n // chunk)), n=n, bits=64)
    items = InstanceIndex.open(path)
    name, k = f"top 100 of {count(n)}", 100
    yield row(f"{name}, the file", items.nbytes / n, unit="bytes an item", n=n, at_most=8.01)
    section = items.section("CODE")
    assert section is not None
    stored = np.memmap(path, np.uint64, "r", section[0], (n,))
    flat = faiss.IndexBinaryFlat(64)
    flat.add(stored.view(np.uint8).reshape(n, 8))
    queries = random.integers(0, (1 << 64) - 1, 32, dtype=np.uint64)
    rows, rounds = as_bytes(queries, 8), scale.rounds(30 if n <= 10_000_000 else 10)
    assert (items.search(queries, k).distances == flat.search(rows, k)[0]).all()

    yield beside(f"{name}, one query", lambda: items.search(queries[:1], k),
                 lambda: flat.search(rows[:1], k), peer_name="faiss flat", unit="ms a query",
                 units=1e3, rounds=rounds, n=n, at_least=2)
    copy = np.array(stored)  # anonymous memory, as fast as it gets
    search, *streams = alternate([lambda: items.search(queries[:1], k), copy.sum,
                                  lambda: np.bitwise_or.reduce(copy)], rounds)
    stream = min(streams)
    yield row(f"{name}, one query", n * 8e-9 / search, n * 8e-9 / stream,
              peer_name="memory's stream", unit="GB/s", ratio=stream / search, n=n, rounds=rounds,
              at_least=0.85)
    few = max(3, rounds // 3)
    for batch in (8, 32):
        yield beside(f"{name}, batch of {batch}", partial(items.search, queries[:batch], k),
                     partial(flat.search, rows[:batch], k), peer_name="faiss flat",
                     unit="ms a query", units=1e3 / batch, rounds=few, n=n, at_least=4)
    for batch in (1, 32):
        yield beside(f"{name}, two threads, batch of {batch}",
                     partial(items.search, queries[:batch], k, threads=2),
                     partial(items.search, queries[:batch], k), peer_name="one thread",
                     unit="ms a query", units=1e3 / batch, rounds=few, n=n)
    if n > 10_000_000:
        return
    for isa in _native.isas()[:-1]:
        for batch in (1, 8):
            with using(isa):
                yield beside(f"{name}, batch of {batch}, {isa}",
                             partial(items.search, queries[:batch], k),
                             partial(flat.search, rows[:batch], k), peer_name="faiss flat",
                             unit="ms a query", units=1e3 / batch, rounds=max(3, rounds // 6),
                             n=n)


# ---- the command ----------------------------------------------------------------------------

PARTS: dict[str, Callable[[Scale], list[Row]]] = {
    "ed": ed, "ed-single": ed_single, "memory": memory, "mhd": mhd, "instances": instances}


def measure(name: str, scale: Scale, scores: Path | None) -> dict[str, Any]:
    """Return one part's results: its rows, and for ORD its curves."""
    if name == "ord":
        return codes_ord.measure_ord(scale, scores)
    if name == "omniglot":
        return codes_ord.measure_omniglot(scale, scores)
    return {"rows": PARTS[name](scale)}


NAMES = (*PARTS, "ord", "omniglot")


def main(
    only: str = typer.Option(",".join(NAMES), help="Parts, comma-separated."),
    scores: Path = typer.Option(None, help="Folder of scores, see benchmarks/codes_ord.py."),
    large: bool = typer.Option(False, "--large", help="Also 1e7 classes and 1e8 instances."),
    quick: bool = typer.Option(False, "--quick", help="Try it out: small, and writes nothing."),
) -> None:
    """Measure code indices and write the results of this device."""
    def measure_one(name: str) -> None:
        with threadpool_limits(1):  # of NumPy's products, and of faiss
            faiss.omp_set_num_threads(1)
            measured = measure(name, Scale(large, quick), scores)
        if quick or measured.get("codebooks") == {}:  # not measured: what there is stays
            return
        # Whose folder it was is nobody's business.
        measured["command"] = " ".join(
            ["python -m benchmarks.codes --only", name, *(["--large"] if large else []),
             *(["--scores ..."] if scores and name in NAMES[-2:] else [])])
        store("codes", name, measured, NAMES, {
            "isas": _native.isas(), "faiss": faiss.__version__, "numpy": np.__version__,
            "python": sys.version.split()[0]})

    wanted = chosen(only, NAMES)
    say(HEADING)
    each(wanted, measure_one)


if __name__ == "__main__":
    command(main)()
