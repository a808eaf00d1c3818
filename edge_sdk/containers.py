"""Finds our metadata inside a .pte, .tflite or .onnx without the toolchain that made it.

Each format carries the same JSON text in its own native place, where its own
tools find it too:

- .pte: the string that the constant method `edge_sdk_metadata` returns;
- .tflite: the buffer of the Metadata entry `edge_sdk_metadata`;
- .onnx: the metadata property `edge_sdk_metadata`.

The readers below walk just the path to it through a FlatBuffer or protobuf.
They run after the digest is verified, and still check every offset.

Behind the native bytes stands a seal: the sha256 of all before it, written as
one more ONNX metadata property. In protobuf a later field merges into the
message, and FlatBuffers ignore what follows their root, so a sealed file is
still a valid file of its format.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_sdk.errors import FormatError

KEY = "edge_sdk_metadata"
WIDTHS = "widths"
"""Name of the input of an elastic .onnx that says how many blocks each layer runs."""

SUFFIXES = {".pte": "executorch", ".tflite": "litert", ".onnx": "onnx"}

SEAL_KEY = "edge_sdk_sha256"
"""Name of the ONNX metadata property that seals a file."""

_SEAL_KEY = SEAL_KEY.encode()
# ModelProto.metadata_props (field 14) { key (1), value (2): 64 hex digits }.
_ENTRY = b"\x0a" + bytes([len(_SEAL_KEY)]) + _SEAL_KEY + b"\x12\x40"
_SEAL_HEAD = b"\x72" + bytes([len(_ENTRY) + 64]) + _ENTRY
SEAL_BYTES = len(_SEAL_HEAD) + 64

T = TypeVar("T")

_HINT = "the file is damaged, or edge_sdk did not write it; export or copy it again"


def seal(path: Path) -> str:
    """Append the sha256 of `path` to it and return the hex digest."""
    with open(path, "r+b") as file:
        digest = _sha256(file, os.fstat(file.fileno()).st_size)
        file.seek(0, os.SEEK_END)
        file.write(_SEAL_HEAD + digest.encode())
        file.flush()
        os.fsync(file.fileno())
    return digest


def verify(path: Path) -> str:
    """Return the digest of `path` if its bytes are those that were sealed.

    Raises:
        FormatError: No such file, no seal, or a different digest.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - SEAL_BYTES))
            tail = file.read()
            if len(tail) < SEAL_BYTES or not tail.startswith(_SEAL_HEAD):
                raise FormatError("an artifact that ends in its sha256", f"{size} bytes without",
                                  where=str(path), hint=_HINT)
            file.seek(0)
            digest = _sha256(file, size - SEAL_BYTES)
    except OSError as error:
        raise FormatError("a readable artifact", error.strerror or str(error), where=str(path),
                          hint="check the path and its permissions") from error
    if digest.encode() != tail[len(_SEAL_HEAD):]:
        raise FormatError("bytes as they were sealed", "a different sha256", where=str(path),
                          hint=_HINT)
    return digest


def unsealed_bytes(path: Path) -> bytes:
    """Return the native bytes of a sealed file, without its seal."""
    return path.read_bytes()[:-SEAL_BYTES]


def read_metadata(path: Path) -> bytes:
    """Return the JSON text carried by a verified artifact.

    Raises:
        FormatError: Another suffix, or no metadata where it should be.
    """
    target = SUFFIXES.get(path.suffix)
    if target is None:
        raise FormatError(f"a file ending in {', '.join(SUFFIXES)}", repr(path.suffix),
                          where=str(path), hint="keep the suffix that the exporter gave")
    read = {"executorch": _from_pte, "litert": _from_tflite, "onnx": _from_onnx}[target]
    text = _read(path, target, read)
    if text is None:
        raise FormatError(f"metadata named {KEY}", "none", where=str(path), hint=_HINT)
    return text


def pte_operators(path: Path) -> set[str]:
    """Return the operators that a .pte calls outside of delegates, such as "aten::add.out".

    Raises:
        FormatError: Bytes of another structure.
    """
    return _read(path, "executorch", _operators)


def _read(path: Path, target: str, read: Callable[[memoryview], T]) -> T:
    with open(path, "rb") as file:
        # Never closed by hand: views of it live on in the traceback of an error.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return read(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FormatError(f"a {target} file", "bytes of another structure", where=str(path),
                          hint=_HINT) from error


def _sha256(file: object, n_bytes: int) -> str:
    """Hash in small pieces: a loader's peak memory must not be that of a whole file."""
    digest = hashlib.sha256()
    while n_bytes:
        piece = file.read(min(n_bytes, 1 << 16))  # type: ignore[attr-defined]
        if not piece:
            break
        digest.update(piece)
        n_bytes -= len(piece)
    return digest.hexdigest()


