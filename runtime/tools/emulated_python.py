"""Prove the Python package on arm64: Debian's Python, wheels alone, under QEMU.

Usage: python runtime/tools/emulated_python.py, with the Python of `make test`: its toolchains
export the files that are run. What the same program answers on x86-64 must be what it answers
on arm64: numbers within 1e-5, decisions identical (runtime/tools/devices). Both sides install
our wheels of dist/ (built if they are missing) with [onnx,litert], at the same versions.

No binfmt, no chroot, no device: this proves answers, and says nothing about speed. Everything
lies in build/emulated. Needs Debian's mmdebstrap; QEMU 10 is fetched from Debian trixie, because
bookworm's 7.2 crashes in LiteRT and ONNX Runtime.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import debian

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build/emulated"
TOOLS = ROOT / "runtime/tools"
PI = ROOT / "runtime/examples/raspberry_pi"
FILES, CONFORMANCE = BUILD / "files", BUILD / "conformance"

PYTHON_TAG = "cp311"  # of Debian bookworm, and so of the system in QEMU
PACKAGES = ["libc6", "libstdc++6", "python3"]
PROCESSOR = "cortex-a76"
"""Of a Raspberry Pi 5. For QEMU's own "max", which has SME, OpenBLAS of numpy 2.5.5 takes a kernel
that multiplies wrongly there."""
EXTRAS = "[onnx,litert]"
BESIDE = ["pillow", "pytest", "hypothesis"]
"""What the examples and the tests need beside the package."""

PLATFORMS = ["manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17",
             "manylinux2014"]

TESTS = ["test_engines", "test_cascade_signals", "test_code_vectors", "test_code_words",
         "test_gate", "test_governor", "test_granularity", "test_sparse_core", "test_wav"]
"""Those of tests/ that need no toolchain, and that an emulator runs in a minute or two; first
the conformance of engines, on files that were exported on x86-64. Log-mel and FastGRNN take
longer there; their answers are compared to the bit instead."""

FEW_EXAMPLES = """from hypothesis import HealthCheck, settings
settings.register_profile("emulated", deadline=None, max_examples=5,
                          suppress_health_check=list(HealthCheck))
settings.load_profile("emulated")
"""

ITSELF = """import os, sys
sys.executable = sys._base_executable = os.environ["EDGE_EMULATED_PYTHON"]
"""
"""Python's own path is that of a program of arm64, which the kernel can not start without
binfmt: children are started by the wrapper instead."""

VOLATILE = {"time_s", "read_ms", "latency_ms", "late", "ram_mb", "peak_ram_mb", "temperature_c",
            "throttled", "battery_pct", "load", "reason", "n_bad"}
"""Of a service's line: what two devices need not have in common. The confidence may differ by
1e-5; `reason` names a budget's latencies."""


class ProofError(Exception):
    """Something is missing here, or does not do on arm64 what it does on x86-64."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a step, and how long it took."""
    start = time.monotonic()
    yield
    print(f"step    {name:<44} {time.monotonic() - start:6.1f} s", flush=True)


