"""Check what the core promises of its objects: size, C99 and C++, no libc but memcpy and memset.

Usage: python3 runtime/tools/check_core.py. Exit 1 if a promise does not hold.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

RUNTIME = Path(__file__).resolve().parent.parent
SOURCES = sorted((RUNTIME / "src").glob("*.c"))


class Part(NamedTuple):
    """Sources that a device takes or leaves together, and the bytes they may have.

    Code and constants count, whatever the optimization.
    """

    name: str
    prefixes: tuple[str, ...]
    budget: int


PARTS = [
    Part("sequences", ("logmel", "fastgrnn"), 16 * 1024),
    Part("sparse", ("sparse",), 16 * 1024),
    Part("the rest", ("",), 64 * 1024),  # codes, cascades, governor, vectors
]
"""A source belongs to the first part that has a prefix of its name."""

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
C99 = ["-std=c99", *WARNINGS]
HOT = re.findall(r"set\(EDGE_HOT ([^)]*)\)", (RUNTIME / "CMakeLists.txt").read_text())[0].split()
"""The sources that CMakeLists.txt compiles with -O3 in the build type Release."""
RELEASE = ["-O2", "-DNDEBUG", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden"]
"""The flags of CMakeLists.txt in the build type Release."""

X86, ARM64, ARM32 = "gcc", "aarch64-linux-gnu-gcc", "arm-linux-gnueabihf-gcc"
NEON = "-mfpu=neon"
BARE = ["arm-none-eabi-gcc", *C99, "-Os", "-ffp-contract=off", "-ffreestanding"]

LIBC = {"memcpy", "memset"}
COMPILER_RUNTIME = {
    "_GLOBAL_OFFSET_TABLE_",  # of the linker
    # libgcc, where a 32-bit processor lacks the instruction: 64-bit integers,
    "__aeabi_idiv", "__aeabi_uidiv", "__aeabi_ldivmod", "__aeabi_uldivmod", "__aeabi_lmul",
    "__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr", "__clzdi2", "__ctzdi2", "__popcountdi2",
    "__aeabi_uidivmod",
    "__gnu_thumb1_case_uqi", "__gnu_thumb1_case_uhi",  # a switch,
    # floats
    "__aeabi_fadd", "__aeabi_fsub", "__aeabi_fmul", "__aeabi_fdiv", "__aeabi_fcmpeq",
    "__aeabi_i2f", "__aeabi_f2iz", "__aeabi_fcmplt", "__aeabi_fcmple", "__aeabi_fcmpge",
    "__aeabi_fcmpgt",
    # and doubles.
    "__aeabi_i2d", "__aeabi_ui2d",
    "__aeabi_dadd", "__aeabi_dsub", "__aeabi_dmul", "__aeabi_ddiv", "__aeabi_d2f", "__aeabi_f2d",
    "__aeabi_l2d", "__aeabi_ul2d", "__aeabi_dcmpeq", "__aeabi_dcmplt", "__aeabi_dcmple",
    "__aeabi_dcmpge", "__aeabi_dcmpgt",
}
"""All that the core may leave undefined, with LIBC."""

KERNEL_POINTER = "active"
"""The one global that may be written: the kernels in use (src/kernels.c)."""


class Build(NamedTuple):
    """A command that compiles a source, and what it is called here."""

    name: str
    command: list[str]


COMPILES = [
    Build("gcc C99", ["gcc", *C99, *RELEASE]),
    Build("clang C99", ["clang", *C99, *RELEASE]),
    Build("g++ C++17", ["g++", "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1"]),
    Build("aarch64", [ARM64, *C99, *RELEASE]),
    Build("armhf neon", [ARM32, NEON, *C99, *RELEASE]),
    Build("cortex-m0plus", [*BARE, "-mcpu=cortex-m0plus", "-mthumb"]),
    Build("cortex-m4", [*BARE, "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16",
                        "-mfloat-abi=hard"]),
]
SIZES = [Build("aarch64 -Os", [ARM64, *C99, "-Os", *RELEASE[1:]]),
         Build("aarch64 Release", [ARM64, *C99, *RELEASE])]
LINKED = [build for build in COMPILES if build.name not in ("clang C99", "g++ C++17")]
"""Whose undefined names are looked at."""


def run(command: Iterable[str | Path]) -> subprocess.CompletedProcess[str]:
    """Return the finished process, whatever its status."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False)


