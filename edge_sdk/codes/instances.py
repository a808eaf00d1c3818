"""`InstanceIndex`: the nearest k of many stored codes, 8.0 bytes an item at 64 bits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk import _native, corefile
from edge_sdk.codes.hits import Hits
from edge_sdk.codes.words import (
    WIDE,
    Coding,
    Words,
    as_array,
    as_words,
    check_bits,
    tell_coding,
)
from edge_sdk.errors import CodeError, FormatError, ShapeError

LARGEST_K = 1 << 20  # what the core sorts at once
Ids = NDArray[np.int64]


class InstanceIndex(_native.Llc):
    """Codes of 1 to 64, 128 or 256 bits, one for each item; immutable, memory-mapped."""

    def __init__(self, data: NDArray[np.uint8], *, verify: bool = True) -> None:
        """Open a file's bytes, (size,) uint8, 8-byte aligned; they must stay unchanged.

        Raises:
            FormatError: Not an .llc file of instance codes, or damaged.
            VersionError: Written by a newer version.
        """
        data = corefile.as_bytes(data)
        super().__init__(data, verify)
        if self.kind != corefile.INSTANCES:
            raise FormatError("instance codes", "class codes", where="the .llc file",
                              hint="open it with CodeIndex")
        self._data = data

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> InstanceIndex:
        """Open a file, memory-mapped.

        Args:
            path: An `.llc` file of instance codes.
            verify: Read all of it and compare the digests; False opens at once,
                for files larger than the memory.

        Raises:
            FormatError: No such file, or damaged.
        """
        return cls(corefile.read(path), verify=verify)

    @classmethod
    def build(cls, codes: Any, *, bits: int | None = None, ids: ArrayLike | None = None,
              coding: Coding = "auto") -> InstanceIndex:
        """Build an index in memory.

        Args:
            codes, bits, coding: As `as_words` takes them.
            ids: The items' own ids, (n,) below 2**64; by default they are numbered.

        Raises:
            ShapeError: Another number of ids than of codes.
        """
        words, bits = as_words(codes, bits, coding=coding)
        parts = [_code_section(len(words), bits, [words])]
        if ids is not None:
            parts.append(corefile.section("ITID", _own_ids(ids, len(words))))
        data = corefile.pack(corefile.INSTANCES, bits, len(words), parts)
        return cls(data, verify=False)

    @staticmethod
    def write(path: str | os.PathLike[str], chunks: Iterable[Any], *, n: int, bits: int,
              ids: Iterable[ArrayLike] | None = None, coding: Coding = "auto") -> None:
        """Write a file from chunks of codes, holding one chunk at a time.

        Args:
            path: The file, replaced whole or not at all.
            chunks: Codes as `as_words` takes them, `n` in all.
            n: How many come.
            bits, coding: As in `build`; "auto" goes by the first chunk.
            ids: Own ids in chunks, `n` in all.

        Raises:
            FormatError: More or fewer than `n` came.
            OutputError: No such folder, or no room.
        """
        check_bits(bits, WIDE)
        parts = [_code_section(n, bits, _words_of(chunks, bits, coding))]
        if ids is not None:
            own = (_own_ids(chunk, None).view(np.uint8) for chunk in ids)
            parts.append(corefile.Section("ITID", 8, n * 8, own))
        corefile.stream(path, corefile.INSTANCES, bits, n, parts)

    @property
    def nbytes(self) -> int:
        """Bytes of the file, which is all the memory that the index takes, mapped."""
        return int(self._data.size)

    @property
    def ids(self) -> NDArray[np.uint64] | None:
        """The items' own ids, (n,) uint64, or None if they are numbered."""
        found = self.section("ITID")
        return None if found is None else self._view(found, np.dtype("<u8"))

    def search(
        self, queries: Any, k: int, *, threads: int = 1,
        rerank: tuple[ArrayLike, ArrayLike] | None = None, candidates: int | None = None,
    ) -> Hits:
        """Return the `k` items nearest to each query, nearest first, ties by item number.

        Args:
            queries: Words (n,), or (n, bits // 64) above 64 bits, or a table (n, bits).
            k: Fewer come back only if the index holds fewer.
            threads: Slices of the index searched at once. It helps where one
                thread does not fill the memory's bandwidth; the answer is the same.
            rerank: (vectors of the queries (n, d), vectors of the items (n_items,
                d), which may be memory-mapped): order the nearest `candidates` by
                their inner products and keep `k`.
            candidates: For `rerank`, 4 k by default.

        Raises:
            ShapeError: Another width, a negative `k`, or vectors that do not fit.
            CodeError: A query of 2**bits or more.
        """
        words = self._queries(queries)
        if k < 0 or threads < 1:
            raise ShapeError("k from 0 and threads from 1 up", f"{k}, {threads}",
                             where="`k`, `threads`", hint="leave `threads` out for one")
        wanted = k if rerank is None else max(k, 4 * k if candidates is None else candidates)
        wanted = min(wanted, len(self))
        if wanted > LARGEST_K:
            raise ShapeError(f"at most {LARGEST_K} hits a query", str(wanted), where="`k`",
                             hint="search slices of the items")
        ids, distances = self._search(words, wanted, threads)
        scores = None
        if rerank is not None:
            ids, distances, scores = _rerank(ids, distances, rerank, k, len(self))
        own = self.ids
        return Hits(ids if own is None else own[ids], distances, scores)

    def _search(self, words: Words, k: int, threads: int) -> tuple[Ids, NDArray[np.int32]]:
        n = len(self)
        if threads == 1 or n < threads * max(k, 1):
            return self.scan(words, k, 0, n)
        edges = [n * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda part: self.scan(words, k, *part),
                                  pairwise(edges)))
        ids = np.concatenate([part[0] for part in found], axis=1)
        distances = np.concatenate([part[1] for part in found], axis=1)
        # Slices come in the order of ids, so a stable sort keeps ties by id.
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return (np.take_along_axis(ids, order, axis=1),
                np.take_along_axis(distances, order, axis=1))

    def _view(self, found: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        offset, size, _ = found
        return self._data[offset : offset + size].view(dtype)

    def _queries(self, queries: Any) -> Words:
        array = np.asarray(queries)
        if array.dtype == np.uint64 and array.ndim == 2 and self.bits > 64 \
                and array.shape[1] == self.bits // 64:
            return np.ascontiguousarray(array)
        words, bits = as_words(queries, self.bits)
        if bits != self.bits:
            raise ShapeError(f"queries of {self.bits} bits", str(bits), where="`queries`",
                             hint="this index has another width")
        return words.reshape(len(words), max(1, self.bits // 64))


def _words_of(chunks: Iterable[Any], bits: int, coding: Coding) -> Iterator[Words]:
    for chunk in chunks:
        # One coding for all chunks: a chunk of small integers may happen to hold 0 and 1 alone.
        if isinstance(chunk, np.ndarray):
            coding = tell_coding(chunk, coding)
        yield as_words(chunk, bits, coding=coding)[0]


def _code_section(n: int, bits: int, pieces: Iterable[Words]) -> corefile.Section:
    width = bits // 8 if bits > 64 else 4 if bits <= 32 else 8
    stored = "<u4" if bits <= 32 else "<u8"
    return corefile.Section("CODE", width, n * width, (
        np.ascontiguousarray(words, stored).reshape(-1).view(np.uint8) for words in pieces))


def _own_ids(ids: ArrayLike, n: int | None) -> NDArray[np.uint64]:
    own = as_array(ids)
    if own.size == 0:
        own = own.astype(np.uint64)
    if own.ndim != 1 or own.dtype.kind not in "iu" or (n is not None and own.size != n):
        raise ShapeError("one integer id for each code" if n is None else f"{n} integer ids",
                         f"{own.dtype} {list(own.shape)}", where="`ids`",
                         hint="leave `ids` out to number the items")
    if own.dtype.kind == "i" and own.size and own.min() < 0:
        raise CodeError("ids from 0 up", str(own.min()), where="`ids`", hint="use uint64 ids")
    return np.ascontiguousarray(own, "<u8")


def _rerank(
    ids: Ids, distances: NDArray[np.int32], vectors: tuple[ArrayLike, ArrayLike], k: int,
    n_items: int,
) -> tuple[Ids, NDArray[np.int32], NDArray[np.float32]]:
    queries, items = np.asarray(vectors[0]), vectors[1]
    if not isinstance(items, np.ndarray):
        items = np.asarray(items)
    if queries.ndim != 2 or items.ndim != 2 or len(queries) != len(ids) \
            or len(items) != n_items or queries.shape[1] != items.shape[1]:
        raise ShapeError(f"vectors ({len(ids)}, d) and ({n_items}, d)",
                         f"{list(queries.shape)} and {list(items.shape)}", where="`rerank`",
                         hint="one vector for each query, and for each stored item")
    scores = np.stack([items[row].astype(np.float32) @ query.astype(np.float32)
                       for row, query in zip(ids, queries, strict=True)]) if len(ids) else \
        np.empty(ids.shape, np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (np.take_along_axis(ids, order, axis=1), np.take_along_axis(distances, order, axis=1),
            np.take_along_axis(scores, order, axis=1))


def chunked(rows: NDArray[Any], size: int = 1 << 20) -> Iterator[NDArray[Any]]:
    """Yield `rows` in slices of `size`: what `InstanceIndex.write` takes."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


__all__ = ["Hits", "InstanceIndex", "chunked"]
