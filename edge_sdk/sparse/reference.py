"""The slow, obvious twin of sparse weights: the packed format in plain Python, and float64 layers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAGIC = b"\x89SPW"
SCALE_LEAST = np.float32(2.0**-126)


def quantized(row: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.float32]:
    """Return (whole numbers from -127 to 127, scale): w / scale, rounded half to even."""
    scale = np.abs(row).max() / np.float32(127)
    if scale < SCALE_LEAST:
        return np.zeros_like(row), np.float32(0)
    return np.rint(row / scale), scale


def entries(row: ArrayLike, delta_bits: int) -> Iterator[tuple[int, float]]:
    """Yield (distance from the column before, value), zeros where a gap is too wide."""
    widest = 2**delta_bits - 1
    at = 0
    for column, value in enumerate(np.asarray(row).tolist()):
        if value == 0:
            continue
        while column - at > widest:
            yield widest, 0.0
            at += widest
        yield column - at, value
        at = column


def pack(weight: NDArray[np.float32], values: str, delta_bits: int,
         digest: Callable[[bytes], int]) -> bytes:
    """Return the packed bytes of (rows, cols); `digest` is XXH64 with seed 0."""
    rows, cols = weight.shape
    if values == "int8":
        pairs = [quantized(row) for row in weight]
    else:
        pairs = [(row, np.float32(1)) for row in weight]
    stored = [list(entries(row, delta_bits)) for row, _ in pairs]
    flat = [pair for row in stored for pair in row]
    head = MAGIC + struct.pack("<BBBBIIIII", 1, int(values == "int8"), delta_bits, 0, rows, cols,
                               len(flat), sum(value != 0 for _, value in flat), 0)
    counts = struct.pack(f"<{rows}{'I' if cols > 65535 else 'H'}", *map(len, stored))
    scales = b"".join(scale.tobytes() for _, scale in pairs) if values == "int8" else b""
    body = scales + counts + bytes(-len(counts) % 4)
    body += struct.pack(f"<{len(flat)}{'b' if values == 'int8' else 'f'}",
                        *[int(v) if values == "int8" else v for _, v in flat])
    body += struct.pack(f"<{len(flat)}{'B' if delta_bits == 8 else 'H'}", *[d for d, _ in flat])
    return head + struct.pack("<I", digest(head) & 0xFFFFFFFF) + body


def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None,
           low: float = -np.inf, high: float = np.inf) -> NDArray[np.float64]:
    """Return clip(x W^T + bias, low, high) in float64; x is (n, cols), the result (n, rows)."""
    y = np.asarray(x, np.float64) @ np.asarray(weight, np.float64).T
    return np.clip(y if bias is None else y + np.asarray(bias, np.float64), low, high)


def conv2d(x: ArrayLike, weight: ArrayLike, stride: tuple[int, int], padding: tuple[int, int],
           bias: ArrayLike | None = None, low: float = -np.inf, high: float = np.inf,
           ) -> NDArray[np.float64]:
    """Return the convolution of x (n, in, h, w) with weight (out, in, kh, kw), in float64."""
    x, w = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    kh, kw = w.shape[2:]
    out_h = (x.shape[2] - kh) // stride[0] + 1
    out_w = (x.shape[3] - kw) // stride[1] + 1
    y = np.zeros((x.shape[0], w.shape[0], out_h, out_w))
    for i in range(out_h):
        for j in range(out_w):
            part = x[:, :, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
            y[:, :, i, j] = np.einsum("ncij,ocij->no", part, w)
    if bias is not None:
        y += np.asarray(bias, np.float64)[:, None, None]
    return np.clip(y, low, high)


def exact_linear(x: NDArray[np.float32], values: NDArray[np.float32],
                 scales: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the core's bits, (n, rows): float32 sums in the order of the columns.

    Args:
        x: (n, cols).
        values: (rows, cols), the weight without its scales.
        scales: (rows,); ones for float32 values.
        bias: (rows,).
    """
    sums = np.zeros((x.shape[0], values.shape[0]), np.float32)
    for column in range(x.shape[1]):
        product = x[:, column : column + 1] * values[None, :, column]
        kept = values[:, column] != 0
        sums[:, kept] += product[:, kept]
    return np.asarray(sums * scales + (bias + np.float32(0)), np.float32)
