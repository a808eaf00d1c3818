"""Reads and writes a .tflite as objects of its schema."""

from __future__ import annotations

from typing import Any

import numpy as np

_FILE_IDENTIFIER = b"TFL3"
_DATA_ALIGNMENT = 16  # schema.fbs: Buffer.data is (force_align: 16)
_INDEX_ALIGNMENT = 4  # schema.fbs: Uint16Vector.values is (force_align: 4)


def read(content: bytes) -> Any:
    """Return a ModelT whose buffers are views of `content`."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    for buffer in model.buffers:
        # The quantizer's buffers come as slices, which would be packed byte by byte.
        if buffer.data is not None:
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return model


def pack(model: Any) -> bytes:
    """Return the .tflite of a ModelT."""
    builder = _builder(sum(b.data.size for b in model.buffers if b.data is not None))
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def is_tflite(content: bytes) -> bool:
    """Return whether `content` says of itself that it is a .tflite."""
    return content[4:8] == _FILE_IDENTIFIER


def _builder(n_bytes: int) -> Any:
    """Return a FlatBuffer builder that stores equal vectors once, and aligns data.

    Channel scales, zero points and indices of sparse tensors are no buffers, so the
    converter repeats them in every signature. FlatBuffers refer to a vector by its
    offset, and several tables may refer to one.
    """
    import flatbuffers  # type: ignore[import-untyped]

    class Builder(flatbuffers.Builder):
        def __init__(self) -> None:
            # Growing copies all that is written; what is not data seldom exceeds this.
            super().__init__(n_bytes + (1 << 20))
            self.vectors: dict[tuple[str, bytes], int] = {}

        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
            least = {1: _DATA_ALIGNMENT, 2: _INDEX_ALIGNMENT}.get(elemSize, alignment)
            return int(super().StartVector(elemSize, numElems, least))

        def CreateNumpyVector(self, x: np.ndarray[Any, Any]) -> int:
            key = (x.dtype.str, x.tobytes())
            if key not in self.vectors:
                self.vectors[key] = super().CreateNumpyVector(x)
            return self.vectors[key]

    return Builder()
