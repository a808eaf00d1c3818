"""Build the Java library and its native part, with the packages of a plain Debian machine.

    python3 runtime/jni/build.py host       for this machine's JVM: build/jni/host
    python3 runtime/jni/build.py android    for three ABIs, checked: build/jni/android
    python3 runtime/jni/build.py aar        all of it in one file: build/jni/edge-runtime.aar

check.py beside it runs the tests.

Neither Google's SDK nor its NDK is needed: the core wants memcpy and memset of a system, so a
library that knows these names is all that it is linked against. Exit 1 if a promise is broken.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNTIME = HERE.parent
OUT = RUNTIME.parent / "build" / "jni"
NAME = "libedge_runtime_jni.so"
JAR = "edge-runtime.jar"
AAR = "edge-runtime.aar"

JNI_HEADERS = Path("/usr/include/android/nativehelper")
"""Of Debian's android-libnativehelper-dev: a jni.h that wants nothing of the system."""

BUDGET = 150 * 1024
"""Bytes of a library, core and JNI together."""
PAGE = 16384
"""Pages of Android 15 and later; what is aligned to them fits pages of 4 KiB too."""
MIN_SDK = 24

HOT = re.findall(r"set\(EDGE_HOT ([^)]*)\)", (RUNTIME / "CMakeLists.txt").read_text())[0].split()
"""The sources that CMakeLists.txt compiles with -O3 in the build type Release."""
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-DNDEBUG", "-fPIC",
         "-ffp-contract=off", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections"]
FREESTANDING = ["-ffreestanding", "-nostdlibinc", "-fno-stack-protector",
                "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
LINKING = ["--shared", f"--soname={NAME}", "--gc-sections", "--no-undefined", "--build-id=none",
           f"--version-script={HERE / 'exports.map'}"]

LIBC = {"memcpy", "memmove", "memset", "memcmp"}
"""What a library may want of Android."""
LIBC_ARM = {f"__aeabi_{name}{width}" for name in ("memcpy", "memmove", "memset", "memclr")
            for width in ("", "4", "8")}
"""The same by the names that 32-bit ARM gives them; bionic has had them since its beginning."""


LIBGCC_ARM = Path("/usr/lib/gcc-cross/arm-linux-gnueabi/12/libgcc.a")
"""Of Debian's libgcc-12-dev-armel-cross: floats are passed as Android passes them there."""


@dataclass(frozen=True)
class Abi:
    """A processor of Android, and how it is compiled for."""

    name: str
    triple: str
    flags: list[str] = field(default_factory=list)
    libc: set[str] = field(default_factory=lambda: LIBC)
    libgcc: Path | None = None


ABIS = [
    Abi("arm64-v8a", f"aarch64-linux-android{MIN_SDK}"),
    # 64-bit division is a call there: the compiler's own library has it.
    Abi("armeabi-v7a", f"armv7a-linux-androideabi{MIN_SDK}", ["-mfpu=neon", "-mthumb"],
        LIBC | LIBC_ARM | {"raise"}, LIBGCC_ARM),
    Abi("x86_64", f"x86_64-linux-android{MIN_SDK}"),
]


class BuildError(Exception):
    """A tool is missing, a compiler complained, or a promise is broken."""


def run(command: Sequence[str | Path]) -> str:
    """Return what a command prints.

    Raises:
        BuildError: It is not installed, or failed.
    """
    words = [str(part) for part in command]
    if shutil.which(words[0]) is None:
        raise BuildError(f"expected {words[0]}, got no such command\n"
                         "hint: .ci/run names the packages")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(words)}\n{done.stdout}{done.stderr}".strip())
    return done.stdout


# ---- the native library -----------------------------------------------------------------


def compile_all(compiler: Sequence[str], folder: Path) -> list[Path]:
    """Compile core and JNI; return the objects."""
    if not (JNI_HEADERS / "jni.h").is_file():
        raise BuildError(f"expected {JNI_HEADERS}/jni.h\n"
                         "hint: apt-get install android-libnativehelper-dev")
    folder.mkdir(parents=True, exist_ok=True)
    shared = [Path(__file__), RUNTIME / "CMakeLists.txt",
              *(path for where in (RUNTIME, HERE) for path in where.rglob("*.h")),
              RUNTIME / "src" / "kernels.def"]
    changed = max(path.stat().st_mtime for path in shared)

    def one(source: Path) -> Path:
        target = folder / f"{source.parent.name}-{source.stem}.o"
        if target.is_file() and target.stat().st_mtime > max(changed, source.stat().st_mtime):
            return target
        level = "-O3" if source.stem in HOT and source.parent.name == "src" else "-O2"
        run([*compiler, *FLAGS, level, "-I", RUNTIME / "include", "-I", JNI_HEADERS,
             "-c", source, "-o", target])
        return target

    sources = [*sorted((RUNTIME / "src").glob("*.c")), *sorted((HERE / "c").glob("*.c"))]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, sources))


def build_host() -> Path:
    """Build the library for this machine; return its path."""
    folder = OUT / "host"
    objects = compile_all(["gcc"], folder / "objects")
    library = folder / NAME
    run(["gcc", *(f"-Wl,{flag}" for flag in LINKING if flag != "--shared"), "-shared", *objects,
         "-o", library])
    return library


