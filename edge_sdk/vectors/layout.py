"""What a .vec file holds, made from vectors that come in chunks. The format is in FORMAT.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk import corefile
from edge_sdk.errors import ShapeError, VectorError

BLOCK_ROWS = 64
SCALE_ROWS = 65_536
"""The int8 scale is that of so many rows; what is beyond it is cut off at 127."""
DEFAULT_PREFIX = 32

Floats = NDArray[np.float32]


def check_dims(dims: Sequence[int], prefix_dim: int | None) -> tuple[tuple[int, ...], int]:
    """Return the trained dims, ascending, and the prefix: by default the largest one up to 32.

    Raises:
        ShapeError: No dims, more than 32, not ascending, or the prefix is none of them.
    """
    trained = tuple(int(dim) for dim in dims)
    if not 1 <= len(trained) <= 32 or trained[0] < 1 or trained[-1] > 65_536 \
            or any(a >= b for a, b in pairwise(trained)):
        raise ShapeError("1 to 32 ascending dims, from 1 to 65536", str(list(trained)),
                         where="`dims`", hint="the dims that the embedding was trained for")
    if prefix_dim is None:
        prefix_dim = max((dim for dim in trained if dim <= DEFAULT_PREFIX), default=trained[0])
    if prefix_dim not in trained:
        raise ShapeError(f"a trained dim, one of {list(trained)}", str(prefix_dim),
                         where="`prefix_dim`", hint="an untrained prefix means nothing")
    return trained, prefix_dim


def as_vectors(vectors: Any, dim: int, *, where: str) -> Floats:
    """Return vectors as float32 (n, dim), C-contiguous.

    Raises:
        ShapeError: Another shape, or not floats.
        VectorError: NaN or infinity, or a vector of zeros, which has no direction.
    """
    array = np.asarray(vectors)
    if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != dim:
        raise ShapeError(f"floats of shape (n, {dim})", f"{array.dtype} {list(array.shape)}",
                         where=where, hint="one row for each vector, of all dims")
    if array.dtype == np.float32:
        rows = np.ascontiguousarray(array)
    else:
        with np.errstate(over="ignore"):  # what float32 can not hold is refused below
            rows = np.ascontiguousarray(array, np.float32)
    # One pass that tells of most rows that they are right; squares may yet leave the range.
    squares = np.einsum("ij,ij->i", rows, rows)
    if not (squares.min(initial=1) > 0 and squares.max(initial=1) < np.inf):
        _demand_direction(rows, where)
    return rows


def _demand_direction(rows: Floats, where: str) -> None:
    if not np.isfinite(rows).all():
        raise VectorError("finite float32 values", f"NaN or infinity in row {_first(rows)}",
                          where=where, hint="look where the model makes them")
    zero = ~rows.any(axis=1)
    if zero.any():
        raise VectorError("vectors other than zero", f"zeros in row {int(zero.argmax())}",
                          where=where, hint="zero has no direction, so no cosine")


def _first(rows: Floats) -> int:
    return int((~np.isfinite(rows).all(axis=1)).argmax())


def unit_prefixes(rows: Floats, dim: int) -> NDArray[np.float64]:
    """Return the first `dim` coordinates of each row over their norm, (n, dim); zeros stay."""
    prefixes = rows[:, :dim].astype(np.float64)
    norms = np.sqrt((prefixes * prefixes).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(prefixes, norms, out=np.zeros_like(prefixes), where=norms > 0))


def coded(prefixes: NDArray[np.float64], scale: float) -> NDArray[np.int8]:
    """Return unit prefixes as int8: round(127 x / scale), cut off at -127 and 127."""
    return np.clip(np.rint(prefixes * (127 / scale)), -127, 127).astype(np.int8)


def blocks(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return rows (n, dim) in the order of the PREF section, filled up with zeros."""
    n, dim = codes.shape
    groups = -(-dim // 4)
    padded = np.zeros((-(-n // BLOCK_ROWS) * BLOCK_ROWS, groups * 4), np.int8)
    padded[:n, :dim] = codes
    tiled = padded.reshape(-1, BLOCK_ROWS, groups, 4).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiled).reshape(-1).view(np.uint8)


class PrefixCoder:
    """Codes the prefixes of rows as they pass by; holds them, `prefix_dim` bytes each."""

    def __init__(self, prefix_dim: int) -> None:
        self.dim = prefix_dim
        self._waiting: list[NDArray[np.float64]] = []
        self._n_waiting = 0
        self._scale: float | None = None
        self._coded: list[NDArray[np.int8]] = []

    def add(self, rows: Floats) -> None:
        """Take the next rows."""
        prefixes = unit_prefixes(rows, self.dim)
        if self._scale is not None:
            self._coded.append(coded(prefixes, self._scale))
            return
        self._waiting.append(prefixes)
        self._n_waiting += len(prefixes)
        if self._n_waiting >= SCALE_ROWS:
            self._flush()

    def blocks(self) -> NDArray[np.uint8]:
        """Return the PREF section of all rows taken."""
        self._flush()
        return blocks(np.concatenate([np.empty((0, self.dim), np.int8), *self._coded]))

    def _flush(self) -> None:
        if self._scale is None and self._waiting:
            prefixes = np.concatenate(self._waiting)
            largest = float(np.abs(prefixes[:SCALE_ROWS]).max(initial=0.0))
            self._scale = largest or 1.0
            self._coded.append(coded(prefixes, self._scale))
            self._waiting.clear()


def sections(chunks: Iterable[Any], *, n: int, dims: tuple[int, ...], prefix_dim: int,
             ids: ArrayLike | None) -> list[corefile.Section]:
    """Return the sections of a file of `n` vectors, made while they are written in order."""
    coder = PrefixCoder(prefix_dim)
    bytes_of_prefixes = -(-n // BLOCK_ROWS) * BLOCK_ROWS * (-(-prefix_dim // 4) * 4)

    def rows() -> Iterator[NDArray[np.uint8]]:
        for chunk in chunks:
            taken = as_vectors(chunk, dims[-1], where="`vectors`")
            coder.add(taken)
            yield taken.reshape(-1).view(np.uint8)

    def prefixes() -> Iterator[NDArray[np.uint8]]:
        yield coder.blocks()

    parts = [corefile.section("DIMS", np.array([prefix_dim, *dims], "<u4")),
             corefile.Section("VECT", 4, n * dims[-1] * 4, rows()),
             corefile.Section("PREF", 1, bytes_of_prefixes, prefixes())]
    if ids is not None:
        parts.append(corefile.section("ITID", own_ids(ids, n)))
    return parts


def own_ids(ids: ArrayLike, n: int) -> NDArray[np.uint64]:
    """Return the items' own ids as (n,) uint64.

    Raises:
        ShapeError: Another number of them, or no integers.
        VectorError: One below 0.
    """
    own = np.asarray(ids)
    if isinstance(ids, list) and any(isinstance(one, int) and one >= 1 << 63 for one in ids):
        own = np.array(ids, np.uint64)  # beside small ones, NumPy would make floats of them
    if own.size == 0:
        own = own.astype(np.uint64)
    if own.ndim != 1 or own.dtype.kind not in "iu" or own.size != n:
        raise ShapeError(f"{n} integer ids", f"{own.dtype} {list(own.shape)}", where="`ids`",
                         hint="leave `ids` out to number the items")
    if own.dtype.kind == "i" and own.size and own.min() < 0:
        raise VectorError("ids from 0 up", str(own.min()), where="`ids`", hint="use uint64 ids")
    return np.ascontiguousarray(own, "<u8")
