"""The core as two files: the same answers from one plain compiler command, on every processor."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parent.parent / "runtime"
VECTORS = Path(__file__).resolve().parent / "vectors"
GUIDE = RUNTIME.parent / "docs" / "embedding-the-core.md"
sys.path.insert(0, str(RUNTIME / "tools"))

import amalgamate  # noqa: E402
import check_core  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
PLAIN = ["-O2"]
"""All that somebody with two files is asked to say."""

BARE = ["-ffreestanding", "-mthumb", "-Os"]
COMPILERS = {
    "x86-64": ["gcc", *PLAIN],
    "x86-64, C99": ["gcc", "-std=c99", *PLAIN],
    "x86-64 with FMA": ["gcc", "-march=haswell", *PLAIN],
    "x86-64, C++17": ["g++", "-x", "c++", "-std=c++17", "-O1"],
    "x86-64, clang": ["clang", *PLAIN],
    "x86-64, clang, C99": ["clang", "-std=c99", *PLAIN],
    "aarch64": ["aarch64-linux-gnu-gcc", *PLAIN],
    "aarch64, clang": ["clang", "--target=aarch64-linux-gnu", *PLAIN],
    "armv7 without NEON": ["arm-linux-gnueabihf-gcc", *PLAIN],
    "armv7 with NEON": ["arm-linux-gnueabihf-gcc", "-mfpu=neon", *PLAIN],
    "cortex-m0plus": ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", *BARE],
    "cortex-m4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard",
                  *BARE],
}
FUSED = re.compile(r"\t(fn?m(?:add|sub)|fml[as]|vfn?m[as]|vfn?m(?:add|sub)\d+[ps][sd])\b")
"""A product that is not rounded before it is added: on ARM, of 32 bits, and on x86-64."""
PRODUCT = re.compile(r"\t(v?fmul|vmul\.f32|vmul[ps][sd])\b")


def needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the two files, and nothing else."""
    out = tmp_path_factory.mktemp("amalgamation")
    done = run(sys.executable, RUNTIME / "tools" / "amalgamate.py", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def compiled(folder: Path):
    """Return compiled(name): the object that a compiler makes of the one source, made once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        command = COMPILERS[name]
        needs(command[0])
        if name not in made:
            target = folder.parent / f"{folder.name}-{re.sub('[^a-z0-9]+', '-', name.lower())}.o"
            done = run(*command, *WARNINGS, "-c", folder / "edge_runtime.c", "-o", target)
            assert done.returncode == 0, done.stderr
            assert not done.stderr
            made[name] = target
        return made[name]

    return get


def tool(name: str, program: str) -> str:
    """Return the binutils that read a compiler's objects."""
    prefix = COMPILERS[name][0].rpartition("-")[0]
    prefix = "aarch64-linux-gnu" if "aarch64" in name else prefix
    return f"{prefix}-{program}" if prefix else program


def test_the_bytes_depend_on_the_sources_alone(folder: Path):
    header, source = amalgamate.amalgamate()
    assert (folder / "edge_runtime.h").read_text() == header
    assert (folder / "edge_runtime.c").read_text() == source
    assert header == (RUNTIME / "include" / "edge_runtime.h").read_text()


def test_every_source_is_in_it_and_no_file_is_needed_but_the_header():
    _, source = amalgamate.amalgamate()
    for path in sorted((RUNTIME / "src").glob("*.c")):
        assert f"/* ==== {path.name} ====" in source
    assert set(re.findall(r'^#include "(.*)"', source, re.MULTILINE)) == {"edge_runtime.h"}


def test_names_that_two_sources_use_become_their_own_and_comments_stay():
    sources = {"a.c": "static int start(int n) { return n; }\n/* start */\n"
                      "int edge_a(s *p) { return start(p->start); }\n",
               "b.c": "typedef struct start {\n    int n, start;\n} start;\n",
               "c.c": "enum { ALONE = 1 };\n"}
    made = amalgamate.unique(sources, [])
    assert made["a.c"] == ("static int start__a(int n) { return n; }\n/* start */\n"
                           "int edge_a(s *p) { return start__a(p->start); }\n")
    assert made["b.c"] == "typedef struct start__b {\n    int n, start;\n} start__b;\n"
    assert made["c.c"] == sources["c.c"]


@pytest.mark.parametrize("name", COMPILERS)
def test_one_command_compiles_it_without_a_warning(compiled, name):
    assert compiled(name).stat().st_size > 0


@pytest.mark.parametrize("name", [name for name in COMPILERS if name != "x86-64, C++17"])
def test_it_needs_no_library_and_shows_the_functions_of_the_header_under_its_own_names(
        compiled, name):
    path = compiled(name)
    needs(tool(name, "nm"))
    symbols = [line.split()[-2:] for line in run(tool(name, "nm"), path).stdout.splitlines()]
    wanted = {symbol for kind, symbol in symbols if kind in "Uw"}
    shown = {symbol for kind, symbol in symbols if kind in "TDRBVW"}
    header = (RUNTIME / "include" / "edge_runtime.h").read_text()
    public = set(re.findall(r"^EDGE_API [^;(]*?(\w+)\(", header, re.MULTILINE))
    assert wanted <= check_core.LIBC | check_core.COMPILER_RUNTIME
    assert len(public) > 60
    assert public <= shown
    assert {symbol for symbol in shown if not symbol.startswith("edge_")} == set()


@pytest.mark.parametrize("name", ["x86-64 with FMA", "aarch64", "aarch64, clang",
                                  "armv7 with NEON", "cortex-m4"])
def test_no_product_is_fused_with_its_sum(compiled, name):
    path = compiled(name)
    needs(tool(name, "objdump"))
    code = run(tool(name, "objdump"), "-d", "--no-show-raw-insn", path).stdout
    assert PRODUCT.search(code)
    assert FUSED.search(code) is None


@pytest.mark.parametrize("name", ["x86-64", "aarch64", "armv7 without NEON", "armv7 with NEON",
                                  "cortex-m0plus", "cortex-m4"])
def test_the_guide_says_how_large_it_is(compiled, name):
    path = compiled(name)
    needs(tool(name, "size"))
    row = re.search(rf"^\| {re.escape(name)} \| `(.+)` \| ([\d,]+) \|$", GUIDE.read_text(),
                    re.MULTILINE)
    assert row[1] in COMPILERS[name]
    text = int(run(tool(name, "size"), path).stdout.splitlines()[1].split()[0])
    assert text == pytest.approx(int(row[2].replace(",", "")), rel=0.05)


def test_fast_math_is_refused(folder: Path):
    needs("gcc")
    done = run("gcc", "-O2", "-ffast-math", "-fsyntax-only", folder / "edge_runtime.c")
    assert done.returncode != 0
    assert "changes the answers" in done.stderr


@pytest.mark.parametrize("test", ["codes", "fastgrnn", "governor", "logmel", "mrl", "mrl_file",
                                  "sparse", "vectors"])
def test_the_tests_of_the_core_pass_on_it(compiled, folder, test):
    check(folder, [], compiled("x86-64"), COMPILERS["x86-64"], test)


@pytest.mark.parametrize("test", ["fastgrnn", "logmel", "mrl", "governor"])
@pytest.mark.parametrize("name", ["aarch64", "aarch64, clang"])
def test_arm_gives_the_same_bits(compiled, folder, name, test):
    needs("qemu-aarch64-static", "aarch64-linux-gnu-gcc")
    check(folder, ["qemu-aarch64-static"], compiled(name), [*COMPILERS["aarch64"], "-static"], test)


def check(folder: Path, emulator: list[str], core: Path, compiler: list[str], test: str) -> None:
    """Link a test of the core with the object, and run it on the vectors."""
    program = folder.parent / f"{core.stem}-{test}"
    done = run(*compiler, "-ffp-contract=off", "-I", folder, "-I", RUNTIME / "src",
               RUNTIME / "tests" / f"test_{test}.c", core, "-o", program, "-lm")
    assert done.returncode == 0, done.stderr
    done = run(*emulator, program, VECTORS)
    assert done.returncode == 0, done.stderr + done.stdout
