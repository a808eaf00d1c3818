"""What the tests of the Android demo share: places, tools, and a reader of .dex files."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "android_demo"
MAIN = DEMO / "app" / "src" / "main"
JNI = ROOT / "runtime" / "jni"
DEBIAN = DEMO / "build" / "debian"
ANDROID_JAR = DEBIAN / "usr/lib/android-sdk/platforms/android-23/android.jar"
JUNIT = ("/usr/share/java/junit4.jar", "/usr/share/java/hamcrest.jar")

APK_TOOLS = ("aapt", "apksigner", "dexdump", "javac", "keytool", "clang-14", "ld.lld-14")
ONE_MINUTE_S = 60


def absent(reason: str) -> None:
    """Skip, or fail where continuous integration has promised the tool."""
    if os.environ.get("EDGE_SDK_CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need(*programs: str, files: tuple[str, ...] = ()) -> None:
    """Go on only where all of these are installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    missing += [name for name in files if not Path(name).exists()]
    if missing:
        absent(f"not installed: {', '.join(missing)}")


def run(*command: object, timeout: float = 9 * ONE_MINUTE_S, **options) -> str:
    """Return a command's output; a failure shows it."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=timeout, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def properties() -> dict[str, str]:
    """Return android_demo/gradle.properties."""
    lines = (DEMO / "gradle.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


class Dex:
    """The names in a .dex file.

    Attributes:
        types: Descriptors of all classes that are spoken of.
        defined: Those that the file defines.
        methods: (class, name) of all methods that are spoken of.
    """

    def __init__(self, data: bytes) -> None:
        assert data[:4] == b"dex\n"
        (n_strings, strings, n_types, types) = struct.unpack_from("<4I", data, 56)
        (n_methods, methods, n_classes, classes) = struct.unpack_from("<4I", data, 88)
        texts = [_text(data, at) for at in struct.unpack_from(f"<{n_strings}I", data, strings)]
        self.types = [texts[i] for i in struct.unpack_from(f"<{n_types}I", data, types)]
        self.defined = {self.types[struct.unpack_from("<I", data, classes + 32 * i)[0]]
                        for i in range(n_classes)}
        rows = [struct.unpack_from("<HHI", data, methods + 8 * i) for i in range(n_methods)]
        self.methods = {(self.types[owner], texts[name]) for owner, _, name in rows}


def _text(data: bytes, at: int) -> str:
    while data[at] & 0x80:  # the length, which a NUL at the end says as well
        at += 1
    return data[at + 1 : data.index(b"\0", at + 1)].decode("utf-8", "surrogatepass")


def platform_classes() -> set[str]:
    """Return the descriptors of API 23's classes."""
    with zipfile.ZipFile(ANDROID_JAR) as jar:
        return {f"L{name[: -len('.class')]};" for name in jar.namelist() if name.endswith(".class")}
