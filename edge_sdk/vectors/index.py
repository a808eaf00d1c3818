"""`VectorIndex`: the nearest of many Matryoshka embeddings, by a short prefix first."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk import _native, corefile
from edge_sdk.errors import ShapeError
from edge_sdk.vectors import layout, plan
from edge_sdk.vectors.plan import Plan

LARGEST_KEEP = _native.VECTORS_MAX_KEEP
DEFAULT_FACTOR = 20
"""Without stages, the shortlist is so many times `k`."""


@dataclass(frozen=True)
class Hits:
    """What a search found, best first.

    Attributes:
        ids: (n_queries, k) int64 item numbers, or uint64 own ids if the index has them.
        scores: (n_queries, k) float32 cosines at the last stage's dim; 0 where the
            query's or the item's prefix of that dim is zero.
    """

    ids: NDArray[Any]
    scores: NDArray[np.float32]


class VectorIndex(_native.Vec):
    """Matryoshka embeddings, memory-mapped, with an int8 prefix of each; immutable.

    Similarity is the cosine of prefixes: a prefix of a unit vector is no unit
    vector, so each is divided by its own norm (Kusupati et al. 2022,
    arXiv:2205.13147, section 4.3). Only dims that the embedding was trained for
    are taken. Equal scores keep the order of items, on every processor and
    whatever the number of threads.
    """

    def __init__(self, data: NDArray[np.uint8], *, verify: bool = True) -> None:
        """Open a file's bytes, (size,) uint8, 8-byte aligned; they must stay unchanged.

        Raises:
            FormatError: Not a .vec file, or damaged.
            VersionError: Written by a newer version.
        """
        data = corefile.as_bytes(data)
        super().__init__(data, verify)
        self._data = data

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> VectorIndex:
        """Open a file, memory-mapped: of the vectors, searches read what they shortlist.

        Args:
            path: A `.vec` file.
            verify: Read all of it and compare the digests; False opens at once,
                for files larger than the memory.

        Raises:
            FormatError: No such file, or damaged.
        """
        index = cls(corefile.read(path, ".vec"), verify=verify)
        _read_here_and_there(index._data, index._offset("VECT"), index._size("VECT"))
        return index

    @classmethod
    def build(cls, vectors: Any, *, dims: Sequence[int], prefix_dim: int | None = None,
              ids: ArrayLike | None = None) -> VectorIndex:
        """Build an index in memory; arguments and errors are those of `write`."""
        chunks, n = _chunks_of(vectors, None)
        trained, prefix_dim = layout.check_dims(dims, prefix_dim)
        parts = layout.sections(chunks, n=n, dims=trained, prefix_dim=prefix_dim, ids=ids)
        return cls(corefile.pack(corefile.VECTORS, trained[-1], n, parts), verify=False)

    @staticmethod
    def write(path: str | os.PathLike[str], vectors: Any, *, dims: Sequence[int],
              prefix_dim: int | None = None, n: int | None = None,
              ids: ArrayLike | None = None) -> None:
        """Write a file, holding one chunk and `prefix_dim` bytes a vector.

        Args:
            path: The file, replaced whole or not at all.
            vectors: Floats (n, dim), of any norm, or such arrays one after the
                other; they are stored as float32.
            dims: Those that the embedding was trained for, ascending; the last is `dim`.
            prefix_dim: The one to keep as int8, which is all that a scan reads: by
                default the largest up to 32.
            n: How many vectors come, if `vectors` is an iterator.
            ids: The items' own ids, (n,) below 2**64; by default they are numbered.

        Raises:
            ShapeError: Vectors of another shape or no floats, dims that do not
                ascend, a prefix that is not trained, or another number of ids.
            VectorError: NaN or infinity, or a vector of zeros.
            FormatError: More or fewer than `n` came.
            OutputError: No such folder, or no room.
        """
        chunks, n = _chunks_of(vectors, n)
        trained, prefix_dim = layout.check_dims(dims, prefix_dim)
        parts = layout.sections(chunks, n=n, dims=trained, prefix_dim=prefix_dim, ids=ids)
        corefile.stream(path, corefile.VECTORS, trained[-1], n, parts)

    @property
    def dims(self) -> tuple[int, ...]:
        """The trained dims, ascending; the last is the vectors' own."""
        return tuple(self.trained_dims())

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return int(self._data.size)

    @property
    def resident_bytes(self) -> int:
        """Bytes that every search reads: the file without the vectors themselves."""
        return self.nbytes - self._size("VECT")

    @property
    def ids(self) -> NDArray[np.uint64] | None:
        """The items' own ids, (n,) uint64, or None if they are numbered."""
        return None if self.section("ITID") is None else self._view("ITID", "<u8")

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors as they were given, (n, dim) float32, read-only as the file is."""
        view: NDArray[np.float32] = self._view("VECT", "<f4").reshape(len(self), self.dim)
        return view

    def search(self, queries: Any, k: int = 10, *,
               stages: Sequence[tuple[int, int]] | None = None, threads: int = 1,
               own_ids: bool = True) -> Hits:
        """Return the `k` items nearest to each query, best first, ties by item number.

        Args:
            queries: Floats (n_queries, dim) or (dim,), of any norm.
            k: Fewer come back only if the index holds fewer.
            stages: (dim, keep) one after the other. The first looks at all items,
                at `prefix_dim` by the int8 codes, which is fast, at another dim by
                the vectors, which is not; each later one ranks what the one before
                kept by the vectors. Dims must not shrink and lists not grow; the
                last one keeps `k`. By default `prefix_dim` keeps 20 k, and the
                full dim ranks them.
            threads: Queries, or slices of the index, searched at once; the answer
                is the same.
            own_ids: False returns item numbers also where items have ids.

        Raises:
            ShapeError: Queries of another shape, a `k` below 0, an untrained dim,
                or stages that do not fit.
            VectorError: NaN or infinity in a query, or a query of zeros.
        """
        rows = self._queries(queries)
        if k < 0 or threads < 1:
            raise ShapeError("k from 0 and threads from 1 up", f"{k}, {threads}",
                             where="`k`, `threads`", hint="leave `threads` out for one")
        if k == 0 or len(self) == 0:
            return self._named(np.empty((len(rows), 0), np.int64),
                               np.empty((len(rows), 0), np.float32), own_ids)
        if stages is None:
            stages = self._default_stages(k)
        found = self._run(rows, self._checked(stages, k), threads, exact=False)
        return self._named(*found, own_ids)

    def funnel(self, queries: Any, k: int = 10, *, start_dim: int | None = None,
               keep: int | None = None, threads: int = 1) -> Hits:
        """Return hits of a funnel: each stage halves the list and doubles the dim.

        Args:
            queries, k, threads: As in `search`.
            start_dim: Dim of the first list, `prefix_dim` by default.
            keep: Length of the first list, by default 20 k.

        Raises:
            ShapeError: As `search`, or `keep` is below `k`.
            VectorError: As `search`.
        """
        start = self.prefix_dim if start_dim is None else start_dim
        stages = plan.funnel_stages(self.dims, max(k, 1), start_dim=start,
                                    keep=DEFAULT_FACTOR * max(k, 1) if keep is None else keep)
        return self.search(queries, k, stages=stages, threads=threads)

    def flat(self, queries: Any, k: int = 10, *, dim: int | None = None, threads: int = 1,
             own_ids: bool = True) -> Hits:
        """Return the exact nearest `k` by comparing all vectors, at `dim` or the full one.

        Sums are in double precision. Arguments and errors are otherwise those of `search`.
        """
        rows = self._queries(queries)
        dim = self.dim if dim is None else dim
        if k < 1 or len(self) == 0:
            return self.search(rows, k, threads=threads, own_ids=own_ids)
        found = self._run(rows, self._checked([(dim, k)], k), threads, exact=True)
        return self._named(*found, own_ids)

    def calibrate(self, queries: Any, k: int = 10, *, recall: float = 0.975) -> Plan:
        """Choose the cheapest stages that find the exact nearest `k` often enough.

        Compares with `flat` at the full dim. Tried are a shortlist by the int8
        prefix, two of them, the second at a dim in between, and a funnel, each as
        short as may be; the exact scan is left if none is cheaper or meets it.
        Costs are those of `edge_sdk.vectors.cost`.

        Args:
            queries: Floats (n_queries, dim), such as will be asked; some hundred.
            k: Hits that will be wanted.
            recall: Mean share of the exact hits that must be found, in [0, 1].

        Raises:
            ShapeError: Queries of another shape or none at all, `k` below 1, or a
                recall beyond [0, 1].
            VectorError: NaN or infinity in a query, or a query of zeros.
        """
        rows = self._queries(queries)
        if k < 1 or len(rows) == 0 or not 0 <= recall <= 1:
            raise ShapeError("at least one query, k from 1 up, a recall from 0 to 1",
                             f"{len(rows)} queries, {k}, {recall}",
                             where="`queries`, `k`, `recall`",
                             hint="take queries that the index has not seen")
        return plan.calibrate(self, rows, k, recall)

    # ---- inside -----------------------------------------------------------------------

    def _run(self, rows: layout.Floats, stages: list[tuple[int, int]], threads: int, *,
             exact: bool) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        n, queries = len(self), len(rows)
        slices = threads > 1 and queries < threads and n >= threads * layout.BLOCK_ROWS
        if slices or exact:
            ids = self._first_stage(rows, stages[0], threads if slices else 1, exact=exact)
            return self.rerank(rows, stages[1:] or stages, ids)
        if threads == 1 or queries < threads:
            return self.search_stages(rows, stages)
        edges = [queries * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda part: self.search_stages(rows[slice(*part)], stages),
                                  pairwise(edges)))
        return (np.concatenate([ids for ids, _ in found]),
                np.concatenate([scores for _, scores in found]))

    def _first_stage(self, rows: layout.Floats, stage: tuple[int, int], threads: int, *,
                     exact: bool) -> NDArray[np.int64]:
        edges = [len(self) * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda part: self.scan(rows, *stage, exact, *part),
                                  pairwise(edges)))
        ids = np.concatenate([part[0] for part in found], axis=1)
        distances = np.concatenate([part[1] for part in found], axis=1)
        # Slices come in the order of ids, so a stable sort keeps ties by id.
        order = np.argsort(distances, axis=1, kind="stable")[:, : stage[1]]
        return np.ascontiguousarray(np.take_along_axis(ids, order, axis=1))

    def _default_stages(self, k: int) -> list[tuple[int, int]]:
        if self.prefix_dim == self.dim:
            return [(self.dim, DEFAULT_FACTOR * k), (self.dim, k)]
        return [(self.prefix_dim, DEFAULT_FACTOR * k), (self.dim, k)]

    def _checked(self, stages: Sequence[tuple[int, int]], k: int) -> list[tuple[int, int]]:
        checked = [(int(dim), min(int(keep), max(len(self), 1))) for dim, keep in stages]
        for dim, _ in checked:
            if dim not in self.dims:
                raise ShapeError(f"trained dims, of {list(self.dims)}", str(dim),
                                 where="`stages`", hint="an untrained prefix means nothing")
        keeps = [keep for _, keep in checked]
        if not checked or any(b[0] < a[0] or b[1] > a[1] for a, b in pairwise(checked)) \
                or keeps[-1] != min(k, len(self)):
            raise ShapeError(f"dims that do not shrink, lists that do not grow, k = {k} at last",
                             str([tuple(stage) for stage in stages]), where="`stages`",
                             hint=f"such as [({self.prefix_dim}, {20 * k}), ({self.dim}, {k})]")
        if keeps[0] > LARGEST_KEEP:
            raise ShapeError(f"lists of at most {LARGEST_KEEP}", str(keeps[0]),
                             where="`stages`", hint="search slices of the items")
        return checked

    def _queries(self, queries: Any) -> layout.Floats:
        rows = np.asarray(queries)
        if rows.ndim == 1 and rows.size:
            rows = rows[None, :]
        return layout.as_vectors(rows, self.dim, where="`queries`")

    def _named(self, ids: NDArray[np.int64], scores: NDArray[np.float32], own_ids: bool) -> Hits:
        own = self.ids if own_ids else None
        return Hits(ids if own is None else own[ids], scores)

    def _offset(self, tag: str) -> int:
        found = self.section(tag)
        return 0 if found is None else int(found[0])

    def _size(self, tag: str) -> int:
        found = self.section(tag)
        return 0 if found is None else int(found[1])

    def _view(self, tag: str, dtype: str) -> NDArray[Any]:
        offset = self._offset(tag)
        view = self._data[offset : offset + self._size(tag)].view(dtype)
        view.flags.writeable = False
        return view


def _chunks_of(vectors: Any, n: int | None) -> tuple[Iterable[Any], int]:
    """Return chunks, and how many vectors they hold together."""
    if isinstance(vectors, np.ndarray):
        if vectors.ndim != 2:
            raise ShapeError("floats of shape (n, dim)",
                             f"{vectors.dtype} {list(vectors.shape)}", where="`vectors`",
                             hint="one row for each vector")
        size = max(1, (1 << 24) // max(1, vectors.shape[1]))
        chunks: Iterable[Any] = (vectors[at : at + size] for at in range(0, len(vectors), size)) \
            if len(vectors) else [vectors]
        return chunks, len(vectors) if n is None else n
    if isinstance(vectors, list | tuple):
        arrays = [np.asarray(chunk) for chunk in vectors]
        if all(array.ndim == 1 for array in arrays) and arrays:
            return _chunks_of(np.asarray(vectors), n)
        return arrays, sum(map(len, arrays)) if n is None else n
    if n is None:
        raise ShapeError("`n`, how many vectors come", "an iterator", where="`n`",
                         hint="the file's head is written first")
    return vectors, n


def _read_here_and_there(data: NDArray[np.uint8], offset: int, size: int) -> None:
    """Tell the system that these bytes of a mapped file are read here and there.

    It then reads no neighbours ahead; and what opening has read may be forgotten.
    """
    owner: Any = data
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_RANDOM"):
        return
    begin = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (offset + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > begin:
        owner.madvise(mmap.MADV_RANDOM, begin, end - begin)
        owner.madvise(mmap.MADV_DONTNEED, begin, end - begin)
