"""Make the files that a device runs: exported models, bundles, indexes, and the inputs for them.

Usage: python runtime/tools/devices/make_files.py FOLDER. Needs the toolchains of `make test`;
with $EDGE_SDK_DATA the bundle of matvit-omniglot, with class codes, and recorded words too.
"""

from __future__ import annotations

import os
import sys
import wave
from pathlib import Path

import numpy as np

from edge_sdk.bundle.reference import GRANULARITIES, pack_reference
from edge_sdk.codes import CodeIndex, InstanceIndex
from edge_sdk.vectors import VectorIndex

TARGETS = {"onnx": ".onnx", "litert": ".tflite"}
SEED = 7
N_OMNIGLOT = 300
"""Held-out images that the bundle of matvit-omniglot is calibrated and evaluated on."""
WORDS = slice(0, 300, 25)
"""Of the 300 recordings that are held out: twelve, of all speakers and most digits."""


def make_models(folder: Path) -> None:
    """Write matvit-digits in int8 with all granularities in one file, for each engine.

    The digits' bundle has it in fp32.
    """
    from edge_sdk.export import export_all
    from edge_sdk.prove import Limits
    from edge_sdk.source import find_source

    outs = {target: folder / f"digits-int8{suffix}" for target, suffix in TARGETS.items()}
    export_all(find_source("matvit-digits"), outs, granularity="XL", elastic=GRANULARITIES,
               quantize="int8", limits=Limits(), report=lambda text: None)


def make_bundles(folder: Path, data: Path | None) -> None:
    """Write the digits' bundle for both engines, and where there are data one with codes."""
    pack_reference("matvit-digits", folder / "digits.edge", targets=tuple(TARGETS))
    if data is not None:
        pack_reference("matvit-omniglot", folder / "omniglot.edge", data=data,
                       n_cases=N_OMNIGLOT)


def make_indexes(folder: Path) -> None:
    """Write indexes of random classes, items and vectors, and queries near to them."""
    random = np.random.default_rng(SEED)
    classes = random.choice(1 << 20, 500, replace=False).astype(np.uint64)
    CodeIndex.build(classes, bits=20).save(folder / "classes.llc")
    bits = random.integers(0, 2, (2000, 128)).astype(np.uint8)
    InstanceIndex.write(folder / "items.llc", [bits], n=len(bits), bits=128)
    # Prefixes of a Matryoshka embedding hold most of its length.
    vectors = (random.normal(size=(2000, 64)) * 0.9 ** np.arange(64)).astype(np.float32)
    VectorIndex.write(folder / "vectors.vec", vectors, dims=(8, 16, 32, 64))
    flips = (1 << random.integers(0, 20, 100).astype(np.uint64)).astype(np.uint64)
    np.savez(folder / "queries.npz",
             classes=np.concatenate([classes[:100], classes[:100] ^ flips]),
             scores=random.normal(size=(100, 20)).astype(np.float32),
             items=bits[:50] ^ (random.random((50, 128)) < 0.1),
             vectors=vectors[:50] + 0.1 * random.normal(size=(50, 64)).astype(np.float32))


def make_words(folder: Path, data: Path | None) -> None:
    """Write recorded words as wav files; made-up sounds where there are no recordings."""
    from edge_sdk.data import fsdd

    random = np.random.default_rng(SEED)
    if data is None:
        t = np.arange(4000) / 8000
        sounds = {f"tone-{hz}": (8000 * np.sin(2 * np.pi * hz * t) + random.normal(0, 200, len(t)))
                  .astype(np.int16) for hz in (200, 440, 1000)}
    else:
        held_out = [r for r in fsdd(data) if r.index < 5]
        sounds = {f"{r.digit}-{r.speaker}-{r.index}": r.samples for r in held_out[WORDS]}
    for name, samples in sounds.items():
        silence = random.normal(0, 3, 2400).astype(np.int16)
        with wave.open(str(folder / f"{name}.wav"), "wb") as wav:
            wav.setparams((1, 2, 8000, 0, "NONE", ""))
            wav.writeframes(np.concatenate([silence, samples, silence]).tobytes())


def main() -> None:
    """Make everything in the folder that the command line names."""
    folder, named = Path(sys.argv[1]), os.environ.get("EDGE_SDK_DATA")
    folder.mkdir(parents=True)
    data = Path(named) if named else None
    make_indexes(folder)
    make_words(folder, data)
    make_models(folder)
    make_bundles(folder, data)


if __name__ == "__main__":
    main()