def compile_all(build: Build, folder: Path) -> tuple[list[Path], str]:
    """Return the objects of all sources, and what the compiler complained of."""
    folder = folder / re.sub(r"\W+", "_", build.name)
    folder.mkdir(parents=True, exist_ok=True)
    objects, complaints = [], []
    for source in SOURCES:
        target = folder / f"{source.stem}.o"
        hot = ["-O3"] if source.stem in HOT and RELEASE[0] in build.command else []
        done = run([*build.command, *hot, f"-I{RUNTIME / 'include'}", "-c", source, "-o", target])
        objects.append(target)
        if done.returncode or done.stderr:
            complaints.append(done.stderr.strip())
    return objects, "\n".join(complaints)


def tool(build: Build, name: str) -> str:
    """Return the binutils that belong to a build's compiler: `nm`, `size`."""
    prefix = build.command[0].rpartition("-")[0]
    return f"{prefix}-{name}" if prefix else name


def symbols(build: Build, objects: list[Path]) -> list[tuple[Path, str, str]]:
    """Return (object, kind, name) of each symbol; kinds are those of nm."""
    found = []
    for path in objects:
        for line in run([tool(build, "nm"), path]).stdout.splitlines():
            *_, kind, name = line.split()
            found.append((path, kind, name))
    return found


def text_size(build: Build, objects: list[Path]) -> int:
    """Return the bytes of code and constants; relocated constants count too."""
    lines = run([tool(build, "size"), "-A", "-d", *objects]).stdout.splitlines()
    sections = [line.split() for line in lines if line.startswith((".text", ".rodata",
                                                                  ".data.rel.ro"))]
    return sum(int(section[1]) for section in sections)


def sizes_of_parts(build: Build, objects: list[Path]) -> Iterator[tuple[Part, int]]:
    """Yield each part with the bytes of its objects."""
    left = objects
    for part in PARTS:
        mine = [path for path in left if path.stem.startswith(part.prefixes)]
        left = [path for path in left if path not in mine]
        yield part, text_size(build, mine) if mine else 0


def foreign(build: Build, objects: list[Path]) -> tuple[set[str], set[str]]:
    """Return the names of other libraries that the objects want, libgcc's apart."""
    every = symbols(build, objects)
    ours = {name for _, kind, name in every if kind not in "Uw"}
    wanted = {name for _, kind, name in every if kind in "Uw"} - ours
    return wanted - COMPILER_RUNTIME, wanted & COMPILER_RUNTIME


def writable(folder: Path) -> list[str]:
    """Return the globals that can be written; without -fPIC, constants stay apart from them."""
    build = Build("globals", ["gcc", *C99, "-O2", "-fno-pic"])
    objects, _ = compile_all(build, folder)
    return [f"{path.stem}.{name}" for path, kind, name in symbols(build, objects)
            if kind in "bBdDC"]


def report(what: str, detail: str, holds: bool) -> bool:
    """Print one line; return whether it holds."""
    print(f"{what:<9}{detail:<62}{'ok' if holds else 'FAILED'}", flush=True)
    return holds


def main() -> int:
    """Run all checks; return the exit status."""
    missing = sorted({build.command[0] for build in [*COMPILES, *SIZES]
                      if not shutil.which(build.command[0])})
    if missing:
        print(f"missing  {' '.join(missing)}; .ci/run installs them", file=sys.stderr)
        return 1
    good = True
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        folder = Path(name)
        builds = [*COMPILES, *SIZES]
        done = dict(zip((build.name for build in builds),
                        pool.map(lambda build: compile_all(build, folder), builds), strict=True))
        for build in COMPILES:
            complaints = done[build.name][1]
            good &= report("compile", f"{build.name:<15}{len(SOURCES)} sources", not complaints)
            if complaints:
                print(complaints, file=sys.stderr)
        if not good:
            return 1
        for build in [*SIZES, *COMPILES[-2:]]:
            for part, size in sizes_of_parts(build, done[build.name][0]):
                good &= report("size", f"{build.name:<17}{part.name:<11}{size:>6} B  "
                               f"limit {part.budget} B", size <= part.budget)
        for build in LINKED:
            names, runtime = foreign(build, done[build.name][0])
            good &= report("symbols", f"{build.name:<15}{' '.join(sorted(names))}, "
                           f"{len(runtime)} of the compiler's", names <= LIBC)
        found = writable(folder)
        good &= report("globals", " ".join(found), found == [f"kernels.{KERNEL_POINTER}"])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
