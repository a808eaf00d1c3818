"""A generated model run on this machine, and its size on a microcontroller."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.compiler import TIMEOUT_S, compile_c, version
from edge_sdk.errors import ComparisonError

DEVICE = "Cortex-M0+"
DEVICE_COMPILER, DEVICE_SIZE = "arm-none-eabi-gcc", "arm-none-eabi-size"
DEVICE_FLAGS = ("-mcpu=cortex-m0plus", "-mthumb", "-Os", "-std=c99", "-ffunction-sections",
                "-fdata-sections")


@dataclass(frozen=True)
class Footprint:
    """What a compiler for a microcontroller made of a model.

    Attributes:
        flash_bytes: Constants and code, without the self-test.
        selftest_bytes: What the self-test would add.
        stack_bytes: The most that any function takes with all it calls, without the
            compiler's own library (a float library, where there is no float unit); None
            where the compiler can not say.
        compiler: Its name, version and main options.
    """

    flash_bytes: int
    selftest_bytes: int
    stack_bytes: int | None
    compiler: str


def run_program(program: Path, data: bytes) -> bytes:
    """Return what a generated harness writes for `data`.

    Raises:
        ComparisonError: The self-test failed, or the program did.
    """
    done = subprocess.run([str(program)], input=data, capture_output=True, check=False,
                          timeout=TIMEOUT_S)
    if done.returncode != 0:
        what = {1: "its self-test failed", 2: "too little input or output",
                3: "an input was refused"}.get(done.returncode, f"status {done.returncode}")
        raise ComparisonError("a program that runs", what, where="generated C",
                              hint="the compiler miscomputes this model; no file was written")
    return done.stdout


def footprint(source: Path, no_selftest: str) -> Footprint | None:
    """Return a source's sizes on a Cortex-M0+; None without a compiler for it.

    Args:
        source: Its header lies beside it.
        no_selftest: The macro that leaves the self-test out.
    """
    if shutil.which(DEVICE_COMPILER) is None or shutil.which(DEVICE_SIZE) is None:
        return None
    small, whole = source.with_name("small.o"), source.with_name("whole.o")
    flags = [*DEVICE_FLAGS, "-c"]
    compile_c([DEVICE_COMPILER], [source], whole, flags)
    try:
        compile_c([DEVICE_COMPILER], [source], small,
                  [*flags, f"-D{no_selftest}", "-fcallgraph-info=su"])
    except ComparisonError:  # gcc before 10 has no such option.
        compile_c([DEVICE_COMPILER], [source], small, [*flags, f"-D{no_selftest}"])
    graphs = sorted(source.parent.glob("small*.ci")) or sorted(source.parent.glob("*.ci"))
    stack = worst_stack(graphs[-1].read_text(encoding="utf-8")) if graphs else None
    flash = _size(small)
    return Footprint(flash, _size(whole) - flash, stack,
                     f"{version([DEVICE_COMPILER])} {DEVICE_FLAGS[0]} -Os")


def worst_stack(graph: str) -> int | None:
    """Return the deepest stack of gcc's -fcallgraph-info=su; None if a frame has no bound."""
    own: dict[str, int] = {}
    for title, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]*)"', graph):
        found = re.search(r"(\d+) bytes \((\w+)", label)
        if found and found[2] != "static":
            return None
        own[title] = int(found[1]) if found else 0
    calls: dict[str, set[str]] = {title: set() for title in own}
    for caller, callee in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
        calls.setdefault(caller, set()).add(callee)

    def depth(title: str, above: frozenset[str]) -> int:
        below = [depth(callee, above | {title}) for callee in calls.get(title, ())
                 if callee not in above]
        return own.get(title, 0) + max(below, default=0)

    return max((depth(title, frozenset({title})) for title in own), default=None)


def _size(object_file: Path) -> int:
    done = subprocess.run([DEVICE_SIZE, str(object_file)], capture_output=True, text=True,
                          check=True, timeout=TIMEOUT_S)
    text, data, *_ = done.stdout.splitlines()[1].split()
    return int(text) + int(data)
