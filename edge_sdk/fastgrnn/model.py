"""`FastGRNN`: a trained cell as a file (`.grnn`) that the core runs in place.

The format, and every operation in its order, is in runtime/FORMAT.md: the same file and
frames give the same bits on every processor, step by step or all at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import _native, corefile
from edge_sdk.artifact import publish
from edge_sdk.errors import FormatError
from edge_sdk.fastgrnn import layout
from edge_sdk.fastgrnn.weights import Weights

if TYPE_CHECKING:
    from edge_sdk.fastgrnn.integer import QuantizedWeights


class FastGRNN(_native.FastGRNNCell):
    """A FastGRNN, immutable; `build` or `load` one. Any number of threads may run it at once.

    `n_inputs`, `n_hidden` and `n_classes` say what it is; without a head n_classes is 0 and
    logits are empty. A model in integers (`is_integer`) takes floats and gives floats too:
    features are rounded half up to its input_bits, logits are its integers / 2**logit_bits.
    """

    def __init__(self, data: NDArray[np.uint8], *, verify: bool = True) -> None:
        """Open a file's bytes, (size,) uint8, 8-byte aligned; they must stay unchanged.

        Raises:
            FormatError: Not a .grnn file, or damaged.
            VersionError: Written by a newer version.
        """
        data = corefile.as_bytes(data)
        super().__init__(data, verify)
        self._data = data

    @classmethod
    def build(cls, weights: Weights | QuantizedWeights, *, sparse: bool = False,
              early: Mapping[str, Any] | None = None) -> FastGRNN:
        """Build from arrays.

        Args:
            weights: As `from_module` or an importer makes them, or `integer.quantize`.
            sparse: Store each float matrix without its zeros where that takes fewer bytes;
                the answers are the same to the bit, but take longer.
            early: `EarlyDecision.to_dict()`, kept in the file.

        Raises:
            ShapeError: More than 65536 inputs, hidden units or classes.
        """
        return cls(layout.pack(weights, sparse=sparse, early=early))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = True) -> FastGRNN:
        """Open a file, memory-mapped.

        Raises:
            FormatError: No such file, or damaged.
        """
        try:
            return cls(corefile.read(path, ".grnn"), verify=verify)
        except FormatError as error:
            error.where = error.where or str(path)
            raise

    open = load

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; what stood there before is replaced only by a whole one.

        Raises:
            OutputError: No such folder, or no room.
        """
        with publish(Path(path)) as (temporary,):
            temporary.write_bytes(self._data.data)

    @property
    def ranks(self) -> tuple[int | None, int | None]:
        """The ranks of W and U, None where the matrix is whole."""
        return self.rank_w or None, self.rank_u or None

    @property
    def n_bytes(self) -> int:
        """Bytes of the file."""
        return int(self._data.size)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, or none."""
        return tuple(str(label) for label in self._json("labl", list))

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What makes features from raw data."""
        return dict(self._json("prep", dict))

    @property
    def early(self) -> dict[str, Any] | None:
        """What `EarlyDecision.from_dict` takes, or None."""
        return dict(self._json("erly", dict)) or None

    def quantized(self) -> QuantizedWeights:
        """Return the integers of this file: what exporters and the NumPy twin read.

        Raises:
            FormatError: Its arithmetic is float32.
        """
        return layout.unpack_integers(self._data, self.n_inputs, self.n_hidden, self.labels,
                                      self.preprocessing)

    def stream(self) -> Stream:
        """Return a state of its own, to be fed as frames come."""
        return Stream(self)

    def _json(self, tag: str, kind: type[Any]) -> Any:
        entry = next((e for e in corefile.table(self._data) if e.tag == tag), None)
        if entry is None:
            return kind()
        raw = self._data[entry.offset : entry.offset + entry.size].tobytes()
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise FormatError("JSON", str(error), where=tag, hint="write the file again") from error
        if not isinstance(value, kind):
            raise FormatError(kind.__name__, type(value).__name__, where=tag,
                              hint="write the file again")
        return value


class Stream(_native.FastGRNNStream):
    """What a cell has heard so far; for one thread.

    Its bits are those of `FastGRNN.run` on all frames since the start, however they came.
    An error leaves the state as it was.
    """