def run(command: list[str | Path], *, environment: Mapping[str, str] | None = None,
        where: Path = BUILD) -> str:
    """Return what a command printed, stdout alone.

    It runs where no `edge_sdk` lies beside it, so that the installed one is imported.

    Raises:
        ProofError: It failed.
    """
    done = subprocess.run([str(part) for part in command], cwd=where, check=False, text=True,
                          capture_output=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        raise ProofError(f"{' '.join(map(str, command))[:300]}: exit status {done.returncode}\n"
                         f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


# ---- the two systems ------------------------------------------------------------------


def wheel(processor: str) -> Path:
    """Return our wheel for a processor; build it if dist/ has none as new as its sources.

    Raises:
        ProofError: This Python is not the one of the system in QEMU.
    """
    if f"cp{sys.version_info[0]}{sys.version_info[1]}" != PYTHON_TAG:
        raise ProofError(f"expected Python {PYTHON_TAG}, that of Debian bookworm, got "
                         f"{sys.version.split()[0]}\nhint: make emulated PYTHON=python3.11")
    sources = [path for folder in ("edge_sdk", "exporters", "runtime/src", "runtime/include",
                                   "runtime/python")
               for path in (ROOT / folder).rglob("*")
               if path.is_file() and path.suffix in (".py", ".c", ".cpp", ".h", ".def")]
    newest = max(path.stat().st_mtime for path in sources)
    for attempt in range(2):
        found = sorted((ROOT / "dist").glob(f"edge_inference_sdk-*-{PYTHON_TAG}-*_{processor}.whl"))
        if found and found[-1].stat().st_mtime > newest:
            return found[-1]
        if attempt == 0:
            run([sys.executable, TOOLS / "wheels.py", "--processor", processor])
    raise ProofError(f"no wheel for {processor} in dist/")


def fetch_system() -> None:
    """Unpack Debian bookworm for arm64 and QEMU of trixie into build/emulated, once."""
    debian.unpack(["qemu-user"], suite="trixie", architecture="amd64", into=BUILD / "qemu")
    if not (BUILD / "root/usr/bin/python3.11").is_file():
        shutil.rmtree(BUILD / "root", ignore_errors=True)
        run(["mmdebstrap", "--quiet", "--arch=arm64", "--variant=extract",
             f"--include={','.join(PACKAGES)}", "bookworm", BUILD / "root", debian.mirror()])


def install_here(package: Path) -> Path:
    """Return a Python of this machine with nothing but our wheel and what it asks for."""
    home = BUILD / "x86_64"
    python, stamp = home / "bin/python", _stamp(package)
    if _is_ready(home, stamp):
        return python
    run([sys.executable, "-m", "venv", "--clear", home])
    run([python, "-m", "pip", "install", "--quiet", f"{package}{EXTRAS}", *BESIDE])
    (home / "ready").write_text(stamp)
    return python


def install_there(package: Path, here: Path) -> Path:
    """Return a command that runs arm64's Python with our wheel, at the versions that `here` has."""
    site, wrapper, stamp = BUILD / "site", BUILD / "python-arm64", _stamp(package)
    if _is_ready(site, stamp):
        return wrapper
    packages = json.loads(run([here, "-m", "pip", "list", "--format=json"]))
    pins = BUILD / "constraints.txt"
    pins.write_text("\n".join(f"{p['name']}=={p['version']}" for p in packages
                              if p["name"] not in ("pip", "setuptools", "edge-inference-sdk")))
    shutil.rmtree(site, ignore_errors=True)
    platforms = [f"--platform={name}_aarch64" for name in PLATFORMS]
    run([here, "-m", "pip", "install", "--quiet", "--target", site, "--only-binary=:all:",
         *platforms, "--python-version=3.11", "--implementation=cp", "--no-compile",
         "--constraint", pins, f"{package}{EXTRAS}", *BESIDE])
    (site / "sitecustomize.py").write_text(ITSELF)
    (site / "few_examples.py").write_text(FEW_EXAMPLES)
    wrapper.write_text(
        f'#!/bin/sh\nexport EDGE_EMULATED_PYTHON="{wrapper}" PYTHONDONTWRITEBYTECODE=1\n'
        f'export PYTHONPATH="{site}"\n'
        f'exec "{BUILD}/qemu/usr/bin/qemu-aarch64" -cpu {PROCESSOR} -L "{BUILD}/root" '
        f'"{BUILD}/root/usr/bin/python3.11" "$@"\n')
    wrapper.chmod(0o755)
    (site / "ready").write_text(stamp)
    return wrapper


def _stamp(package: Path) -> str:
    return f"{package.name} {package.stat().st_size} {package.stat().st_mtime_ns} {BESIDE}"


def _is_ready(home: Path, stamp: str) -> bool:
    return (home / "ready").is_file() and (home / "ready").read_text() == stamp


# ---- what is proved -------------------------------------------------------------------


def prove_light(there: Path) -> None:
    """Import the package; what a device loads must not reach torch, and the core must use NEON."""
    told = run([there, "-c", "import sys, edge_sdk, platform\n"
                "import edge_sdk.session, edge_sdk.engines, edge_sdk.listen, edge_sdk.profile\n"
                "assert 'torch' not in sys.modules\n"
                "print(platform.machine(), edge_sdk.__version__, edge_sdk._native.isa())"])
    if told.split()[0] != "aarch64" or told.split()[2] != "neon":
        raise ProofError(f"expected aarch64 with NEON kernels, got {told}")


def make_files() -> None:
    """Export the models and bundles, unless those at hand are newer than the package."""
    sources = [TOOLS / "devices/make_files.py", *(path for folder in ("edge_sdk", "exporters")
                                                  for path in (ROOT / folder).rglob("*.py"))]
    newest = max(path.stat().st_mtime for path in sources)
    made = CONFORMANCE / "images.npy"
    if made.is_file() and made.stat().st_mtime > newest:
        return
    for folder in (FILES, CONFORMANCE):
        shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, TOOLS / "devices/make_files.py", FILES])
    run([sys.executable, ROOT / "tests/conformance.py", CONFORMANCE])