def stub_libc(abi: Abi, folder: Path) -> Path:
    """Make a library with the names that Android has, to link against; it is never run."""
    source = folder / "libc.c"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in sorted(abi.libc)))
    made = folder / "libc.o"
    run(["clang-14", "-target", abi.triple, "-fPIC", "-ffreestanding", "-fno-builtin", "-w",
         "-c", source, "-o", made])
    library = folder / "libc.so"
    run(["ld.lld-14", "--shared", "--soname=libc.so", made, "-o", library])
    return library


def build_android(abi: Abi) -> Path:
    """Build and check the library of an ABI; return its path."""
    folder = OUT / "objects" / abi.name
    clang = ["clang-14", "-target", abi.triple, *abi.flags, *FREESTANDING,
             "-isystem", str(HERE / "android" / "include")]
    objects = compile_all(clang, folder)
    library = OUT / "android" / abi.name / NAME
    library.parent.mkdir(parents=True, exist_ok=True)
    gcc = [abi.libgcc] if abi.libgcc else []
    if abi.libgcc and not abi.libgcc.is_file():
        raise BuildError(f"expected {abi.libgcc}\n"
                         "hint: apt-get install libgcc-12-dev-armel-cross")
    # Only max-page-size: with common-page-size RELRO would overrun its segment on 4 KiB pages.
    run(["ld.lld-14", *LINKING, "--strip-all", "--hash-style=both", "-z", "noexecstack", "-z",
         "relro", "-z", "now", "-z", f"max-page-size={PAGE}", *objects, stub_libc(abi, folder),
         *gcc, "--exclude-libs=ALL", "-o", library])
    check_library(library, abi)
    return library


def check_library(library: Path, abi: Abi) -> None:
    """Check what a library promises: size, pages, what it wants, what it shows.

    Raises:
        BuildError: One promise is broken.
    """
    size = library.stat().st_size
    aligned = [int(line.split()[-1], 16) for line in run(["readelf", "-lW", library]).splitlines()
               if line.strip().startswith("LOAD")]
    symbols = [line.split() for line in run(["readelf", "--dyn-syms", "-W", library]).splitlines()
               if re.match(r"\s*\d+: ", line)]
    wanted = {words[7] for words in symbols if len(words) > 7 and words[6] == "UND"}
    shown = {words[7] for words in symbols if len(words) > 7 and words[6] != "UND"}
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", run(["readelf", "-dW", library])))
    head = run(["readelf", "-hW", library])
    promises = {
        "floats are passed in another way than on Android": "hard-float" not in head,
        f"{size} B of {BUDGET}": size <= BUDGET,
        f"segments aligned to {aligned}": bool(aligned) and all(a % PAGE == 0 for a in aligned),
        f"wants {sorted(wanted)}": wanted <= abi.libc,
        f"needs {sorted(needed)}": needed <= {"libc.so"},
        f"shows {sorted(shown)[:3]}": bool(shown) and all(
            re.fullmatch(r"JNI_OnLoad|Java_org_edgesdk_\w+", name) for name in shown),
    }
    for words, holds in promises.items():
        if not holds:
            raise BuildError(f"{abi.name}: {words}")
    print(f"library  {abi.name:<12} {size:>7} B  limit {BUDGET} B  wants "
          f"{' '.join(sorted(wanted))}  shows {len(shown)}  ok", flush=True)


# ---- Java ---------------------------------------------------------------------------------


def compile_java(sources: Iterable[Path], folder: Path, classpath: Sequence[Path] = ()) -> Path:
    """Compile for Java 8; return the folder of classes, which holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(["javac", "--release", "8", "-encoding", "UTF-8", "-Xlint:all,-options", "-Werror", "-cp",
         ":".join(map(str, classpath)) or ".", "-d", folder, *sorted(sources)])
    return folder


def write_zip(path: Path, files: Iterable[tuple[str, bytes]], *, stored: bool = False) -> Path:
    """Write a zip whose bytes depend on nothing but its files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.create_system = 3
            kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, data, kind, None if stored else 9)
    return path


def build_jar() -> Path:
    """Compile the classes; return the jar."""
    classes = compile_java((HERE / "java").rglob("*.java"), OUT / "classes")
    files = [(path.relative_to(classes).as_posix(), path.read_bytes())
             for path in sorted(classes.rglob("*.class"))]
    return write_zip(OUT / JAR, files)


def build_aar() -> Path:
    """Build all ABIs and the classes, and pack them as Android Studio takes them."""
    libraries = [build_android(abi) for abi in ABIS]
    texts = ["AndroidManifest.xml", "proguard.txt"]
    files = [(name, (HERE / "android" / name).read_bytes()) for name in texts]
    files += [("R.txt", b""), ("classes.jar", build_jar().read_bytes())]
    files += [(f"jni/{library.parent.name}/{NAME}", library.read_bytes()) for library in libraries]
    path = write_zip(OUT / AAR, files, stored=True)
    print(f"wrote    {AAR}  {path.stat().st_size} B")
    return path


def main(arguments: Sequence[str]) -> int:
    """Build what is asked for; return the exit status."""
    targets = {"host": lambda: (build_host(), build_jar()),
               "android": lambda: [build_android(abi) for abi in ABIS],
               "aar": build_aar}
    if len(arguments) != 1 or arguments[0] not in targets:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        targets[arguments[0]]()
    except BuildError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
