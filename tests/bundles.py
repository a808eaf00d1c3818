"""Bundles to test with: one of small made-up parts, and the digits' reference bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk import containers
from edge_sdk.artifact import GranularityInfo, Metadata, TensorSpec
from edge_sdk.bundle import Cases
from edge_sdk.cascade import Cascade, CodeSignal, Head
from edge_sdk.codes import CodeIndex

DIMS, N_CLASSES, BITS, N_CASES = (4, 8), 5, 12, 6
PROFILE = {
    "schema_version": 1, "target": "onnx", "repeats": 10, "load_ms": 1.0, "cases": "6 of: noise",
    "device": {"key": "k", "model": None, "cpu": "a cpu", "n_cores": 2}, "plans": [], "levels": [],
}
"""Fits a bundle; nobody measured it."""


def metadata(**changes: Any) -> Metadata:
    """Return what a model of granularities S and XL would say of itself."""
    plain: dict[str, Any] = {
        "model": "made up", "family": "matformer", "target": "onnx", "quantization": "none",
        "elastic": True, "trained": {"S": (8,), "XL": (64,)}, "boundaries": ((8, 64),),
        "granularities": {"S": GranularityInfo((8,), 10, 100),
                          "XL": GranularityInfo((64,), 20, 400)},
        "inputs": (TensorSpec("x", (1, 3), "float32"),),
        "outputs": (TensorSpec("embedding", (1, DIMS[-1]), "float32"),),
        "labels": tuple("abcde"), "weights_sha256": "1" * 64,
    }
    return Metadata(**{**plain, **changes})


def write_artifact(path: Path, **changes: Any) -> Path:
    """Write a sealed .onnx that holds metadata and no graph: enough for a bundle, for no engine."""
    def field(number: int, content: bytes) -> bytes:
        n, length = len(content), b""
        while n > 0x7F:
            length, n = length + bytes([n & 0x7F | 0x80]), n >> 7
        return bytes([number << 3 | 2]) + length + bytes([n]) + content

    text = metadata(**changes).to_json().encode()
    path.write_bytes(field(14, field(1, containers.KEY.encode()) + field(2, text)))
    containers.seal(path)
    return path


def head(dims: tuple[int, ...] = DIMS, n_classes: int = N_CLASSES, seed: int = 0) -> Head:
    """Return a random Matryoshka head."""
    rng = np.random.default_rng(seed)
    return Head.build([rng.normal(size=(n_classes, dim)) for dim in dims],
                      [rng.normal(size=n_classes) for _ in dims])


def code_signal(bits: int = BITS, width: int = BITS, dim: int = DIMS[-1]) -> CodeSignal:
    """Return random class codes of `bits` with a random projection to `width` bits."""
    rng = np.random.default_rng(3)
    index = CodeIndex.build(rng.permutation(1 << bits)[:N_CLASSES].astype(np.uint64), bits=bits)
    # Two layers, as an embedding's bits are seldom linear.
    return CodeSignal(index, (
        Head.build([rng.normal(size=(7, dim))], [rng.normal(size=7)]),
        Head.build([rng.normal(size=(width, 7))], [rng.normal(size=width)])))


def parts(folder: Path) -> dict[str, Any]:
    """Return the arguments of `pack` for a bundle that has every kind of file."""
    rng = np.random.default_rng(1)
    made, codes = head(), code_signal()
    cascades = {
        "dims": Cascade(made, [("XL", 4), ("XL", 8)], [0.75]),
        "never": Cascade(made, [("S", 8), ("XL", 8)], [np.inf], signal="margin", agree=True),
        "coded": Cascade(made, [("S", 8), ("XL", 8)], [0.125], signal="llc_margin", codes=codes,
                         provenance={"method": "given", "n": 3}),
    }
    x = rng.normal(size=(N_CASES, 3)).astype(np.float32)
    cases = Cases({"x": x}, np.arange(N_CASES) % N_CLASSES, "noise, ä")
    return {"models": [write_artifact(folder / "m.onnx")], "head": made, "cascades": cascades,
            "default": "never", "codes": codes, "unknown_distance": 3, "cases": cases,
            "profile": PROFILE, "notes": {"split": "none", "µ": [1, 2.5, None]}}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder`, by its path from there."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def reseal(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a bundle's manifest, and seal it as the packer would."""
    path = folder / "manifest.json"
    raw = json.loads(path.read_text("utf-8"))
    del raw["seal"]
    change(raw)
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    raw["seal"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(raw), "utf-8")


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put other bytes into a bundle, with the digest that belongs to them."""
    (folder / name).write_bytes(content)
    entry = {"n_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    reseal(folder, lambda raw: raw["files"][name].update(entry))


_packed: dict[str, Path] = {}


def packed_digits(factory: Any) -> Path:
    """Return the reference bundle of matvit-digits, packed once a session; copy it to change it.

    Args:
        factory: pytest's `tmp_path_factory`.
    """
    if "digits" not in _packed:
        from edge_sdk.bundle.reference import pack_reference

        out = factory.mktemp("bundles") / "digits.edge"
        _packed["digits"] = pack_reference("matvit-digits", out).path
    return _packed["digits"]