def prove_answers(here: Path, there: Path) -> list[str]:
    """Run the same program on both systems and compare; return the lines to print."""
    said = [run([python, TOOLS / "devices/answers.py", FILES, BUILD / f"answers-{name}"])
            for name, python in (("x86_64", here), ("aarch64", there))]
    compared = run([here, TOOLS / "devices/compare.py", BUILD / "answers-x86_64",
                    BUILD / "answers-aarch64"])
    return [line for text in (*said, compared) for line in text.splitlines()]


def prove_golden(there: Path) -> list[str]:
    """Run every model's golden inputs again on arm64; return the lines to print."""
    models = sorted([*FILES.rglob("*.onnx"), *FILES.rglob("*.tflite")])
    # Not a command for each: an emulated Python takes seconds to start, and its child as many.
    return run([there, "-c", "import sys\nfrom edge_sdk.selftest import selftest\n"
                "for path in sys.argv[1:]:\n"
                "    done = selftest(path)\n"
                "    for name, found in done.max_difference.items():\n"
                "        print(f'golden  {path}  {name}  max difference {found:.1e}  '\n"
                "              f'limit {done.allowed[name]:.1e}  ok')",
                *(model.relative_to(FILES) for model in models)], where=FILES).splitlines()


def prove_service(here: Path, there: Path) -> str:
    """Run the service and the speech demo on both systems; return how many lines were equal."""
    frames = BUILD / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    run([here, "-c", "import sys, numpy as np\nfrom PIL import Image\nfrom pathlib import Path\n"
         "x = np.load(sys.argv[1])['image'][:12]\nout = Path(sys.argv[2]); out.mkdir()\n"
         "for i, a in enumerate(x): Image.fromarray(np.kron(np.clip(a[0] * 255, 0, 255),"
         "np.ones((5, 5))).astype(np.uint8)).save(out / f'{i:02}.png')\n"
         "(out / '05-damaged.png').write_bytes(b'no picture')",
         FILES / "omniglot.edge/cases.npz" if (FILES / "omniglot.edge").is_dir()
         else FILES / "digits.edge/cases.npz", frames])
    bundle = FILES / ("omniglot.edge" if (FILES / "omniglot.edge").is_dir() else "digits.edge")
    plan = json.loads((bundle / "cascades.json").read_text())
    commands = [["classify.py", bundle, "--frames", frames, "--plan", next(iter(plan))],
                *(["speech.py", path] for path in sorted(FILES.glob("*.wav"))[:3])]
    n = 0
    for name, *arguments in commands:
        one, two = ([json.loads(line) for line in run([python, PI / str(name), *arguments])
                     .splitlines()] for python in (here, there))
        for a, b in zip(one, two, strict=True):
            near = abs(a.get("confidence", 0) - b.get("confidence", 0)) <= 1e-5
            same = {k: v for k, v in a.items() if k not in VOLATILE | {"confidence"}} == \
                {k: v for k, v in b.items() if k not in VOLATILE | {"confidence"}}
            if not (near and same):
                raise ProofError(f"{name}: on x86-64 {a}, on arm64 {b}")
        n += len(one)
    return f"{n} lines of the service and the speech demo, identical"


def prove_tests(there: Path) -> str:
    """Run those of tests/ that need no toolchain on arm64; return pytest's last line."""
    copied = BUILD / "tests"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(ROOT / "tests", copied, ignore=shutil.ignore_patterns("__pycache__"))
    files = [f"{name}.py" for name in TESTS]
    (copied / "pytest.ini").write_text("[pytest]\nmarkers = slow: not run here\n"
                                       "filterwarnings = ignore\n")
    told = run([there, "-m", "pytest", "-q", "-x", "-p", "few_examples", "-p", "no:cacheprovider",
                "-m", "not slow", *files], where=copied,
               environment={"EDGE_SDK_CONFORMANCE": str(CONFORMANCE)})
    return told.strip().splitlines()[-1]


def main() -> int:
    """Prove everything; return the exit status."""
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        with step("wheels"):
            packages = wheel("x86_64"), wheel("aarch64")
        with step("Debian for arm64, QEMU"):
            fetch_system()
        with step("x86-64: wheel alone"):
            here = install_here(packages[0])
        with step("arm64: wheels alone"):
            there = install_there(packages[1], here)
        with step("arm64: import"):
            prove_light(there)
        with step("models, bundles and inputs"):
            make_files()
        with step("answers of both"):
            lines = prove_answers(here, there)
        with step("arm64: golden inputs"):
            lines += prove_golden(there)
        with step("service and speech of both"):
            lines.append(prove_service(here, there))
        with step("arm64: tests"):
            lines.append(prove_tests(there))
    except ProofError as error:
        print(f"ProofError: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
