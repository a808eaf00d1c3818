"""What an artifact says of itself: the metadata schema, and reading and writing it.

An artifact is one file for one engine with `Metadata` inside, as JSON in the
format's native place, and a seal behind it (see `edge_sdk.containers`).
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk import containers
from edge_sdk.errors import FormatError, OutputError, VersionError
from edge_sdk.granularity import Granularity, parse

SCHEMA_VERSION = 3
"""The newest that this version reads; a file names the oldest it needs.

2 brought sequences, 3 sparse layers.
"""

SUFFIX = {target: suffix for suffix, target in containers.SUFFIXES.items()}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name, shape and NumPy dtype; -1 stands for the frames of a call."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Comparison:
    """The file in its engine beside the model in eager mode, on `n` real inputs.

    `max_difference` is over all outputs, absolute; `argmax_agreement` over the
    first output, in 0..1. `limit` says what was demanded, in words.
    """

    n: int
    max_difference: float
    argmax_agreement: float
    limit: str


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy in 0..1 on `n` labelled inputs of a held-out split.

    `eager` is that of the model in fp32 before export, on the same inputs.
    """

    n: int
    top1: float
    eager: float
    split: str


@dataclass(frozen=True)
class GranularityInfo:
    """One granularity of the file. None means not measured, or not known of this engine.

    `coverage` is the fraction of graph nodes that the accelerated delegate took.
    """

    widths: tuple[int, ...]
    parameters: int | None
    macs: int | None
    coverage: float | None = None
    comparison: Comparison | None = None
    accuracy: Accuracy | None = None


@dataclass(frozen=True)
class Golden:
    """A few real inputs and what the file answered, to be run again on the device.

    Arrays are kept as JSON (see `pack_array`). Inputs have a leading axis of
    cases. Each output may differ by `limit` times the largest absolute golden
    output, or by `limit` where that is below 1 (another processor sums in another
    order).
    """

    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    limit: float = 0.0


