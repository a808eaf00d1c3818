"""Check what a wheel of ours promises: its tag, its contents, its digests, and its libraries.

Usage: python3 runtime/tools/check_wheel.py WHEEL... Exit 1 if a promise does not hold.
The wheel's own tag is not believed: readelf tells what the extension in it needs.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSORS = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}
"""The processors that wheels are for, and how readelf calls them."""

GLIBC = (2, 28)
"""The newest glibc that an extension may ask for: that of manylinux_2_28."""

LIBRARIES = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0",
             "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
"""What an extension may need: glibc's alone; C++ is inside it."""

NAME = re.compile(r"edge_inference_sdk-(?P<version>[0-9.]+)-(?P<python>cp3[0-9]+)-(?P=python)-"
                  r"manylinux_2_28_(?P<processor>[a-z0-9_]+)\.whl")
SUFFIXES = {"", ".py", ".pyi", ".typed", ".json", ".md", ".svg", ".safetensors", ".grnn", ".c",
            ".h", ".so"}
"""Of the files in a wheel: Python, what the zoo carries, and the templates of generated C."""


def version() -> str:
    """Return the version that the core's header names."""
    header = (ROOT / "runtime/include/edge_runtime.h").read_text(encoding="utf-8")
    named: list[str] = re.findall(r'#define EDGE_VERSION "([0-9.]+)"', header)
    return named[0]


def faults(wheel: Path) -> list[str]:
    """Return what is wrong with a wheel, a line each; nothing if all is well."""
    named = NAME.fullmatch(wheel.name)
    if named is None or named["processor"] not in PROCESSORS:
        return [f"name: expected {NAME.pattern} for {', '.join(PROCESSORS)}, got {wheel.name}"]
    found = []
    if named["version"] != version():
        found.append(f"version: expected {version()} of edge_runtime.h, got {named['version']}")
    with zipfile.ZipFile(wheel) as archive:
        extension = (f"edge_sdk/_native.cpython-{named['python'][2:]}-{named['processor']}"
                     "-linux-gnu.so")
        found += _wrong_contents(archive, extension)
        found += _wrong_digests(archive)
        found += _wrong_tags(archive, wheel.name.removesuffix(".whl").split("-", 2)[2])
        if extension in archive.namelist():
            with tempfile.TemporaryDirectory() as folder:
                found += wrong_library(Path(archive.extract(extension, folder)),
                                       named["processor"])
    return found


def _wrong_contents(archive: zipfile.ZipFile, extension: str) -> list[str]:
    """Return what a wheel lacks, and what has no place in it."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    needed = {extension, "edge_sdk/__init__.py", "edge_sdk/py.typed",
              "edge_sdk/exporters/__init__.py"}
    found = [f"lacks {name}" for name in sorted(needed - set(names))]
    for name in names:
        path = PurePosixPath(name)
        ours = path.parts[0] == "edge_sdk" or path.parts[0].endswith(".dist-info")
        cached = {"__pycache__", "build", "tests"} & set(path.parts)
        if not ours or cached or path.is_absolute() or ".." in path.parts:
            found.append(f"has {name}, which is no part of the package")
        elif path.suffix not in SUFFIXES or (path.suffix == ".so" and name != extension):
            found.append(f"has {name}, of a kind that wheels do not hold")
    return found


def _wrong_digests(archive: zipfile.ZipFile) -> list[str]:
    """Return the files whose bytes are not those that RECORD lists, and those it does not list."""
    records = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
    if len(records) != 1:
        return [f"RECORD: expected one, got {len(records)}"]
    rows = {row[0]: row[1:] for row in csv.reader(
        archive.read(records[0]).decode("utf-8").splitlines()) if row}
    files = {name for name in archive.namelist() if not name.endswith("/")}
    found = [f"RECORD and files differ in {name}" for name in sorted(files ^ set(rows))]
    for name in sorted((files & set(rows)) - {records[0]}):
        content = archive.read(name)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if rows[name] != [f"sha256={digest}", str(len(content))]:
            found.append(f"RECORD has another digest or size of {name}")
    return found


def _wrong_tags(archive: zipfile.ZipFile, tag: str) -> list[str]:
    """Return what WHEEL says otherwise than the name."""
    texts = [archive.read(name).decode("utf-8") for name in archive.namelist()
             if name.endswith(".dist-info/WHEEL")]
    tags = [line.partition(": ")[2] for text in texts for line in text.splitlines()
            if line.startswith("Tag: ")]
    found = [] if tags == [tag] else [f"WHEEL: expected the tag {tag}, got {tags}"]
    if not any("Root-Is-Purelib: false" in text for text in texts):
        found.append("WHEEL: expected Root-Is-Purelib: false")
    return found


def wrong_library(path: Path, processor: str) -> list[str]:
    """Return why an extension would not load on an older system of its processor."""
    told = _readelf("-h", "-d", "-V", path=path)
    found = []
    if PROCESSORS[processor] not in told:
        found.append(f"{path.name}: expected machine code of {processor}")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\]", told))
    found += [f"{path.name} needs {name}, which is not glibc's"
              for name in sorted(needed - LIBRARIES)]
    versions = {tuple(map(int, text.split("."))) for text in re.findall(r"GLIBC_([0-9.]+)", told)}
    found += [f"{path.name} needs glibc {'.'.join(map(str, newer))}, newer than "
              f"{'.'.join(map(str, GLIBC))}" for newer in sorted(versions) if newer > GLIBC]
    if re.search(r"\((RPATH|RUNPATH)\)", told):
        found.append(f"{path.name} has a path of the machine that built it")
    if "TEXTREL" in told:
        found.append(f"{path.name} writes to its own code when it is loaded")
    return found


def _readelf(*options: str, path: Path) -> str:
    done = subprocess.run(["readelf", "-W", *options, str(path)], capture_output=True, text=True,
                          check=False)
    return done.stdout


def main() -> int:
    """Check the named wheels; return the exit status."""
    wrong = False
    for name in sys.argv[1:]:
        found = faults(Path(name))
        wrong |= bool(found)
        print("\n".join(found) or f"ok      {Path(name).name}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
