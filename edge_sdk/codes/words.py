"""Codes in the forms people have them, as packed words: bit j of a code is bit j of its word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import CodeError, ShapeError

Words = NDArray[np.uint64]
Coding = Literal["auto", "sign", "01", "packed"]
MAX_WORD_BITS = 64
WIDE = (128, 256)  # of instance codes


def as_words(codes: Any, bits: int | None = None, *, coding: Coding = "auto") -> tuple[Words, int]:
    """Return codes as uint64 words, shape (n,), or (n, bits // 64) above 64 bits, and their bits.

    Args:
        codes: One of
            - packed integers, shape (n,), which need `bits`;
            - a table (n, k) of -1/+1, of 0/1, or of real values, whose sign
              counts, sign(0) = +1;
            - a sequence of n `bitarray`s of k bits;
            - with coding="packed", bytes (n, bits / 8 rounded up), bit j of a code
              being bit j % 8 of byte j // 8.
        bits: k. Only packed forms need it; elsewhere it is checked.
        coding: How to read a table; "auto" tells -1/+1 and 0/1 by their values. A
            table of real values that are all 0 or 1 could be either, and is refused.

    Raises:
        ShapeError: Not one of these forms, or not of `bits` bits.
        CodeError: NaN, a packed integer of 2**bits or more, or an ambiguous table.
    """
    if _is_bitarrays(codes):
        codes, coding = _from_bitarrays(codes), "01"
    array = as_array(codes)
    if coding == "packed":
        return _from_bytes(array, bits)
    if array.ndim == 1 and (array.dtype.kind in "iu" or array.size == 0):
        return _from_integers(array, bits)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise ShapeError("packed integers (n,) or a table (n, bits)",
                         f"{array.dtype} {list(array.shape)}", where="`codes`",
                         hint="codes beyond 64 bits come as a table or as packed bytes")
    if bits is not None and array.shape[1] != bits:
        raise ShapeError(f"{bits} bits a code", str(array.shape[1]), where="`codes`",
                         hint="leave `bits` out to take the table's width")
    return _pack(_to_bits(array, coding)), array.shape[1]


def check_bits(bits: int, allowed: Sequence[int] = (), *, largest: int = MAX_WORD_BITS) -> int:
    """Return `bits` if codes may have that many.

    Raises:
        ShapeError: Not in 1..largest nor one of `allowed`.
    """
    if not (1 <= bits <= largest or bits in allowed):
        extra = "".join(f" or {width}" for width in allowed)
        raise ShapeError(f"codes of 1 to {largest}{extra} bits", str(bits), where="`bits`",
                         hint="class codes have up to 64 bits, instance codes also 128 or 256")
    return bits


def as_array(values: Any) -> NDArray[Any]:
    """Return `values` as an array; integers from 2**63 up stay integers, which NumPy makes floats.

    Raises:
        ShapeError: Rows of different lengths.
    """
    if isinstance(values, np.ndarray):
        return values
    try:
        if isinstance(values, list | tuple) and values and \
                all(type(value) is int and 0 <= value < 1 << 64 for value in values):
            return np.array(values, np.uint64)
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError("rows of one length", str(error), where="`codes`",
                         hint="every code has the same number of bits") from error


def tell_coding(table: NDArray[Any], coding: Coding) -> Coding:
    """Return how a table is read, "01" or "sign"; other forms give `coding` back.

    Raises:
        CodeError: It could be either.
    """
    if coding != "auto" or table.ndim != 2 or not table.size:
        return coding
    binary = bool(np.isin(table, (0, 1)).all())
    if binary and table.dtype.kind == "f" and not (table == 1).all():
        raise CodeError("a table whose zeros have one meaning", "real values that are all 0 or 1",
                        where="`codes`", hint="pass coding='01' or coding='sign'")
    if not binary and table.dtype.kind == "u":
        raise CodeError("zeros and ones", f"unsigned values up to {table.max()}", where="`codes`",
                        hint="packed words have shape (n,); packed bytes need coding='packed'")
    return "01" if binary and table.dtype.kind in "biu" else "sign"


def _is_bitarrays(codes: Any) -> bool:
    from bitarray import bitarray

    return isinstance(codes, Sequence) and len(codes) > 0 and isinstance(codes[0], bitarray)


def _from_bitarrays(codes: Sequence[Any]) -> NDArray[np.uint8]:
    widths = {len(code) for code in codes}
    if len(widths) > 1:
        raise ShapeError("bitarrays of one length", ", ".join(map(str, sorted(widths))),
                         where="`codes`", hint="every code has the same number of bits")
    return np.array([list(code) for code in codes], np.uint8).reshape(len(codes), widths.pop())


def _from_integers(array: NDArray[Any], bits: int | None) -> tuple[Words, int]:
    if bits is None:
        raise ShapeError("`bits` beside packed integers", "none", where="`bits`",
                         hint="say how many bits a code has: bits=20")
    if array.size == 0 and bits in WIDE:
        return np.empty((0, bits // MAX_WORD_BITS), np.uint64), bits
    check_bits(bits)
    if array.size == 0:
        return np.empty(0, np.uint64), bits
    if array.dtype.kind == "i" and array.min() < 0:
        raise CodeError("codes from 0 up", str(array.min()), where="`codes`",
                        hint="codes of 64 bits are uint64, never int64")
    words = np.ascontiguousarray(array, np.uint64)
    if bits < MAX_WORD_BITS and words.max() >> np.uint64(bits):
        at = int(np.argmax(words >> np.uint64(bits) != 0))
        raise CodeError(f"codes below 2**{bits}", str(words[at]), where=f"`codes[{at}]`",
                        hint="pass the width the codes were trained with")
    return words, bits


def _from_bytes(array: NDArray[Any], bits: int | None) -> tuple[Words, int]:
    if bits is None or array.ndim != 2 or array.dtype != np.uint8 \
            or array.shape[1] != (bits + 7) // 8:
        raise ShapeError("uint8 bytes (n, bits / 8 rounded up), and `bits`",
                         f"{array.dtype} {list(array.shape)}, bits {bits}", where="`codes`",
                         hint="numpy.packbits(table, axis=1, bitorder='little') gives them")
    table = np.unpackbits(array, axis=1, bitorder="little")
    if table[:, bits:].any():
        raise CodeError("zeros beyond the last bit", "ones", where="`codes`",
                        hint="pack with bitorder='little'")
    return _pack(table[:, :bits]), bits


def _to_bits(table: NDArray[Any], coding: Coding) -> NDArray[np.uint8]:
    if np.isnan(table).any():
        raise CodeError("numbers", "NaN", where="`codes`", hint="look where the codebook was made")
    if tell_coding(table, coding) == "01":
        strange = table[~np.isin(table, (0, 1))]
        if strange.size:
            raise CodeError("zeros and ones", str(strange[0]), where="`codes`",
                            hint="pass coding='sign' for real values")
        return np.asarray(table != 0, np.uint8)
    return np.asarray(table >= 0, np.uint8)


def _pack(bits: NDArray[np.uint8]) -> Words:
    n, width = bits.shape
    check_bits(width, WIDE)
    packed = np.packbits(bits, axis=1, bitorder="little")
    n_words = (width + 63) // 64
    rows = np.zeros((n, n_words * 8), np.uint8)
    rows[:, : packed.shape[1]] = packed
    words: Words = rows.view("<u8").astype(np.uint64)
    return words[:, 0].copy() if n_words == 1 else words
