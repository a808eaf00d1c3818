"""`CoreFFN`: a MatFormer FFN that the core evaluates in place, without an engine.

Source: Devvrit et al. 2023 (arXiv:2310.07707), section 3.1: granularity i of an FFN keeps its
first m_i hidden units. Two kinds of `.mrl` files say exactly that. The up-projection is cut
into blocks at the granularities' boundaries, each a head whose "classes" are the block's
hidden units; a ReLU follows. The down-projection is a tied head (MRL-E) whose "classes" are
the coordinates of the embedding and whose dims are the widths: its logits at dim m_i are the
down-projection of the first m_i hidden units.

The same file and pixels give the same bits on every processor, in C, Python and Java.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_sdk.artifact import publish, seal_json
from edge_sdk.cascade.head import Floats, Head, rows
from edge_sdk.errors import FormatError, GranularityError, OutputError, ShapeError, VersionError
from edge_sdk.granularity import trained_names

SCHEMA_VERSION = 1
MANIFEST, DOWN = "manifest.json", "down.mrl"
DAMAGED = "write the layers again"


class CoreFFN:
    """down(relu(up(x))) of the first hidden units; `build`, `from_module` or `open` one.

    Attributes:
        widths: Hidden units of each granularity, growing.
        granularities: {name: hidden units}, smallest first; the largest is XL.
        n_inputs: Numbers that `embed` takes.
        dim: Coordinates of the embedding.
        weights_sha256: Digest of the universal model's weights, "" if unknown; a bundle's
            manifest has the same one.
    """

    def __init__(self, up: Sequence[Head], down: Head, *, weights_sha256: str = "") -> None:
        """Join opened layers.

        Raises:
            ShapeError: They do not fit one another.
        """
        self._up, self._down = tuple(up), down
        self.widths = tuple(int(end) for end in np.cumsum([block.n_classes for block in up]))
        plain = all(len(block.dims) == 1 and not block.normalized for block in up)
        if not up or not plain or not down.tied or down.normalized or \
                tuple(down.dims) != self.widths or len({block.dim for block in up}) != 1:
            raise ShapeError("blocks of hidden units over the same inputs, and a tied head whose "
                             "dims are where they end",
                             f"blocks {[(block.n_classes, block.dim) for block in up]}, dims "
                             f"{list(down.dims)}, tied {down.tied}", where="the layers",
                             hint="CoreFFN.build makes layers that fit")
        self.granularities = {name: widths[0]
                              for name, widths in trained_names([self.widths]).items()}
        self.n_inputs, self.dim = int(up[0].dim), int(down.n_classes)
        self.weights_sha256 = weights_sha256

    @classmethod
    def build(
        cls, up: ArrayLike, up_bias: ArrayLike, down: ArrayLike, down_bias: ArrayLike, *,
        widths: Sequence[int], weights_sha256: str = "",
    ) -> CoreFFN:
        """Build the layers from the matrices of an FFN.

        Args:
            up: (d_ff, n_inputs).
            up_bias: (d_ff,).
            down: (dim, d_ff).
            down_bias: (dim,).
            widths: Hidden units of each of up to four granularities, growing; the last is d_ff.
            weights_sha256: Digest of the model that they are of.

        Raises:
            ShapeError: Shapes do not fit.
            GranularityError: The widths do not grow up to d_ff, or are more than four.
            CheckpointError: A weight is NaN, infinite or beyond 1e15.
        """
        matrix, offset = np.asarray(up, np.float32), np.asarray(up_bias, np.float32)
        ends = [int(width) for width in widths]
        if matrix.ndim != 2 or offset.shape != matrix.shape[:1]:
            raise ShapeError("up (d_ff, n_inputs) and up_bias (d_ff,)",
                             f"{list(matrix.shape)} and {list(offset.shape)}", where="`up`",
                             hint="the weight and bias of a Linear")
        if not ends or ends != sorted(set(ends)) or ends[0] < 1 or ends[-1] != len(matrix):
            raise GranularityError(f"widths that grow from 1 up and end at d_ff={len(matrix)}",
                                   str(ends), where="`widths`", hint="for example 32,64,128,256")
        blocks = zip(np.split(matrix, ends[:-1]), np.split(offset, ends[:-1]), strict=True)
        return cls([Head.build([weight], [bias]) for weight, bias in blocks],
                   Head.build([down], [down_bias], tied=True, dims=ends),
                   weights_sha256=weights_sha256)

    @classmethod
    def from_module(cls, ffn: Any, *, weights_sha256: str = "") -> CoreFFN:
        """Build from an `edge_sdk.nn.matformer.NestedFFN` with a ReLU and biases.

        Raises:
            ShapeError: It is another module.
            CheckpointError: A weight is NaN, infinite or beyond 1e15.
        """
        activation = type(getattr(ffn, "activation", None)).__name__
        state = {name: tensor.detach().cpu().numpy() for name, tensor in ffn.state_dict().items()}
        names = ("up.weight", "up.bias", "down.weight", "down.bias")
        if activation != "ReLU" or set(state) != set(names):
            raise ShapeError(f"a NestedFFN with a ReLU, {', '.join(names)}",
                             f"{type(ffn).__name__} with {activation}, {', '.join(state)}",
                             where="`ffn`", hint="CoreFFN.build takes the matrices themselves")
        return cls.build(*(state[name] for name in names), widths=ffn.widths,
                         weights_sha256=weights_sha256)

    def embed(self, pixels: Any, granularity: str = "XL") -> Floats:
        """Return the embeddings at one granularity, shape (n, dim) float32.

        Args:
            pixels: (n, n_inputs) or (n_inputs,), float32.
            granularity: A name in `granularities`.

        Raises:
            ShapeError: Another shape or dtype.
            GranularityError: No such granularity.
            CodeError: NaN, infinity or a number beyond 1e15.
        """
        if granularity not in self.granularities:
            raise GranularityError(f"one of {', '.join(self.granularities)}", repr(granularity),
                                   where="`granularity`", hint="see `granularities`")
        x, width = rows(pixels, self.n_inputs), self.granularities[granularity]
        # The core reads the first `width`; the rest is there for the shape.
        hidden = np.zeros((len(x), self.widths[-1]), np.float32)
        start = 0
        for block, end in zip(self._up, self.widths, strict=True):
            if end > width:
                break
            hidden[:, start:end] = np.maximum(block.at(x), 0)
            start = end
        return self._down.at(hidden, width)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write up-0.mrl, up-1.mrl, ..., down.mrl and manifest.json; the folder is made.

        Raises:
            OutputError: No such parent folder, or no room.
        """
        to = Path(folder)
        try:
            to.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError("a folder to write to", error.strerror or str(error), where=str(to),
                              hint="make its parent, or choose another") from error
        layers = {f"up-{i}.mrl": block for i, block in enumerate(self._up)} | {DOWN: self._down}
        with publish(*(to / name for name in (*layers, MANIFEST))) as written:
            for path, layer in zip(written, layers.values(), strict=False):
                layer.save(path)
            files = {path.name: {"n_bytes": path.stat().st_size,
                                 "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
                     for path in written[:-1]}
            content = {"schema_version": SCHEMA_VERSION, "activation": "relu",
                       "n_inputs": self.n_inputs, "dim": self.dim,
                       "granularities": self.granularities,
                       "up": [name for name in layers if name != DOWN], "down": DOWN,
                       "weights_sha256": self.weights_sha256, "files": files}
            written[-1].write_text(json.dumps({**content, "seal": seal_json(content)}, indent=1)
                                   + "\n", encoding="utf-8")

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> CoreFFN:
        """Open what `save` wrote, every file's size and sha256 compared.

        Raises:
            FormatError: A file is missing or damaged, or the manifest is none.
            VersionError: Written by a newer version.
        """
        path = Path(folder) / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema_version"] > SCHEMA_VERSION:
                raise VersionError(f"layers of version {SCHEMA_VERSION} or older",
                                   f"version {content['schema_version']}", where=str(path),
                                   hint="pip install --upgrade edge-inference-sdk")
            if content.pop("seal") != seal_json(content) or content["activation"] != "relu":
                raise ValueError("the seal does not match, or the activation is no ReLU")
            up = [_layer(path.parent, name, content["files"]) for name in content["up"]]
            down = _layer(path.parent, content["down"], content["files"])
            found = cls(up, down, weights_sha256=str(content["weights_sha256"]))
            said = (content["n_inputs"], content["dim"], content["granularities"])
            if said != (found.n_inputs, found.dim, found.granularities):
                raise ValueError(f"layers of {found.n_inputs} inputs and {found.granularities}")
            return found
        except (ShapeError, GranularityError) as error:
            raise FormatError(error.expected, error.got, where=str(path), hint=DAMAGED) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError,
                RecursionError) as error:
            raise FormatError("the manifest of an FFN's layers, and the layers",
                              f"{type(error).__name__}: {error}", where=str(path),
                              hint=DAMAGED) from error


def _layer(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> Head:
    if Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no plain file name")
    data = np.fromfile(folder / name, np.uint8)
    digest = hashlib.sha256(data.data).hexdigest()
    if (data.size, digest) != (files[name]["n_bytes"], files[name]["sha256"]):
        raise FormatError(f"{files[name]['n_bytes']} B, sha256 {files[name]['sha256'][:16]}",
                          f"{data.size} B, sha256 {digest[:16]}", where=str(folder / name),
                          hint=DAMAGED)
    return Head(data)
