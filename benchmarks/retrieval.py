"""Adaptive retrieval beside its peers, one thread: `python -m benchmarks.retrieval`.

Ours and the peers are called in turns in the same process, each time with the
next query, and medians are compared. Results go to `build/retrieval.json`, part
by part.

The million embeddings are synthetic (see `synthetic`): how short a list may be
depends on how much of the neighbourhood the first coordinates know, so part
`spectrum` measures it for other spectra, and part `omniglot` for a trained model.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import typer
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import edge_sdk
from benchmarks.elastic import device
from benchmarks.rows import HEADING, Row, Scale, alternate, count, row
from edge_sdk import VectorIndex, _native
from edge_sdk.console import command, say
from edge_sdk.vectors import funnel_stages

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Stages = Sequence[tuple[int, int]]
FOLDER, RESULTS = Path("build/bench"), Path("build/retrieval.json")
N, DIM, K = 1_000_000, 256, 10
DIMS = (16, 32, 64, 128, 256)
ALPHA = 0.75
N_CLUSTERS = 10_000
N_CALIBRATION, N_TEST = 200, 500
RECALL = 0.975
STREAM = 10
"""Queries of one peer in a row, one call each."""
MARGIN = 0.003
"""Calibration aims so much higher, for other queries fare otherwise."""


# ---- data -----------------------------------------------------------------------------------


def synthetic(n: int, seed: int, *, alpha: float = ALPHA) -> Floats:
    """Return `n` unit vectors (n, 256) whose first coordinates know most, as Matryoshka ones do.

    x_j = (1 + j)^-alpha (c_j + e_j), with e normal, and c one of 10,000 normal
    centres, the same for every seed; then divided by the norm.
    """
    spectrum = (1 + np.arange(DIM, dtype=np.float32)) ** np.float32(-alpha)
    centres = np.random.default_rng(0).standard_normal((N_CLUSTERS, DIM), dtype=np.float32)
    random = np.random.default_rng(seed)
    out = np.empty((n, DIM), np.float32)
    for at in range(0, n, 50_000):
        part = out[at : at + 50_000]
        part[:] = random.standard_normal(part.shape, dtype=np.float32)
        part += centres[random.integers(0, N_CLUSTERS, len(part))]
        part *= spectrum
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return out


def unit(rows: Floats) -> Floats:
    """Return rows over their norms."""
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def written(name: str, vectors: Floats, dims: Sequence[int], prefix_dim: int) -> VectorIndex:
    """Return an index of `vectors`, written to a file and mapped, all of it read once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}-{prefix_dim}.vec"
    VectorIndex.write(path, vectors, dims=dims, prefix_dim=prefix_dim)
    index = VectorIndex.open(path)
    index.vectors.max()  # from here on as warm as the peers' memory
    return index


def recall(found: Ids, exact: Ids) -> float:
    """Return recall@k: the mean share of the exact nearest k that was found."""
    return float(np.mean([np.isin(best, row).mean()
                          for row, best in zip(found, exact, strict=True)]))


def each_in_turn(call: Callable[[Floats], object], queries: Floats,
                 n: int = 1) -> Callable[[], object]:
    """Return `call` of the next `n` queries, one by one, round and round."""
    turn = itertools.cycle(range(len(queries)))

    def some() -> object:
        found: object = None
        for at in itertools.islice(turn, n):
            found = call(queries[at : at + 1])
        return found

    return some


# ---- a million ------------------------------------------------------------------------------


