"""The installed core: found by CMake and by pkg-config, and used as a program of yours would."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sounds

import edge_sdk
from edge_sdk import Budget, CodeIndex
from edge_sdk.audio.logmel import FEATURE_BITS, LogMelConfig, log_mel
from edge_sdk.fastgrnn.model import FastGRNN
from edge_sdk.governor import Choice, Governor
from edge_sdk.zoo.fastgrnn import runtime_file

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ROOT / "runtime"
EXAMPLES = RUNTIME / "examples"
WARNINGS = "-Wall -Wextra -Wpedantic -Werror"

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="not installed: cmake")


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False, timeout=300, **options)


def made(*command: str | Path, **options) -> str:
    """Return what a command prints; it must succeed."""
    done = run(*command, **options)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def installed(folder: Path, *options: str) -> Path:
    """Build the library alone and install it; the folder is moved before it is used."""
    build, prefix, moved = folder / "build", folder / "prefix", folder / "moved here"
    made("cmake", "-S", RUNTIME, "-B", build, f"-DCMAKE_INSTALL_PREFIX={prefix}",
         "-DCMAKE_INSTALL_LIBDIR=lib", *options)
    made("cmake", "--build", build, "--target", "edge_runtime")
    made("cmake", "--install", build)
    return prefix.rename(moved)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def programs(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the examples' programs by name, each built by find_package."""
    folder = tmp_path_factory.mktemp("examples")
    for language in ("c", "cpp"):
        made("cmake", "-S", EXAMPLES / language, "-B", folder / language,
             f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release",
             f"-DCMAKE_{'C' if language == 'c' else 'CXX'}_FLAGS={WARNINGS}")
        made("cmake", "--build", folder / language)
    return {"classify": folder / "c/classify", "govern": folder / "c/govern",
            "spoken": folder / "cpp/spoken"}


# ---- what is installed -----------------------------------------------------------------------


def test_library_header_and_both_descriptions_are_installed_and_nothing_else(prefix):
    files = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    assert files == {
        "include/edge_runtime.h", "lib/libedge_runtime.a", "lib/pkgconfig/edge_runtime.pc",
        "lib/cmake/edge_runtime/edge_runtime-config.cmake",
        "lib/cmake/edge_runtime/edge_runtime-config-release.cmake",
        "lib/cmake/edge_runtime/edge_runtime-config-version.cmake"}


def test_a_shared_library_is_built_on_request_and_shows_the_public_functions_alone(tmp_path):
    prefix = installed(tmp_path, "-DBUILD_SHARED_LIBS=ON")
    version = edge_sdk.__version__
    library = prefix / "lib" / f"libedge_runtime.so.{version}"
    assert (prefix / "lib" / "libedge_runtime.so").resolve() == library.resolve()
    shown = {line.split()[-1] for line in made("nm", "-D", "--defined-only", library).splitlines()}
    header = (RUNTIME / "include" / "edge_runtime.h").read_text()
    assert shown == set(re.findall(r"^EDGE_API [^;(]*?(\w+)\(", header, re.MULTILINE))
    assert f"libedge_runtime.so.{version.rpartition('.')[0]}" in made("readelf", "-d", library)


def test_the_python_wheel_gets_none_of_it(tmp_path):
    nanobind = pytest.importorskip("nanobind")
    made("cmake", "-S", RUNTIME, "-B", tmp_path, "-DSKBUILD=ON", "-DBUILD_SHARED_LIBS=ON",
         f"-Dnanobind_DIR={nanobind.cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}")
    script = (tmp_path / "cmake_install.cmake").read_text()
    assert "/edge_sdk\" TYPE MODULE" in script
    assert "edge_runtime.h" not in script
    assert "edge_runtime.pc" not in script


# ---- how it is found -------------------------------------------------------------------------

MAIN = '#include <edge_runtime.h>\n#include <stdio.h>\n' \
       'int main(void) { puts(edge_version()); return 0; }\n'


def project(folder: Path, lines: str, *, language: str = "C") -> Path:
    folder.mkdir()
    (folder / f"main.{'c' if language == 'C' else 'cpp'}").write_text(MAIN)
    (folder / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.18)\nproject(yours {language})\n{lines}\n"
        f"add_executable(main main.{'c' if language == 'C' else 'cpp'})\n"
        "target_link_libraries(main PRIVATE edge_runtime::edge_runtime)\n")
    return folder


@pytest.mark.parametrize(("how", "language"), [("add_subdirectory", "C"), ("FetchContent", "CXX")])
def test_another_project_builds_it_inside_itself(tmp_path, how, language):
    lines = f'add_subdirectory("{RUNTIME}" core)' if how == "add_subdirectory" else (
        "include(FetchContent)\n"
        f'FetchContent_Declare(edge_runtime SOURCE_DIR "{RUNTIME}")\n'
        "FetchContent_MakeAvailable(edge_runtime)")
    source = project(tmp_path / "yours", lines, language=language)
    made("cmake", "-S", source, "-B", tmp_path / "build")
    targets = made("cmake", "--build", tmp_path / "build", "--target", "help")
    assert "test_codes" not in targets
    made("cmake", "--build", tmp_path / "build", "--target", "main")
    assert made(tmp_path / "build" / "main").strip() == edge_sdk.__version__
    assert "-Werror" not in (tmp_path / "build" / "CMakeCache.txt").read_text()