@dataclass(frozen=True)
class Signature:
    """What a method of a file takes and gives, in the order of the graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Method(Signature):
    """One way to advance a recurrent model: `least` to `most` frames a call, None for any number.

    `coverage` is the fraction of graph nodes that the accelerated delegate took, None if
    not known of this engine.
    """

    least: int
    most: int | None
    coverage: float | None = None


@dataclass(frozen=True)
class SequenceInfo:
    """What a file of a recurrent model says beyond other files.

    Every method takes frames and the state, and gives the next state and the logits
    after each frame: a caller that passes the state on may cut a sequence as it likes.

    Attributes:
        n_inputs, n_hidden, n_classes: Features in a frame, numbers in the state, classes.
        ranks: Of W and U; None where the matrix is whole.
        gate, update: The non-linearities.
        parameters, macs: `macs` are multiply-accumulates of one frame.
        methods: By name.
        state: {input: output} to pass on from call to call; zeros before the first frame.
        comparison: The file beside the model on whole real sequences, run "whole" and
            "step" by step; over states and the logits after each frame.
        accuracy: Of the logits after the last frame, run whole.
        streaming_difference: The largest difference of whole and step by step.
    """

    n_inputs: int
    n_hidden: int
    n_classes: int
    ranks: tuple[int | None, int | None]
    gate: str
    update: str
    parameters: int
    macs: int
    methods: dict[str, Method]
    state: dict[str, str]
    comparison: dict[str, Comparison] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    streaming_difference: float | None = None


@dataclass(frozen=True)
class SparseLayer:
    """One weight of a file with sparse layers.

    Attributes:
        name: The layer's in the model, or the tensor's in the file.
        form: "dense", or how it is stored and run.
        zeros, entries: How many of its values are zero, and how many there are.
        n_bytes, dense_bytes: What it takes in the file, and would take as float32.
        why: Why this form, with the figures it was chosen by.
    """

    name: str
    form: str
    zeros: int
    entries: int
    n_bytes: int
    dense_bytes: int
    why: str = ""


@dataclass(frozen=True)
class SparseInfo:
    """What a file with sparse layers says of them: their values, their speed in words."""

    values: str
    speed: str
    layers: tuple[SparseLayer, ...]


@dataclass(frozen=True)
class Metadata:
    """All that an artifact says of itself; see DESIGN decision 2 for why each is here.

    Attributes:
        model: Zoo name or module:factory.
        family: "matformer", whose files hold granularities, or "fastgrnn", whose files
            hold the methods of `sequence` and neither granularities nor inputs of their own.
        target: The engine: executorch, litert or onnx.
        quantization: "none" or "int8".
        elastic: Whether the file holds several granularities over shared weights.
        trained: Widths of each trained granularity, one for each layer.
        boundaries: Where each layer's FFN is cut into blocks, the last cut included;
            in ONNX any of them can be chosen for each call and layer.
        granularities: The granularities that were exported and proved, by name.
        dims: Matryoshka dims of the head, () if none; `dim` is the exported one.
        inputs, outputs: In the order of the graph; the first output is the logits.
        preprocessing: What to do to raw data, in words and numbers.
        labels: Class names in the order of the logits.
        toolchain: Versions of what wrote the file.
        weights_sha256: Digest of the universal model's weights.
        golden: Of a sequence model, outputs are by way of running, "whole" and "step".
        schema_version: The oldest that can read the file.
        sequence: Of a recurrent model; None of others.
        sparse: Of a file whose weights were looked at for zeros; None of others.
    """

    model: str
    family: str
    target: str
    quantization: str
    elastic: bool
    trained: dict[str, tuple[int, ...]]
    boundaries: tuple[tuple[int, ...], ...]
    granularities: dict[str, GranularityInfo]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dims: tuple[int, ...] = ()
    dim: int | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    toolchain: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    golden: Golden = field(default_factory=Golden)
    schema_version: int = 1
    sequence: SequenceInfo | None = None
    sparse: SparseInfo | None = None

    @property
    def signatures(self) -> dict[str, Signature]:
        """What can be run, by name: the granularities, or the methods of a recurrent model."""
        if self.sequence is not None:
            return dict(self.sequence.methods)
        return dict.fromkeys(self.granularities, Signature(self.inputs, self.outputs))

    def to_json(self) -> str:
        """Return the metadata as one line of JSON."""
        raw = asdict(self)
        for name in ("sequence", "sparse"):
            if raw[name] is None:
                del raw[name]  # older versions do not know it
        return json.dumps(raw, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: bytes | str, *, where: str) -> Metadata:
        """Return the metadata that `text` holds.

        Raises:
            FormatError: Not our JSON, or a field is missing or of another kind.
            VersionError: Written by a newer version.
        """
        try:
            raw = json.loads(text)
            if raw["schema_version"] > SCHEMA_VERSION:
                raise VersionError(
                    f"metadata of version {SCHEMA_VERSION} or older",
                    f"version {raw['schema_version']}", where=where,
                    hint="pip install --upgrade edge-inference-sdk",
                )
            for name in ("model", "family", "target", "quantization", "weights_sha256"):
                if not isinstance(raw.get(name, ""), str):
                    raise TypeError(f"{name} is {raw[name]!r}")
            return cls(**{**raw, **_typed(raw)})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError("metadata of edge_sdk", f"{type(error).__name__}: {error}",
                              where=where, hint="export the file again") from error

    def resolve(self, text: str) -> Granularity:
        """Return the granularity that `text` names, in this model's canonical words."""
        return parse(text, self.trained)


def _typed(raw: dict[str, Any]) -> dict[str, Any]:
    def specs(entries: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(e["name"], tuple(e["shape"]), e["dtype"]) for e in entries)

    def method(entry: dict[str, Any]) -> Method:
        return Method(**{**entry, "inputs": specs(entry["inputs"]),
                         "outputs": specs(entry["outputs"])})

    def sequence(entry: dict[str, Any] | None) -> SequenceInfo | None:
        if (raw["family"] == "fastgrnn") != (entry is not None):
            raise TypeError(f"family {raw['family']!r}, and sequence is {entry!r:.20}")
        if entry is not None and (len(entry["state"]) != 1 or not any(
                each["least"] == 1 for each in entry["methods"].values())):
            raise ValueError("no state, or no method for one frame")
        return None if entry is None else SequenceInfo(**{
            **entry, "ranks": tuple(entry["ranks"]),
            "methods": {name: method(each) for name, each in entry["methods"].items()},
            "comparison": {way: Comparison(**c) for way, c in entry["comparison"].items()},
            "accuracy": entry["accuracy"] and Accuracy(**entry["accuracy"]),
        })

    def sparse(entry: dict[str, Any] | None) -> SparseInfo | None:
        return None if entry is None else SparseInfo(
            entry["values"], entry["speed"],
            tuple(SparseLayer(**layer) for layer in entry["layers"]))

    def info(entry: dict[str, Any]) -> GranularityInfo:
        comparison, accuracy = entry["comparison"], entry["accuracy"]
        return GranularityInfo(**{
            **entry, "widths": tuple(entry["widths"]),
            "comparison": comparison and Comparison(**comparison),
            "accuracy": accuracy and Accuracy(**accuracy),
        })

    return {
        "trained": {name: tuple(widths) for name, widths in raw["trained"].items()},
        "boundaries": tuple(tuple(cuts) for cuts in raw["boundaries"]),
        "granularities": {name: info(entry) for name, entry in raw["granularities"].items()},
        "inputs": specs(raw["inputs"]), "outputs": specs(raw["outputs"]),
        "dims": tuple(raw["dims"]), "labels": tuple(raw["labels"]),
        "golden": Golden(**raw["golden"]), "sequence": sequence(raw.get("sequence")),
        "sparse": sparse(raw.get("sparse")),
    }