def speed(scale: Scale) -> dict[str, Any]:
    """Return plans, their recall on other queries, and times beside faiss and NumPy."""
    n = scale.n(N)
    vectors = synthetic(n, 1)
    queries = synthetic(N_CALIBRATION + N_TEST, 2)
    known, test = queries[:N_CALIBRATION], queries[N_CALIBRATION:]
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    exact = flat.search(test, K)[1]
    rows: list[Row] = []
    plans: dict[int, Any] = {}
    indices: dict[int, VectorIndex] = {}
    for prefix_dim in (16, 32):
        index = VectorIndex.build(vectors, dims=DIMS, prefix_dim=prefix_dim)
        indices[prefix_dim] = index
        plan = index.calibrate(known, K, recall=RECALL + MARGIN)
        plans[prefix_dim] = {"stages": plan.stages, "recall": plan.recall}
        say(f"plan    int8 prefix of {prefix_dim}: {plan.stages}")
        rows.append(row(f"int8 prefix of {prefix_dim}, the file beside float32",
                        (index.nbytes - n * DIM * 4) / n, unit="bytes more", n=n, at_most=32.1))
        found = index.search(test, K, stages=plan.stages).ids
        rows.append(row(f"int8 prefix of {prefix_dim}, its plan", recall(found, exact),
                        RECALL, peer_name="aim", unit="recall@10", n=n, at_least=1,
                        ratio=recall(found, exact) / RECALL))
    stages = {p: plans[p]["stages"] for p in plans}
    rows += _beside_peers(indices, stages, flat, vectors, test, scale)
    mapped = written("synthetic", vectors, DIMS, 16)
    ours, theirs = alternate([each_in_turn(partial(index.search, k=K, stages=stages[16]), test)
                              for index in (mapped, indices[16])], scale.rounds(100))
    rows.append(row("int8 prefix of 16, from a mapped file", ours * 1e3, theirs * 1e3,
                    peer_name="in memory", unit="ms a query", ratio=theirs / ours, n=n))
    return {"rows": rows, "plans": plans}


