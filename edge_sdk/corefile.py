"""The core's files from Python: sections written once, in one pass, and moved into place whole.

The format is in runtime/FORMAT.md; the core lays out the head, and verifies on opening.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk import _native
from edge_sdk.artifact import publish
from edge_sdk.errors import FormatError, ShapeError

CLASSES, INSTANCES, HEAD, VECTORS, FASTGRNN = 1, 2, 3, 4, 5
"""Kinds of files: `.llc`, `.llc`, `.mrl`, `.vec` and `.grnn`."""

Bytes = NDArray[np.uint8]


class Section(NamedTuple):
    """One section to be written: `size` bytes in all, in as many pieces as come."""

    tag: str
    width: int
    size: int
    pieces: Iterable[Bytes]


def section(tag: str, array: NDArray[Any]) -> Section:
    """Return a section that holds `array` as it lies in memory, little-endian."""
    flat = np.ascontiguousarray(array).reshape(-1)
    raw = flat.view(np.uint8)
    return Section(tag, flat.itemsize, raw.size, [raw])


def json_section(tag: str, value: Any) -> Section:
    """Return a section that holds `value` as JSON, UTF-8."""
    return section(tag, np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8))


def pack(kind: int, bits: int, n: int, sections: list[Section]) -> Bytes:
    """Return a whole file in memory, 64-byte aligned as a mapped one would be."""
    entries, joined = [], []
    for part in sections:
        data = np.concatenate([np.asarray(piece) for piece in part.pieces] or
                              [np.empty(0, np.uint8)])
        digest = _native.Digest()
        digest.add(data)
        entries.append((part.tag, part.width, part.size, digest.value()))
        joined.append(data)
    head, offsets, size = _native.write_head(kind, bits, n, entries)
    # Not np.zeros: NumPy asks for huge pages only where it allocates without zeros. Rows all
    # over a gigabyte, and scans, then wait for fewer page walks.
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    file = room[start : start + size]
    file[: len(head)] = np.frombuffer(head, np.uint8)
    end = len(head)
    for offset, data in zip(offsets, joined, strict=True):
        file[end:offset] = 0
        end = offset + data.size
        file[offset:end] = data
    return file


class Entry(NamedTuple):
    """A section as an opened file's table has it."""

    tag: str
    width: int
    offset: int
    size: int
    digest: int


def table(data: Bytes) -> list[Entry]:
    """Return the table of sections of a file that the core has opened."""
    count = int(data[20:24].view("<u4")[0])
    rows = struct.iter_unpack("<4sIQQQ", data[64 : 64 + 32 * count].tobytes())
    return [Entry(tag.decode("latin-1"), *numbers) for tag, *numbers in rows]


def as_bytes(data: Any) -> Bytes:
    """Return a file's bytes as an array, which is not a copy unless they are scattered.

    Raises:
        ShapeError: Not bytes, nor an array (size,) of uint8.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return np.frombuffer(data, np.uint8)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 1:
        got = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else \
            type(data).__name__
        raise ShapeError("a file's bytes, uint8 (size,)", got, where="`data`",
                         hint="`open` takes a path")
    return np.ascontiguousarray(data)


def stream(path: str | os.PathLike[str], kind: int, bits: int, n: int,
           sections: list[Section]) -> None:
    """Write a file from sections that come in pieces, holding one piece at a time.

    Raises:
        OutputError: No such folder, or no room; nothing is left behind.
        FormatError: A section's pieces are not of the size it named.
    """
    target = Path(path)
    blank = [(part.tag, part.width, part.size, 0) for part in sections]
    head, offsets, _ = _native.write_head(kind, bits, n, blank)

    with publish(target) as (temporary,), temporary.open("wb") as file:
        entries = []
        file.write(bytes(len(head)))
        for part, offset in zip(sections, offsets, strict=True):
            file.write(bytes(offset - file.tell()))
            digest = _native.Digest()
            for piece in part.pieces:
                digest.add(piece)
                file.write(piece.data)
            if file.tell() != offset + part.size:
                raise FormatError(f"{part.size} bytes of section {part.tag}",
                                  str(file.tell() - offset), where=str(target),
                                  hint="say how many items come, or let them be counted")
            entries.append((part.tag, part.width, part.size, digest.value()))
        file.seek(0)
        file.write(_native.write_head(kind, bits, n, entries)[0])


def read(path: str | os.PathLike[str], suffix: str = ".llc") -> Bytes:
    """Return the bytes of a file, memory-mapped; `suffix` is for the words of the error.

    Raises:
        FormatError: There is no such file, or it is empty.
    """
    try:
        if os.path.getsize(path) > 0:
            mapped = np.memmap(path, np.uint8, mode="r")
            return mapped.view(np.ndarray)
        got = "an empty file"
    except OSError as error:
        got = error.strerror or str(error)
    raise FormatError(f"an {suffix} file", got, where=str(path), hint="check the path")