@dataclass(frozen=True)
class Artifact:
    """A verified file: where it is, its digest, and what it says of itself."""

    path: Path
    sha256: str
    metadata: Metadata


def open_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Verify `path` and return what it says of itself; loads no engine.

    Raises:
        FormatError: Not an artifact, truncated, or damaged.
        VersionError: Written by a newer version.
    """
    path = Path(path)
    digest = containers.verify(path)
    text = containers.read_metadata(path)
    return Artifact(path, digest, Metadata.from_json(text, where=str(path)))


def pack_array(array: NDArray[Any]) -> dict[str, Any]:
    """Return a JSON form of `array`: dtype, shape, zlib-compressed little-endian base64."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    packed = base64.b64encode(zlib.compress(little.tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "zlib": packed}


def unpack_array(packed: Mapping[str, Any]) -> NDArray[Any]:
    """Return the array that `pack_array` packed.

    Raises:
        FormatError: It is none.
    """
    try:
        dtype = np.dtype(packed["dtype"]).newbyteorder("<")
        data = zlib.decompress(base64.b64decode(packed["zlib"]))
        flat = np.frombuffer(data, dtype)
        return flat.reshape(packed["shape"]).astype(dtype.newbyteorder("="))
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise FormatError("a packed array", f"{type(error).__name__}: {error}", where="golden",
                          hint="export the file again") from error


def weights_digest(tensors: Arrays) -> str:
    """Return the sha256 over names, dtypes, shapes and little-endian bytes, by sorted name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.name} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def seal_json(content: Mapping[str, Any]) -> str:
    """Return the sha256 of `content` as JSON of sorted keys without spaces, in UTF-8.

    A manifest stores it beside its content, so that a change of either is seen.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@contextmanager
def publish(*outputs: str | os.PathLike[str]) -> Iterator[list[Path]]:
    """Give a temporary path for each output; move all into place if the block succeeds.

    Whatever leaves the block early, an error or Ctrl-C, leaves no file behind and
    whatever stood at the outputs before as it was.

    Raises:
        OutputError: A folder is missing, not writable, or full.
    """
    finals = [Path(output) for output in outputs]
    folders: list[Path] = []
    try:
        try:
            for final in finals:
                folders.append(Path(tempfile.mkdtemp(prefix=".edge_sdk-", dir=final.parent)))
            partials = [folder / final.name for folder, final in zip(folders, finals, strict=True)]
            yield partials
            for partial, final in zip(partials, finals, strict=True):
                _demand_movable(partial, final)  # all of them, before the first is moved
            for partial, final in zip(partials, finals, strict=True):
                os.replace(partial, final)
        except OSError as error:
            # Of a file elsewhere, say a toolchain's missing library: not ours to explain.
            if error.filename is not None and not _is_below(error.filename, finals):
                raise
            raise OutputError("a writable output folder with space",
                              error.strerror or str(error),
                              where=", ".join(sorted({str(f.parent) for f in finals})),
                              hint="make the folder, or choose another --out") from error
    finally:
        for folder in folders:
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()


def _is_below(path: str | bytes, finals: Sequence[Path]) -> bool:
    parents = [Path(os.fsdecode(path)).resolve(), *Path(os.fsdecode(path)).resolve().parents]
    return any(final.parent.resolve() in parents for final in finals)


def _demand_movable(partial: Path, final: Path) -> None:
    if not partial.is_file():
        raise FileNotFoundError(errno.ENOENT, f"{final.name} was never written")
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{final.name} is a folder")