def _beside_peers(indices: dict[int, VectorIndex], stages: dict[int, Stages], flat: Any,
                  vectors: Floats, test: Floats, scale: Scale) -> Iterator[Row]:
    n, rounds = len(vectors), scale.rounds(12)
    short = faiss.IndexFlatIP(32)
    short.add(unit(vectors[:, :32]))

    def shortlist(query: Floats) -> Ids:
        listed = short.search(unit(query[:, :32]), 200)[1][0]
        best = np.argsort(-(vectors[listed] @ query[0]), kind="stable")[:K]
        return np.asarray(listed[best])

    def numpy_flat(query: Floats) -> Ids:
        scores = vectors @ query[0]
        best = np.argpartition(-scores, K)[:K]
        return np.asarray(best[np.argsort(-scores[best])])

    streams = {p: np.ones(n * p // 8, np.uint64) for p in indices}
    searches: list[Callable[[Floats], object]] = [
        lambda q: flat.search(q, K), numpy_flat, shortlist,
        *(partial(indices[p].search, k=K, stages=stages[p]) for p in indices),
        *(partial(_scan, indices[p]) for p in indices)]
    # A stream of queries each: alone in between, one would only measure whose data the caches
    # had last, and the peers read a gigabyte.
    calls = [each_in_turn(call, test, STREAM) for call in searches]
    calls += [partial(_streamed, streams[p]) for p in indices]
    times = [seconds / STREAM for seconds in alternate(calls, rounds)]
    flat_time, numpy_time, short_time = times[:3]
    for i, prefix_dim in enumerate(indices):
        ours, scan, stream = times[3 + i], times[5 + i], times[7 + i]
        name = f"top {K} of {count(n)}, int8 prefix of {prefix_dim}"
        for peer, taken, aim in (("faiss flat", flat_time, 40), ("NumPy", numpy_time, None),
                                 ("faiss, 32 floats -> 200", short_time, None)):
            yield row(name, ours * 1e3, taken * 1e3, peer_name=peer, unit="ms a query",
                      ratio=taken / ours, n=n, rounds=rounds, at_least=aim)
        n_bytes = streams[prefix_dim].nbytes
        yield row(f"scan of the prefix of {prefix_dim}", n_bytes / scan / 1e9,
                  n_bytes / stream / 1e9, peer_name="memory's stream", unit="GB/s",
                  ratio=stream / scan, n=n, rounds=rounds)
    batch = test[:32]
    for prefix_dim, index in indices.items():
        ours, theirs = alternate([partial(index.search, batch, K, stages=stages[prefix_dim]),
                                  lambda: flat.search(batch, K)], max(3, rounds // 8))
        yield row(f"batch of 32, int8 prefix of {prefix_dim}", ours * 1e3 / 32, theirs * 1e3 / 32,
                  peer_name="faiss flat", unit="ms a query", ratio=theirs / ours, n=n)


def _streamed(words: NDArray[np.uint64]) -> None:
    for _ in range(STREAM):
        np.bitwise_or.reduce(words)


def _scan(index: VectorIndex, query: Floats) -> object:
    return index.scan(query, index.prefix_dim, 100, False, 0, len(index))


def hnsw(scale: Scale) -> dict[str, Any]:
    """Return an HNSW graph's build time, memory and speed; minutes at full size."""
    import time

    n = scale.n(N)
    vectors, queries = synthetic(n, 1), synthetic(N_TEST, 3)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    exact = flat.search(queries, K)[1]
    graph = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
    start = time.perf_counter()
    graph.add(vectors)
    rows = [row("HNSW32, built in", time.perf_counter() - start, unit="s", n=n)]
    for effort in (32, 64, 128):
        graph.hnsw.efSearch = effort
        taken, theirs = alternate([each_in_turn(lambda q: graph.search(q, K), queries),
                                   each_in_turn(lambda q: flat.search(q, K), queries)],
                                  scale.rounds(30))
        rows.append(row(f"HNSW32, ef {effort}", taken * 1e3, theirs * 1e3, ratio=theirs / taken,
                        peer_name="faiss flat", unit="ms a query", n=n))
        rows.append(row(f"HNSW32, ef {effort}", recall(graph.search(queries, K)[1], exact),
                        unit="recall@10", n=n))
    return {"rows": rows}


# ---- funnels --------------------------------------------------------------------------------


def funnel(scale: Scale) -> dict[str, Any]:
    """Return the recall of funnels beside single shortlists that take as long here."""
    n = scale.n(N)
    vectors, queries = synthetic(n, 1), synthetic(N_TEST, 4)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    exact = flat.search(queries, K)[1]
    rows: list[Row] = []
    for prefix_dim in (16, 32):
        index = VectorIndex.build(vectors, dims=DIMS, prefix_dim=prefix_dim)
        for keep in (100, 200, 400, 800, 1600):
            single = ((prefix_dim, keep), (DIM, K))
            stages = _as_slow(index, single, queries, scale)
            ours, theirs = (recall(index.search(queries, K, stages=each).ids, exact)
                            for each in (stages, single))
            rows.append(row(f"funnel {_words(stages)}", ours, theirs, unit="recall@10", n=n,
                            peer_name=f"one list of {keep}", ratio=ours / theirs, at_least=0.999))
            mine, single_time = alternate(
                [each_in_turn(partial(index.search, k=K, stages=each), queries, STREAM)
                 for each in (stages, single)], scale.rounds(40))
            rows.append(row(f"funnel {_words(stages)}", mine * 1e3 / STREAM,
                            single_time * 1e3 / STREAM,
                            unit="ms a query", n=n, peer_name=f"one list of {keep}",
                            ratio=single_time / mine))
    return {"rows": rows}


def _as_slow(index: VectorIndex, single: Stages, queries: Floats, scale: Scale) -> Stages:
    """Return the longest funnel that takes no longer than a single shortlist.

    `cost` prices every stage's rows as if they were read for the first time; a funnel's later
    stages find theirs in the caches, so times are compared, not costs.
    """
    prefix_dim, keep = single[0]

    def at(share: float) -> Stages:
        return funnel_stages(DIMS, K, start_dim=prefix_dim, keep=max(K, round(share * keep)))

    search = partial(partial, index.search, k=K)
    for share in (2.0, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9):
        ours, theirs = alternate([each_in_turn(search(stages=each), queries, STREAM)
                                  for each in (at(share), single)], scale.rounds(15))
        if ours <= theirs:
            break
    return at(share)


def _words(stages: Stages) -> str:
    return " ".join(f"{dim}:{keep}" for dim, keep in stages)


# ---- other spectra --------------------------------------------------------------------------


def spectrum(scale: Scale) -> dict[str, Any]:
    """Return the recall of lists by length, for spectra that fall slower or faster."""
    n = scale.n(N)
    rows: list[Row] = []
    for alpha in (0.5, 0.75, 1.0):
        vectors, queries = synthetic(n, 1, alpha=alpha), synthetic(N_TEST, 5, alpha=alpha)
        flat = faiss.IndexFlatIP(DIM)
        flat.add(vectors)
        exact = flat.search(queries, K)[1]
        for prefix_dim in (16, 32):
            index = VectorIndex.build(vectors, dims=DIMS, prefix_dim=prefix_dim)
            for keep in (200, 800, 3200):
                found = index.search(queries, K, stages=((prefix_dim, keep), (DIM, K))).ids
                rows.append(row(f"alpha {alpha}, int8 prefix of {prefix_dim} -> {keep}",
                                recall(found, exact), unit="recall@10", n=n))
    return {"rows": rows}


# ---- a trained model ------------------------------------------------------------------------


def omniglot(scale: Scale) -> dict[str, Any]:
    """Return retrieval with matvit-omniglot: drawers 16-20 ask, drawers 1-15 answer.

    Database: 14,520 images embedded at XL. Queries: 4,840 images at S, M, L or XL.
    hit@1: share of queries whose nearest image, at that dim, is of the same of 968
    classes. recall@10: of the exact nearest 10 of the same query at 192 dims.
    """
    import torch

    from edge_sdk import zoo
    from edge_sdk.data import omniglot as images_of
    from edge_sdk.nn.matformer import trained_widths, use_widths
    from edge_sdk.zoo.training import normalize

    torch.set_num_threads(1)
    reference, data = zoo.load("matvit-omniglot"), images_of()
    dims, model = reference.recipe.dims, reference.model

    def embedded(images: NDArray[np.uint8], widths: Sequence[int]) -> Floats:
        pixels = normalize(images, reference.recipe, data.pixel_max)
        with use_widths(model, widths), torch.inference_mode():
            return np.concatenate([model.embed(pixels[at : at + 512]).numpy()
                                   for at in range(0, len(pixels), 512)])

    step = 10 if scale.quick else 1
    stored, labels = data.train_images[::step], data.train_labels[::step]
    asked, answers = data.test_images[::step], data.test_labels[::step]
    by_size = zip(*trained_widths(model), strict=True)
    sizes = dict(zip(("S", "M", "L", "XL"), by_size, strict=True))
    database = embedded(stored, sizes["XL"])
    by_prefix = {p: written("omniglot", database, dims, p) for p in (16, 32)}
    rows: list[Row] = []
    for name, widths in sizes.items():
        queries = embedded(asked, widths)
        for dim in dims:
            found = by_prefix[16].flat(queries, 1, dim=dim).ids[:, 0]
            rows.append(row(f"queries at {name}, database at XL, {dim} dims",
                            float((labels[found] == answers).mean()), unit="hit@1",
                            n=len(stored)))
    known, test = queries[::2], queries[1::2]
    for prefix_dim, index in by_prefix.items():
        plan = index.calibrate(known, K, recall=RECALL)
        found = index.search(test, K, stages=plan.stages).ids
        rows.append(row(f"int8 prefix of {prefix_dim}, {_words(plan.stages)}, calibrated",
                        recall(found, index.flat(test, K).ids), unit="recall@10",
                        n=len(stored)))
    rows += _omniglot_speed(by_prefix[16], database, test, scale)
    return {"rows": rows}


def _omniglot_speed(index: VectorIndex, database: Floats, test: Floats,
                    scale: Scale) -> Iterator[Row]:
    plan = index.calibrate(test[::2], K, recall=RECALL)
    flat = faiss.IndexFlatIP(database.shape[1])
    flat.add(unit(database))
    queries = unit(test)
    ours, theirs = alternate([
        each_in_turn(partial(index.search, k=K, stages=plan.stages), queries),
        each_in_turn(lambda q: flat.search(q, K), queries)], scale.rounds(300))
    yield row(f"{_words(plan.stages)}, one query", ours * 1e6, theirs * 1e6, unit="us a query",
              peer_name="faiss flat", ratio=theirs / ours, n=len(database))


# ---- the command ----------------------------------------------------------------------------

PARTS: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "speed": speed, "funnel": funnel, "spectrum": spectrum, "omniglot": omniglot, "hnsw": hnsw}
DEFAULT = "speed,funnel,spectrum,omniglot"


def main(
    only: str = typer.Option(DEFAULT, help=f"Parts, comma-separated, of {', '.join(PARTS)}."),
    quick: bool = typer.Option(False, "--quick", help="Try it out: small, and writes nothing."),
) -> None:
    """Measure retrieval and write the results under build/."""
    parts = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]}: choose of {', '.join(PARTS)}")
    say(HEADING)
    for name in parts:
        with threadpool_limits(1):  # of NumPy's products, and of faiss
            faiss.omp_set_num_threads(1)
            measured = PARTS[name](Scale(quick=quick))
        if quick:
            continue
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"parts": {}}
        measured["command"] = f"python -m benchmarks.retrieval --only {name}"
        results["parts"][name] = measured
        results |= {"device": device(), "version": edge_sdk.__version__, "threads": 1,
                    "isas": _native.isas(), "faiss": faiss.__version__,
                    "numpy": np.__version__, "python": sys.version.split()[0]}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        say(f"wrote   {name} into {RESULTS}")


if __name__ == "__main__":
    command(main)()
