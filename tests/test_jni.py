"""The Java library: its own tests on this machine's JVM, and what its libraries promise.

On the arm64 library of an APK the same tests run by `runtime/jni/check.py arm64` (make emulated).
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk import errors
from edge_sdk.governor import replay

ROOT = Path(__file__).resolve().parent.parent
JNI = ROOT / "runtime" / "jni"
sys.path.insert(0, str(JNI))
check = importlib.import_module("check")
build = check.build
sys.path.remove(str(JNI))

JAVA = sorted((JNI / "java").rglob("*.java"))


def demand(*needed: str | Path) -> None:
    """Skip without the tools; in CI they must be there."""
    missing = [str(one) for one in needed
               if not (Path(one).exists() if isinstance(one, Path) else shutil.which(one))]
    if missing and os.environ.get("EDGE_SDK_CI"):
        pytest.fail(f"missing: {', '.join(missing)}")
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}; .ci/run names the packages")


@pytest.fixture(scope="module")
def jvm():
    demand("javac", "java", "gcc", build.JNI_HEADERS, *check.JUNIT)


@pytest.fixture(scope="module")
def android():
    """The libraries of all ABIs by name, built and checked."""
    demand("clang-14", "ld.lld-14", "readelf", build.JNI_HEADERS, build.LIBGCC_ARM)
    return {abi.name: build.build_android(abi) for abi in build.ABIS}


def abi(name):
    return next(one for one in build.ABIS if one.name == name)


# ---- answers -----------------------------------------------------------------------------

def test_the_tests_in_java_pass_here_and_python_decides_javas_log_alike(jvm):
    log = build.OUT / "out" / "java_governor.jsonl"
    log.unlink(missing_ok=True)
    assert check.on_host().n_tests >= 50
    pairs = list(replay(log))
    assert len(pairs) == 400
    assert all(logged == now for logged, now in pairs)
    assert any(logged.switched for logged, _ in pairs)


def test_the_tests_in_java_pass_on_androids_x86_64_library(jvm, android):
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        pytest.skip("another processor than x86-64")
    assert check.on_x86_64().n_tests >= 50


def test_a_failing_test_and_a_warning_of_the_jvm_are_seen(jvm, tmp_path):
    script = tmp_path / "java"
    for said, good in (("OK (3 tests)", True), ("OK (3 tests)\nWARNING in native method", False),
                       ("Tests run: 3,  Failures: 1", False)):
        script.write_text(f"#!/bin/sh\necho '{said}'\n")
        script.chmod(0o755)
        if good:
            assert check.run_tests([script], tmp_path, tmp_path, tmp_path).n_tests == 3
        else:
            with pytest.raises(build.BuildError):
                check.run_tests([script], tmp_path, tmp_path, tmp_path)


def test_a_library_of_another_processor_is_a_typed_exception(jvm, android, tmp_path):
    classes = check.compile_tests(build.build_jar())
    other = "arm64-v8a" if os.uname().machine == "x86_64" else "x86_64"
    for library in (android[other], tmp_path / "none.so"):
        with pytest.raises(build.BuildError) as failed:
            check.run_tests(["java"], library, tmp_path, classes)
        assert "org.edgesdk.UnsupportedPlatformException: expected the library" in str(failed.value)
        assert "UnsatisfiedLinkError" not in str(failed.value)


# ---- libraries for Android ----------------------------------------------------------------

def test_core_and_jni_take_at_most_150_kb_of_each_abi(android):
    assert set(android) == {"arm64-v8a", "armeabi-v7a", "x86_64"}
    for library in android.values():
        assert 10_000 < library.stat().st_size <= 150 * 1024


def test_every_native_method_of_java_has_its_function_and_no_function_is_left_over(android):
    native = re.compile(r"static native \w+ (\w+)\(")
    wanted = {f"Java_org_edgesdk_{path.stem}_{method}" for path in JAVA
              for method in native.findall(path.read_text(encoding="utf-8"))}
    assert len(wanted) > 30
    for library in android.values():
        table = build.run(["readelf", "--dyn-syms", "-W", library])
        assert set(re.findall(r"\b(Java_\w+)", table)) == wanted


@pytest.mark.parametrize(("change", "words"), [
    ({"BUDGET": 4096}, "B of 4096"), ({"PAGE": 65536}, "segments aligned to"),
])
def test_a_library_that_is_too_large_or_badly_aligned_is_refused(
        android, monkeypatch, change, words):
    for name, value in change.items():
        monkeypatch.setattr(build, name, value)
    with pytest.raises(build.BuildError, match=words):
        build.check_library(android["arm64-v8a"], abi("arm64-v8a"))


def test_a_library_that_wants_more_of_the_system_is_refused(android):
    with pytest.raises(build.BuildError, match="wants"):
        build.check_library(android["arm64-v8a"], replace(abi("arm64-v8a"), libc={"memset"}))


def test_a_function_that_android_may_lack_does_not_link(android, tmp_path):
    source, made = tmp_path / "printf.c", tmp_path / "printf.o"
    source.write_text("int printf(const char *, ...);\nint JNI_OnLoad(void);\n"
                      "int JNI_OnLoad(void) { return printf(\"\"); }\n")
    clang = ["clang-14", "-target", abi("arm64-v8a").triple, "-fPIC", "-c", source, "-o", made]
    subprocess.run(list(map(str, clang)), check=True)
    link = ["ld.lld-14", *build.LINKING, made, build.stub_libc(abi("arm64-v8a"), tmp_path),
            "-o", tmp_path / "lib.so"]
    with pytest.raises(build.BuildError, match=r"undefined symbol.*printf"):
        build.run(link)


def test_the_archive_holds_all_that_android_studio_takes_and_is_the_same_bytes_again(
        jvm, android):
    first = build.build_aar().read_bytes()
    assert build.build_aar().read_bytes() == first
    with zipfile.ZipFile(build.OUT / build.AAR) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        for name, library in android.items():
            assert archive.read(f"jni/{name}/{build.NAME}") == library.read_bytes()
    assert {"AndroidManifest.xml", "R.txt", "classes.jar", "proguard.txt"} <= set(names)


# ---- sources ---------------------------------------------------------------------------------

def test_classes_are_of_java_8_and_want_nothing_that_android_or_dx_lacks(jvm):
    with zipfile.ZipFile(build.build_jar()) as jar:
        classes = {name: jar.read(name) for name in jar.namelist()}
    assert "org/edgesdk/CodeIndex.class" in classes
    for name, content in classes.items():
        assert content[:8] == b"\xca\xfe\xba\xbe\0\0\0\x34", name
        for foreign in (b"android/", b"java/util/function", b"java/util/stream",
                        b"java/lang/invoke", b"java/time", b"java/nio/file", b"sun/"):
            assert foreign not in content, (name, foreign)


def test_c_sources_know_the_public_header_alone():
    for path in sorted((JNI / "c").glob("*")):
        included = set(re.findall(r'#include [<"]([^>"]+)', path.read_text(encoding="utf-8")))
        assert included <= {"jni.h", "edge_runtime.h", "jni_common.h", "string.h"}, path.name


def test_errors_in_java_have_the_names_and_words_of_python():
    java = (JNI / "java/org/edgesdk/EdgeException.java").read_text(encoding="utf-8")
    for name in ("ERR_WIDTH", "ERR_NOT_FINITE", "ERR_UNTRAINED", "ERR_FORMAT", "ERR_VERSION",
                 "ERR_ABSENT", "ERR_ARGUMENT"):
        error = errors.from_status(name, "text")
        assert type(error).__name__.replace("Error", "Exception") in java
        assert f'"{error.expected}"' in java, name
    for path in JAVA:
        kind = path.stem.removesuffix("Exception")
        if path.stem.endswith("Exception") and path.stem not in ("EdgeException",
                                                                  "ClosedException"):
            assert hasattr(errors, f"{kind}Error") or hasattr(errors, kind), path.name