def test_find_package_refuses_another_minor_version(tmp_path, prefix):
    source = project(tmp_path / "yours", "find_package(edge_runtime 0.999 REQUIRED)")
    done = run("cmake", "-S", source, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert done.returncode != 0
    assert f"version: {edge_sdk.__version__}" in done.stderr


@pytest.mark.parametrize(("compiler", "suffix"), [("cc", "c"), ("c++", "cpp")])
def test_pkg_config_finds_it_where_it_was_moved(tmp_path, prefix, compiler, suffix):
    if shutil.which("pkg-config") is None:
        pytest.skip("not installed: pkg-config")
    found = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"), "PATH": "/usr/bin:/bin"}
    assert made("pkg-config", "--modversion", "edge_runtime",
                env=found).strip() == edge_sdk.__version__
    (tmp_path / f"main.{suffix}").write_text(MAIN)
    # As in a Makefile: the shell takes the quotes of a path with spaces.
    made("sh", "-c", f'eval {compiler} main.{suffix} -o main '
         '"$(pkg-config --cflags --libs edge_runtime)"', env=found, cwd=tmp_path)
    assert made(tmp_path / "main").strip() == edge_sdk.__version__


# ---- the examples ----------------------------------------------------------------------------


def test_the_c_example_decodes_codes_as_python_does(programs, tmp_path):
    rng = np.random.default_rng(3)
    table = np.unique(rng.integers(0, 2, (300, 24)), axis=0)
    index = CodeIndex.build(table)
    index.save(tmp_path / "codes.llc")
    scores = (rng.normal(0, 0.6, (200, 24)) + 2 * table[rng.integers(0, len(table), 200)]
              - 1).astype(np.float32)
    scores.tofile(tmp_path / "scores.f32")
    lines = made(programs["classify"], tmp_path / "codes.llc", tmp_path / "scores.f32")
    printed = [re.fullmatch(r"class (\d+)  penalty (\S+)  (known|unknown)", line)
               for line in lines.splitlines()]
    answers = index.decode_ord(scores)
    np.testing.assert_array_equal([int(line[1]) for line in printed], answers.ids)
    np.testing.assert_allclose([float(line[2]) for line in printed], answers.penalties, rtol=1e-5)
    known = index.known((scores >= 0).astype(np.uint8))
    assert [line[3] == "known" for line in printed] == known.tolist()
    assert 0 < known.sum() < len(known)


def features_of(samples: np.ndarray, model: FastGRNN) -> np.ndarray:
    config = LogMelConfig(**model.preprocessing["log_mel"])
    return log_mel(samples, config).astype(np.float32) / 2**FEATURE_BITS


def test_the_cpp_example_hears_what_python_hears(programs, tmp_path):
    model = FastGRNN.load(runtime_file())
    for hz in (180, 400):
        features = features_of(sounds.tone(hz, 0.5), model)
        features.tofile(tmp_path / "features.f32")
        lines = made(programs["spoken"], runtime_file(), tmp_path / "features.f32").splitlines()
        logits = model.run(features)
        np.testing.assert_array_equal(np.array(lines[1:], np.float32), logits)
        assert lines[0] == model.labels[int(np.argmax(logits))]


def test_the_cpp_example_hears_words_that_were_spoken(programs, data_root, tmp_path):
    from edge_sdk.data import fsdd

    model = FastGRNN.load(runtime_file())
    held_out = [recording for recording in fsdd(data_root) if recording.index < 5][::15]
    right = 0
    for recording in held_out:
        features_of(recording.samples, model).tofile(tmp_path / "features.f32")
        heard = made(programs["spoken"], runtime_file(), tmp_path / "features.f32").split()[0]
        right += heard == model.labels[recording.digit]
    assert len(held_out) == 20
    assert right >= 18


@pytest.mark.parametrize("latency_ms", [1.0, 12.0, 25.0])
def test_the_c_example_decides_as_python_does(programs, latency_ms):
    lines = made(programs["govern"], latency_ms).splitlines()
    choices = [Choice(name, 2.0 * 2**i, 2.5 * 2**i, accuracy=0.80 + 0.02 * i, risk=0.0)
               for i, name in enumerate(("S", "M", "L", "XL"))]
    expected = []
    with Governor(choices) as governor:
        budget = Budget(latency_ms=latency_ms)
        for i in range(600):
            now_s = i * 0.1
            decision = governor.decide(budget, now_s=now_s)
            took_ms = choices[decision.index].latency_p50_ms * (2 if 200 <= i < 350 else 1)
            if i == 0 or decision.switched:
                expected.append(f"{now_s:5.1f} s  {choices[decision.index].granularity:<2}  "
                                f"p95 {decision.predicted_p95_ms:.2f} ms  "
                                f"slowdown {decision.slowdown:.2f}")
            governor.observe(decision, took_ms, now_s=now_s + took_ms / 1000)
    assert [line.rpartition("  ")[0] for line in lines] == expected


def test_the_examples_refuse_what_they_cannot_read(programs, tmp_path):
    (tmp_path / "bad.grnn").write_bytes(b"x" * 100)
    (tmp_path / "odd.f32").write_bytes(b"x" * 5)
    for program, model, features, says in [
        ("classify", tmp_path / "bad.grnn", tmp_path / "odd.f32", "not a file of this kind"),
        ("classify", tmp_path / "none.llc", tmp_path / "odd.f32", "none.llc"),
        ("spoken", tmp_path / "bad.grnn", tmp_path / "odd.f32", "not a file of this kind"),
        ("spoken", runtime_file(), tmp_path / "odd.f32", "expected frames of"),
        ("spoken", runtime_file(), tmp_path / "none.f32", "none.f32"),
    ]:
        done = run(programs[program], model, features)
        assert done.returncode == 1
        assert says in done.stderr
    assert run(programs["govern"]).returncode == 2
