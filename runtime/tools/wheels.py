"""Build the wheels that devices install, for x86-64 and aarch64, on one machine.

Usage: python3 runtime/tools/wheels.py [--python python3.12] [--processor aarch64] [--out dist].
Exit 1 if a wheel can not be built or is not what it should be.

Zig (PyPI's `ziglang`) compiles for both processors against the glibc of manylinux_2_28, with a
C++ library of its own inside; `auditwheel` proves it; `check_wheel.py` looks at the result
again. Wheels hold no operators for ExecuTorch: those are built where ExecuTorch
is installed (runtime/executorch/operators.cmake). All that is made on the way lies in
build/wheels.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from check_wheel import GLIBC, PROCESSORS, faults

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build/wheels"

TOOLS = ["auditwheel==6.*", "nanobind>=2.4", "ninja", "scikit-build-core>=0.11", "wheel",
         "ziglang==0.17.*"]
"""From PyPI, into an environment of their own: one with ExecuTorch would be found and built for."""

FACTS = ("import sys, sysconfig; print(sys.implementation.name, *sys.version_info[:2],"
         " sysconfig.get_path('include'), sysconfig.get_config_h_filename(), sep='\\n')")

WIDTHS = """
#include "pyconfig.h"
#include <stddef.h>
#include <sys/types.h>
#include <time.h>
#include <wchar.h>
#ifdef WORDS_BIGENDIAN
#error big-endian headers
#endif
#define SAME(type, size) _Static_assert(sizeof(type) == (size), #type)
SAME(short, SIZEOF_SHORT); SAME(int, SIZEOF_INT); SAME(long, SIZEOF_LONG);
SAME(long long, SIZEOF_LONG_LONG); SAME(void *, SIZEOF_VOID_P); SAME(size_t, SIZEOF_SIZE_T);
SAME(float, SIZEOF_FLOAT); SAME(double, SIZEOF_DOUBLE); SAME(off_t, SIZEOF_OFF_T);
SAME(pid_t, SIZEOF_PID_T); SAME(time_t, SIZEOF_TIME_T); SAME(wchar_t, SIZEOF_WCHAR_T);
"""
"""What the headers of an interpreter for this processor must say of another one, too."""

TOOLCHAIN = """set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR {processor})
set(CMAKE_C_COMPILER {tools}/{processor}-cc)
set(CMAKE_CXX_COMPILER {tools}/{processor}-c++)
set(CMAKE_AR {tools}/ar)
set(CMAKE_RANLIB {tools}/ranlib)
"""


class WheelError(Exception):
    """A wheel could not be built, or is not what it should be."""


def run(command: list[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Return what a command printed.

    Raises:
        WheelError: It failed; with the end of what it said.
    """
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        raise WheelError(f"{' '.join(map(str, command[:4]))} ...: exit status "
                         f"{done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


class Interpreter:
    """A Python to build for, by its headers; wheels of both processors are built with it.

    Attributes:
        tag: "cp311".
        python: The environment's, with the tools.
        headers: A copy of its headers, with one pyconfig.h.
    """

    def __init__(self, command: str) -> None:
        """Set up the environment and the headers in build/wheels.

        Raises:
            WheelError: No such interpreter, not CPython, or one without headers.
        """
        try:
            name, major, minor, include, config = run([command, "-c", FACTS]).split("\n")[:5]
        except (OSError, ValueError) as error:
            raise WheelError(f"{command}: {error}") from error
        if name != "cpython" or not (Path(include) / "Python.h").is_file():
            raise WheelError(f"{command}: expected CPython with its headers in {include}\n"
                             "hint: install them (Debian: python3-dev), or leave it out")
        self.tag = f"cp{major}{minor}"
        self.home = BUILD / self.tag
        self.python = self.home / "venv/bin/python"
        self.headers = self.home / "include"
        self._make_environment(command)
        self._copy_headers(Path(include), Path(config))

    def _make_environment(self, command: str) -> None:
        ready, wanted = self.home / "venv/ready", "\n".join(TOOLS)
        if ready.is_file() and ready.read_text() == wanted:
            return
        run([command, "-m", "venv", "--clear", self.home / "venv"])
        run([self.python, "-m", "pip", "install", "--quiet", *TOOLS])
        ready.write_text(wanted)

    def _copy_headers(self, include: Path, config: Path) -> None:
        shutil.rmtree(self.headers, ignore_errors=True)
        shutil.copytree(include, self.headers)
        text = config.read_text()
        # Debian's pyconfig.h only includes that of the processor, from a folder that no cross
        # compiler searches.
        told = re.search(r"<(x86_64-linux-gnu/python[0-9.]+/pyconfig\.h)>", text)
        if told:
            text = (include.parent / told[1]).read_text()
        (self.headers / "pyconfig.h").write_text(text)


def write_compilers(interpreter: Interpreter, processor: str) -> Path:
    """Write Zig's compilers for a processor as commands; return a CMake toolchain file."""
    folder = interpreter.home / "tools"
    folder.mkdir(exist_ok=True)
    target = f"-target {processor}-linux-gnu.{'.'.join(map(str, GLIBC))}"
    commands = {f"{processor}-cc": f"cc {target}", f"{processor}-c++": f"c++ {target}",
                "ar": "ar", "ranlib": "ranlib"}
    for name, arguments in commands.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{interpreter.python}" -m ziglang {arguments} "$@"\n')
        script.chmod(0o755)
    toolchain = folder / f"{processor}.cmake"
    toolchain.write_text(TOOLCHAIN.format(processor=processor, tools=folder))
    return toolchain


def build(interpreter: Interpreter, processor: str, out: Path) -> Path:
    """Return the wheel of one Python for one processor, checked.

    Raises:
        WheelError: It could not be built, or is not what it should be.
    """
    home = interpreter.home / processor
    shutil.rmtree(home / "built", ignore_errors=True)
    toolchain = write_compilers(interpreter, processor)
    zig = {"ZIG_GLOBAL_CACHE_DIR": str(BUILD / "zig"),
           "ZIG_LOCAL_CACHE_DIR": str(BUILD / "zig-local")}
    sizes = home / "widths.c"
    home.mkdir(parents=True, exist_ok=True)
    sizes.write_text(WIDTHS)
    run([interpreter.home / f"tools/{processor}-cc", "-I", interpreter.headers, "-c", sizes,
         "-o", sizes.with_suffix(".o")], zig)
    run([interpreter.python, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation",
         "--wheel-dir", home / "built", f"--config-settings=build-dir={home / 'cmake'}",
         f"--config-settings=cmake.define.CMAKE_TOOLCHAIN_FILE={toolchain}",
         f"--config-settings=cmake.define.Python_INCLUDE_DIR={interpreter.headers}"],
        {**zig, "_PYTHON_HOST_PLATFORM": f"linux-{processor}",
         "SETUPTOOLS_EXT_SUFFIX": f".cpython-{interpreter.tag[2:]}-{processor}-linux-gnu.so"})
    built, = (home / "built").glob("*.whl")
    tagged = tag(interpreter, built, processor)
    found = faults(tagged)
    if found:
        raise WheelError("\n".join([f"{tagged.name} is not fit to be given away:", *found]))
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(tagged, out / tagged.name))


