"""Runs C compilers: a generated model on this machine, and its size on a microcontroller."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import ComparisonError

STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
DEVICE = "Cortex-M0+"
DEVICE_COMPILER, DEVICE_SIZE = "arm-none-eabi-gcc", "arm-none-eabi-size"
DEVICE_FLAGS = ("-mcpu=cortex-m0plus", "-mthumb", "-Os", "-std=c99", "-ffunction-sections",
                "-fdata-sections")
_TIMEOUT_S = 300


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


def host_compiler() -> list[str] | None:
    """Return this machine's C compiler as a command: $CC, cc, gcc or clang; None without."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in (named, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def version(command: Sequence[str]) -> str:
    """Return a compiler's name and version, such as `gcc 12.2.0`."""
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False,
                          timeout=_TIMEOUT_S)
    numbers = re.findall(r"\d+\.\d+(?:\.\d+)?", done.stdout.partition("\n")[0])
    return " ".join([Path(command[0]).name, *numbers[-1:]])


def compile_c(command: Sequence[str], sources: Sequence[Path], out: Path,
              flags: Sequence[str] = STRICT) -> None:
    """Compile and link `sources`, or only compile with -c among the flags.

    Raises:
        ComparisonError: The compiler refused them.
    """
    done = subprocess.run([*command, *flags, *map(str, sources), "-o", str(out)],
                          capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        raise ComparisonError("C that compiles without a warning", (lines or ["an error"])[0],
                              where=shlex.join(command),
                              hint="a fault of the exporter or the compiler: no file was written")


def run_program(program: Path, data: bytes) -> bytes:
    """Return what a generated harness writes for `data`.

    Raises:
        ComparisonError: The self-test failed, or the program did.
    """
    done = subprocess.run([str(program)], input=data, capture_output=True, check=False,
                          timeout=_TIMEOUT_S)
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
                          check=True, timeout=_TIMEOUT_S)
    text, data, *_ = done.stdout.splitlines()[1].split()
    return int(text) + int(data)
