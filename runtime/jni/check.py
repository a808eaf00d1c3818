"""Run the tests in Java, on this machine's library and on those of an APK.

    python runtime/jni/check.py host      the library for this machine's JVM
    python runtime/jni/check.py x86_64    Android's x86-64 library, in the same JVM
    python runtime/jni/check.py arm64     Android's arm64 library, in an arm64 JVM under QEMU
    python runtime/jni/check.py armv7     Android's 32-bit library: minutes, as that JVM interprets

Needs an environment with edge_sdk: Python's answers are written first (tests/jni_files.py).
An emulated JVM comes from Debian, once, into build/; nothing is installed. A warning of
-Xcheck:jni is a failure. Exit 1 if a test fails.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import build
from build import ABIS, HERE, JAR, NAME, OUT, BuildError, run

ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "runtime" / "tools"))
import debian  # noqa: E402

JUNIT = [Path("/usr/share/java/junit4.jar"), Path("/usr/share/java/hamcrest.jar")]
"""Of Debian's junit4."""

PACKAGES = ["libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libatomic1", "openjdk-17-jre-headless"]
"""A JVM, and what it needs of a system."""
SUITE = "bookworm"
LIMIT_S = 1200


class Emulated(NamedTuple):
    """A processor under QEMU: Android's name of it, Debian's, and the emulator."""

    abi: str
    debian: str
    triplet: str
    emulator: str
    options: tuple[str, ...]


# The first compiler alone: the second one costs more under emulation than it saves.
ARM64 = Emulated("arm64-v8a", "arm64", "aarch64-linux-gnu", "qemu-aarch64-static",
                 ("-XX:TieredStopAtLevel=1",))
# armel passes floats as Android does, armhf does not.
ARMV7 = Emulated("armeabi-v7a", "armel", "arm-linux-gnueabi", "qemu-arm-static", ())


class Result(NamedTuple):
    """What a run of the tests took."""

    n_tests: int
    seconds: float


def made() -> Path:
    """Write what the tests read beside the vectors; return its folder."""
    folder = OUT / "made"
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, ROOT / "tests" / "jni_files.py", folder])
    return folder


def compile_tests(jar: Path) -> Path:
    """Compile the tests; return the folder of their classes."""
    for library in JUNIT:
        if not library.is_file():
            raise BuildError(f"expected {library}\nhint: apt-get install junit4")
    return build.compile_java((HERE / "test").rglob("*.java"), OUT / "tests", [jar, *JUNIT])


def run_tests(java: Sequence[str | Path], library: Path, answers: Path, classes: Path,
              variables: Mapping[str, str] | None = None) -> Result:
    """Run all tests in a JVM on a library.

    Raises:
        BuildError: A test failed, or -Xcheck:jni complained.
    """
    names = [f"org.edgesdk.{path.stem}" for path in
             sorted((HERE / "test").rglob("*Test.java"))]
    command = [*java, "-Xcheck:jni", f"-Dorg.edgesdk.library={library}",
               f"-Dorg.edgesdk.vectors={ROOT / 'tests' / 'vectors'}",
               f"-Dorg.edgesdk.made={answers}", f"-Dorg.edgesdk.out={OUT / 'out'}", "-cp",
               ":".join(map(str, [classes, OUT / JAR, *JUNIT])), "org.junit.runner.JUnitCore",
               *names]
    begin = time.monotonic()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                          timeout=LIMIT_S, env={**os.environ, **(variables or {})})
    seconds = time.monotonic() - begin
    passed = re.search(r"^OK \((\d+) tests\)$", done.stdout, re.MULTILINE)
    # JNI warnings go to stdout, between the dots of the tests.
    if done.returncode or not passed or re.search(r"WARNING|FATAL", done.stdout + done.stderr):
        raise BuildError(f"{done.stdout}{done.stderr}".strip())
    return Result(int(passed[1]), seconds)


def on_host() -> Result:
    """Run the tests on the library for this machine."""
    return run_tests(["java"], build.build_host(), made(), compile_tests(build.build_jar()))


def on_x86_64() -> Result:
    """Run the tests on Android's x86-64 library; glibc stands in for Android's libc."""
    if platform.machine() != "x86_64":
        raise BuildError(f"expected an x86-64 machine, got {platform.machine()}\n"
                         "hint: check.py host")
    names = re.findall(r"libc\.so\.6 .*=> (\S+)", run(["ldconfig", "-p"]))
    libc = next((name for name in names if "x86_64" in name), None)
    if libc is None:
        raise BuildError("expected glibc for x86-64 in `ldconfig -p`")
    folder = OUT / "x86_64"
    folder.mkdir(parents=True, exist_ok=True)
    stand_in(folder / "libc.so", Path(libc))
    library = build.build_android(next(abi for abi in ABIS if abi.name == "x86_64"))
    return run_tests(["java"], library, made(), compile_tests(build.build_jar()),
                     {"LD_LIBRARY_PATH": str(folder)})


def emulated(processor: Emulated) -> Result:
    """Run the tests on a library of Android's, in a JVM of its processor under QEMU."""
    if shutil.which(processor.emulator) is None:
        raise BuildError(f"expected {processor.emulator}\nhint: apt-get install qemu-user-static")
    system = OUT / processor.debian
    java = unpacked_jvm(processor, system)
    library = build.build_android(next(abi for abi in ABIS if abi.name == processor.abi))
    return run_tests([processor.emulator, "-L", system / "root", java, *processor.options],
                     library, made(), compile_tests(build.build_jar()))


def stand_in(link: Path, libc: Path) -> None:
    """Give glibc the name that a library for Android asks for."""
    link.unlink(missing_ok=True)
    link.symlink_to(libc)


def unpacked_jvm(processor: Emulated, system: Path) -> Path:
    """Fetch a processor's JVM from Debian into `system`, if it is not there; return its `java`."""
    try:
        root = debian.unpack(PACKAGES, suite=SUITE, architecture=processor.debian,
                             into=system / "root")
    except debian.FetchError as error:
        raise BuildError(str(error)) from error
    stand_in(root / "lib" / processor.triplet / "libc.so", Path("libc.so.6"))
    return root / "usr" / "lib" / "jvm" / f"java-17-openjdk-{processor.debian}" / "bin" / "java"


def main(arguments: Sequence[str]) -> int:
    """Run the tests that are asked for; return the exit status."""
    checks: dict[str, Callable[[], Result]] = {
        "host": on_host, "x86_64": on_x86_64, "arm64": lambda: emulated(ARM64),
        "armv7": lambda: emulated(ARMV7)}
    if not arguments or any(name not in checks for name in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    for name in arguments:
        try:
            result = checks[name]()
        except (BuildError, subprocess.TimeoutExpired) as error:
            print(f"java     {name}\n{error}", file=sys.stderr)
            return 1
        print(f"java     {name:<12} {NAME}  {result.n_tests} tests  {result.seconds:.0f} s  ok",
              flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