def tag(interpreter: Interpreter, built: Path, processor: str) -> Path:
    """Return the wheel with the tag of manylinux, once auditwheel has found it to be such.

    `auditwheel repair` knows only the tags of its own processor, and there is no library to
    take in.

    Raises:
        WheelError: It needs a newer glibc, or other libraries.
    """
    wanted = f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{processor}"
    shown = run([interpreter.python, "-m", "auditwheel", "show", built])
    # It breaks its lines where it likes.
    told = re.search(rf'tag: "manylinux_(\d+)_(\d+)_{processor}"', " ".join(shown.split()))
    if told is None or (int(told[1]), int(told[2])) > GLIBC:
        raise WheelError(f"expected a wheel of {wanted} or older, auditwheel says\n{shown}")
    run([interpreter.python, "-m", "wheel", "tags", "--remove", "--platform-tag", wanted, built])
    tagged, = built.parent.glob(f"*{wanted}.whl")
    return tagged


def main() -> int:
    """Build what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", action="append", metavar="COMMAND",
                        help="an interpreter to build for, again for more; this one by default")
    parser.add_argument("--processor", action="append", choices=PROCESSORS,
                        help="again for more; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="a folder; dist")
    asked = parser.parse_args()
    try:
        for command in asked.python or [sys.executable]:
            interpreter = Interpreter(command)
            for processor in asked.processor or PROCESSORS:
                start = time.monotonic()
                wheel = build(interpreter, processor, asked.out)
                print(f"wrote   {wheel.name}  {wheel.stat().st_size / 1e6:.1f} MB  "
                      f"in {time.monotonic() - start:.0f} s", flush=True)
    except WheelError as error:
        print(f"WheelError: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
