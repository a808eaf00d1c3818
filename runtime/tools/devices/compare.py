"""Compare what two devices answered (`answers.py`). Exit 1 where they differ by more than allowed.

Usage: python runtime/tools/devices/compare.py THIS OTHER.
Numbers of fp32 files may differ by 1e-5 of the largest, or by 1e-5 where that is below 1. In
int8 the last bit of a sum may take an activation to the next step, and each processor has its own
kernels: their outputs may differ by what the golden outputs of int8 files may. Decisions must be
the same, those of int8 files too.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 1e-5
LIMIT_INT8 = 5e-2
"""Of the largest output. Measured between x86-64 (AVX-512) and arm64 under QEMU, 40 digits:
1.2e-2 in ONNX Runtime, 9e-4 in LiteRT; int8 itself is 2e-2 and 9e-3 from fp32."""


def differences(this: Path, other: Path) -> tuple[dict[str, float], list[str]]:
    """Return the largest difference of each group of arrays, and what is wrong, a line each.

    A group is a file's or bundle's name with its engine.
    """
    largest: dict[str, float] = defaultdict(float)
    wrong = []
    with np.load(this / "numbers.npz") as here, np.load(other / "numbers.npz") as there:
        wrong += [f"{name}: only on one device" for name in set(here.files) ^ set(there.files)]
        for name in sorted(set(here.files) & set(there.files)):
            one, two = here[name], there[name]
            if one.shape != two.shape:
                wrong.append(f"{name}: shapes {one.shape} and {two.shape}")
                continue
            difference = float(np.abs(one.astype(np.float64) - two).max())
            group = "/".join(name.split("/")[:2 if ".edge/" in name else 1])
            # A NaN compares false: ask for what is right, not for what is wrong.
            scale = max(1.0, float(np.abs(one).max()))
            if not difference <= scale * (LIMIT_INT8 if "int8" in name else LIMIT):
                wrong.append(f"{name}: differs by {difference:.2g}")
            largest[group] = max(largest[group], difference)
    return dict(largest), wrong


def undecided(this: Any, other: Any) -> list[str]:
    """Return which decisions differ, a line each."""
    wrong = []
    for name in sorted(set(this) | set(other)):
        one, two = this.get(name), other.get(name)
        if one != two or one is None:
            rows = [f"#{i}: {a} and {b}" for i, (a, b) in enumerate(zip(one, two, strict=False))
                    if a != b] if isinstance(one, list) and isinstance(two, list) else []
            wrong.append(f"{name}: other decisions{'; ' * bool(rows)}{'; '.join(rows[:3])[:400]}")
    return wrong


def main() -> int:
    """Print the differences; return the exit status."""
    this, other = map(Path, sys.argv[1:])
    largest, wrong = differences(this, other)
    exact = [json.loads((folder / "exact.json").read_text()) for folder in (this, other)]
    wrong += undecided(*exact)
    for group, difference in largest.items():
        print(f"compare {group:<24} max difference {difference:.1e}")
    print(f"compare {len(exact[0])} lists of decisions, identical" if not wrong
          else "\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
