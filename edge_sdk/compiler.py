"""This machine's C compiler, for whoever writes C or measures it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edge_sdk.errors import ComparisonError

STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
TIMEOUT_S = 300


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
                          timeout=TIMEOUT_S)
    numbers = re.findall(r"\d+\.\d+(?:\.\d+)?", done.stdout.partition("\n")[0])
    return " ".join([Path(command[0]).name, *numbers[-1:]])


def compile_c(
    command: Sequence[str], sources: Sequence[Path], out: Path, flags: Sequence[str] = STRICT, *,
    hint: str = "a fault of the exporter or the compiler: no file was written",
) -> None:
    """Compile and link `sources`, or only compile with -c among the flags.

    Raises:
        ComparisonError: The compiler refused them.
    """
    done = subprocess.run([*command, *flags, *map(str, sources), "-o", str(out)],
                          capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        raise ComparisonError("C that compiles without a warning", (lines or ["an error"])[0],
                              where=shlex.join(command), hint=hint)