class _Table:
    """A FlatBuffer table: fields by their slot, in the order of the schema."""

    def __init__(self, data: memoryview, position: int) -> None:
        self.data, self.position = data, position
        self.vtable = position - _i32(data, position)
        self.slots = (_u16(data, self.vtable) - 4) // 2

    def _field(self, slot: int) -> int | None:
        if slot >= self.slots:
            return None
        offset = _u16(self.data, self.vtable + 4 + 2 * slot)
        return self.position + offset if offset else None

    def u8(self, slot: int) -> int:
        at = self._field(slot)
        return 0 if at is None else self.data[at]

    def u32(self, slot: int) -> int:
        at = self._field(slot)
        return 0 if at is None else _u32(self.data, at)

    def table(self, slot: int) -> _Table | None:
        at = self._field(slot)
        return None if at is None else _Table(self.data, at + _u32(self.data, at))

    def blob(self, slot: int) -> bytes:
        at = self._field(slot)
        if at is None:
            return b""
        start = at + _u32(self.data, at)
        return bytes(_slice(self.data, start + 4, _u32(self.data, start)))

    def tables(self, slot: int) -> list[_Table]:
        at = self._field(slot)
        if at is None:
            return []
        start = at + _u32(self.data, at)
        items = range(start + 4, start + 4 + 4 * _u32(self.data, start), 4)
        return [_Table(self.data, item + _u32(self.data, item)) for item in items]


def _from_pte(data: memoryview) -> bytes | None:
    # executorch/schema/program.fbs: Program.execution_plan is slot 1;
    # ExecutionPlan {name 0, values 2, outputs 4}; EValue {type 0, val 1}; String is type 5 + 1.
    for plan in _Table(data, _u32(data, 0)).tables(1):
        if plan.blob(0) == KEY.encode():
            for value in plan.tables(2):
                text = value.table(1) if value.u8(0) == 6 else None
                if text is not None:
                    return text.blob(0)
    return None


def _operators(data: memoryview) -> set[str]:
    # ExecutionPlan {operators 6}; Operator {name 0, overload 1}.
    names = [(one.blob(0).decode(), one.blob(1).decode())
             for plan in _Table(data, _u32(data, 0)).tables(1) for one in plan.tables(6)]
    return {f"{name}.{overload}" if overload else name for name, overload in names}


def _from_tflite(data: memoryview) -> bytes | None:
    # tensorflow/lite/schema.fbs: Model {buffers 4, metadata 6}; Metadata {name 0, buffer 1};
    # Buffer {data 0}.
    model = _Table(data, _u32(data, 0))
    for entry in model.tables(6):
        if entry.blob(0) == KEY.encode():
            return model.tables(4)[entry.u32(1)].blob(0)
    return None


def _from_onnx(data: memoryview) -> bytes | None:
    # onnx.proto: ModelProto.metadata_props = 14; StringStringEntryProto {key 1, value 2}.
    position = 0
    while position < len(data):
        field, content, position = _protobuf_field(data, position)
        if field == 14:
            entry: dict[int, bytes] = {}
            at = 0
            while at < len(content):
                inner, value, at = _protobuf_field(content, at)
                entry[inner] = bytes(value)
            if entry.get(1) == KEY.encode():
                return entry.get(2)
    return None


def _protobuf_field(data: memoryview, position: int) -> tuple[int, memoryview, int]:
    """Return (field number, content, next position); content is empty unless length-delimited."""
    tag, position = _varint(data, position)
    kind = tag & 7
    if kind == 0:
        _, end = _varint(data, position)
        return tag >> 3, data[:0], end
    length = {1: 8, 5: 4}.get(kind)
    if kind == 2:
        length, position = _varint(data, position)
    if length is None:
        raise IndexError(f"wire type {kind}")
    return tag >> 3, _slice(data, position, length), position + length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("varint longer than 64 bits")


def _slice(data: memoryview, start: int, length: int) -> memoryview:
    if start < 0 or length < 0 or start + length > len(data):
        raise IndexError("beyond the end")
    return data[start : start + length]


def _u16(data: memoryview, at: int) -> int:
    return int(struct.unpack_from("<H", data, _within(at))[0])


def _u32(data: memoryview, at: int) -> int:
    return int(struct.unpack_from("<I", data, _within(at))[0])


def _i32(data: memoryview, at: int) -> int:
    return int(struct.unpack_from("<i", data, _within(at))[0])


def _within(at: int) -> int:
    # struct counts a negative offset from the end: never meant here.
    if at < 0:
        raise IndexError("before the start")
    return at
