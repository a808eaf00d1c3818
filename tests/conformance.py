"""What the engines' conformance test needs of the tiny model, on devices without torch too.

    python tests/conformance.py FOLDER     exports its files, and what eager mode answers

With $EDGE_SDK_CONFORMANCE naming that folder, tests/test_engines.py runs on them; elsewhere it
exports them itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

FOLDER = "EDGE_SDK_CONFORMANCE"
TARGETS = ("litert", "onnx")
"""Engines that need no torch."""
N_IMAGES, SEED = 16, 7


def folder() -> Path | None:
    """Return the folder of files that were exported elsewhere, if there is one."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else None


def images() -> np.ndarray:
    """Return the images of the test, (16, 1, 8, 8) float32."""
    stored = folder()
    if stored is not None:
        return np.load(stored / "images.npy")
    import tiny

    return tiny.cases(N_IMAGES, seed=SEED)[0].numpy()


def logits(widths: Sequence[int], of: np.ndarray) -> np.ndarray:
    """Return what eager mode answers to `images` at `widths`, (16, 10)."""
    stored = folder()
    if stored is not None:
        assert np.array_equal(of, images())
        return np.load(stored / f"logits-{_name(widths)}.npy")
    import tiny

    return tiny.logits(widths, of)


def exported(target: str, kind: str, quantize: str):
    """Return a file that was exported elsewhere, opened and verified; skip without its engine."""
    from edge_sdk.artifact import SUFFIX, open_artifact

    if target not in TARGETS:
        pytest.skip(f"{target} needs torch, which this device does without")
    return open_artifact(folder() / f"{kind}-{quantize}{SUFFIX[target]}")


def write(to: Path) -> None:
    """Export every file of the test, and what eager mode answers."""
    import tiny
    from conftest import ELASTIC, SINGLE

    import edge_sdk
    from edge_sdk.artifact import SUFFIX

    to.mkdir(parents=True)
    chosen = images()
    for target in TARGETS:
        for kind in ("single", "elastic"):
            for quantize in ("none", "int8"):
                export = edge_sdk.export(
                    tiny.source(), to / f"{kind}-{quantize}{SUFFIX[target]}", target=target,
                    quantize=quantize, granularity=SINGLE,
                    elastic=ELASTIC if kind == "elastic" else None)
                for info in export.metadata.granularities.values():
                    np.save(to / f"logits-{_name(info.widths)}.npy",
                            tiny.logits(info.widths, chosen))
    np.save(to / "images.npy", chosen)  # last: where it lies, all the others do


def _name(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
