"""Write the vectors of retrieval that C and Python read: `python tests/vectors/make_vectors.py`.

The answers come from NumPy in float64, the inputs from the generator of make.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
NAME = "vectors_search.txt"
HEAD = """\
# One case a line; `python tests/vectors/make_vectors.py` writes this file.
# Retrieval: rows are ranked by the cosine of prefixes, stage by stage. Floats are the 8
# hexadecimal digits of an IEEE float32, row after row; codes are the rows' int8 prefixes, two
# digits a coordinate. stages: dim:keep; the first, where it is at the prefix, ranks by the dot
# product of the codes with the query's. Answers: id:score of each query, best first, ties by id;
# queries are parted by semicolons, and - stands for none.
# name prefix_dim dims rows codes queries stages -> id:score,...
"""


def _random() -> Any:
    spec = importlib.util.spec_from_file_location("make_codes", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Random(7)


def cosines(rows: NDArray[np.float32], query: NDArray[np.float32], dim: int) -> NDArray[Any]:
    """Return the cosines of prefixes, rounded once to float32; 0 with a prefix of zeros."""
    a, b = rows[:, :dim].astype(np.float64), query[:dim].astype(np.float64)
    norms = np.sqrt((a * a).sum(axis=1) * (b * b).sum())
    safe = np.where(norms > 0, norms, 1)
    return np.where(norms > 0, (a @ b) / safe, 0).astype(np.float32)


def coded_query(query: NDArray[np.float32], dim: int) -> NDArray[np.int64]:
    """Return the query's prefix as int8, the largest being 127, halves to even."""
    prefix = query[:dim].astype(np.float64)
    largest = np.abs(prefix).max()
    scaled = prefix * (127 / largest) if largest > 0 else prefix
    return np.rint(scaled).astype(np.int64)


def best(distances: NDArray[Any], keep: int) -> NDArray[np.int64]:
    """Return the ids of the least distances, ties by id, ascending by id."""
    return np.sort(np.argsort(distances, kind="stable")[:keep])


def search(rows: NDArray[np.float32], codes: NDArray[np.int8], query: NDArray[np.float32],
           prefix_dim: int, stages: list[tuple[int, int]]) -> list[tuple[int, np.float32]]:
    """Return (id, score) of what the stages leave, best first: the slow, obvious way."""
    ids, later = np.arange(len(rows)), list(stages)
    dim, keep = stages[0]
    if dim == prefix_dim:
        products = codes.astype(np.int64) @ coded_query(query, prefix_dim)
        ids, later = best(-products, keep), later[1:] or later
    for dim, keep in later:
        scores = cosines(rows[ids], query, dim)
        kept = best(-scores, keep)
        ids, scores = ids[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")
    return [(int(ids[i]), scores[i]) for i in order]


def code_rows(rows: NDArray[np.float32], prefix_dim: int) -> NDArray[np.int8]:
    """Return the rows' unit prefixes as int8, the largest of all being 127."""
    prefixes = rows[:, :prefix_dim].astype(np.float64)
    norms = np.sqrt((prefixes**2).sum(axis=1, keepdims=True))
    units = np.divide(prefixes, norms, out=np.zeros_like(prefixes), where=norms > 0)
    largest = np.abs(units).max(initial=0.0) or 1.0
    codes: NDArray[np.int8] = np.rint(units * (127 / largest)).clip(-127, 127).astype(np.int8)
    return codes


def cases() -> Iterator[tuple[str, int, tuple[int, ...], NDArray[Any], NDArray[Any],
                              list[tuple[int, int]]]]:
    """Yield (name, prefix_dim, dims, rows, queries, stages)."""
    random = _random()

    def table(n: int, dim: int) -> NDArray[np.float32]:
        return np.array([[random.real() for _ in range(dim)] for _ in range(n)], np.float32)

    def floats(rows: Any) -> NDArray[np.float32]:
        return np.array(rows, np.float32)

    one = np.ones((1, 4), np.float32)
    yield "one_row", 2, (2, 4), one, one, [(2, 1), (4, 1)]
    yield "opposite", 4, (4,), -one, one, [(4, 1)]
    yield "equal_rows_by_id", 2, (2, 4), np.repeat(one, 9, 0), one, [(2, 5), (4, 3)]
    yield "longer_rows_are_no_nearer", 2, (2, 4), one * floats([[1], [2], [4], [1024]]), one, \
        [(4, 4)]
    zero = floats([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [-1, 0, 0, 0]])
    yield "zero_prefixes_score_zero", 2, (2, 4), zero, zero, [(2, 4)]
    yield "zero_prefix_kept_by_id", 2, (2, 4), zero, zero[:1], [(2, 2), (4, 1)]
    extremes = floats([[1e38, -1e38, 1e38, 1e30], [1e-38, 1e-38, 0, 1e-45], [1, 1, 1, 1]])
    yield "largest_and_smallest", 2, (2, 4), extremes, extremes, [(2, 3), (4, 3)]
    rows, queries = table(35, 20), table(3, 20)
    for name, prefix, stages in (
            ("shortlist", 8, [(8, 12), (20, 5)]), ("funnel", 4, [(4, 16), (8, 8), (20, 3)]),
            ("prefix_alone", 8, [(8, 7)]), ("exact", 4, [(20, 6)]), ("exact_prefix", 8, [(4, 9)]),
            ("all_of_the_prefix", 8, [(8, 35), (8, 6)])):
        yield name, prefix, (4, 8, 20), rows, queries, stages
    for n in (63, 64, 65, 130):
        yield f"blocks_{n}", 3, (3, 4), table(n, 4), table(2, 4), [(3, n // 2), (4, 4)]


def hexadecimal(array: NDArray[Any]) -> str:
    """Return the array's bits as one column."""
    if array.dtype == np.int8:
        return "".join(f"{byte:02x}" for byte in array.reshape(-1).view(np.uint8).tolist()) or "-"
    return "".join(f"{word:08x}" for word in array.astype("<f4").reshape(-1).view("<u4").tolist())


def text() -> str:
    """Return the whole file."""
    lines = []
    for name, prefix_dim, dims, rows, queries, stages in cases():
        codes = code_rows(rows, prefix_dim)
        answers = ";".join(
            ",".join(f"{i}:{hexadecimal(np.array([score], np.float32))}"
                     for i, score in search(rows, codes, query, prefix_dim, stages))
            for query in queries)
        lines.append(f"{name} {prefix_dim} {','.join(map(str, dims))} {hexadecimal(rows)} "
                     f"{hexadecimal(codes)} {hexadecimal(queries)} "
                     f"{','.join(f'{dim}:{keep}' for dim, keep in stages)} -> {answers}\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    made = text()
    (HERE / NAME).write_text(made, encoding="ascii", newline="\n")
    print(f"wrote   {NAME}  {len(made)} B  {len([*cases()])} cases")
