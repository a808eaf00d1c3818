"""Size, RAM and latency of elastic files beside single ones: `python -m benchmarks.elastic`.

Each engine runs in processes of its own, at one thread, the peers call by call
in turn. Results go to `benchmarks/results/<device>/elastic.json`, engine by
engine; `python -m benchmarks.readme` makes the README's table from them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

import edge_sdk
from benchmarks.interleave import interleave
from edge_sdk import zoo
from edge_sdk.artifact import SUFFIX, Metadata, open_artifact
from edge_sdk.console import command, progress, say
from edge_sdk.device import Device
from edge_sdk.engines import process
from edge_sdk.errors import FormatError
from edge_sdk.export import export_all
from edge_sdk.prove import Limits
from edge_sdk.source import Source, find_source

SIZES = ("S", "M", "L", "XL")
MIXES = ("S*2+M*2+L+XL", "XL*3+S*3")
RESULTS = Path(__file__).parent / "results"
QUICK = "matvit-digits"
DEVICE = "EDGE_SDK_DEVICE"
VIT = "benchmarks.shapes:vit_192"


def device() -> str:
    """Return the name of this machine's results: $EDGE_SDK_DEVICE, or as it calls itself.

    On x86-64 that is the processor's name, on boards whose processor has none the product's.
    """
    if os.environ.get(DEVICE):
        return os.environ[DEVICE]
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        identity = Device().identity()
        name = f"{platform.machine()} {found.group(1) if found else identity.model or ''}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@dataclass(frozen=True)
class File:
    """One exported file."""

    path: Path
    n_bytes: int
    metadata: Metadata


def _holds(path: Path, source: Source) -> bool:
    try:
        return open_artifact(path).metadata.weights_sha256 == source.weights_sha256()
    except FormatError:
        return False


class Bench:
    """One engine's rows; its files are written once, into `folder`.

    With `reuse`, files of an earlier run are taken if their weights are the same.
    """

    def __init__(self, target: str, folder: Path, reuse: bool) -> None:
        self.target, self.folder, self.reuse = target, folder, reuse
        self.sources: dict[str, Source] = {}
        self.files: dict[Path, File] = {}

    def file(self, model: str, sizes: str, quantize: str = "none", *, elastic: bool = False,
             cases: int = 16) -> File:
        """Return one file, exported at its first use."""
        stem = re.sub(r"[^\w]+", "_", f"{model}-{sizes}-{quantize}-{elastic}")
        out = self.folder / f"{stem}{SUFFIX[self.target]}"
        if out in self.files:
            return self.files[out]
        key = f"{model} {cases}"
        if key not in self.sources:
            self.sources[key] = find_source(model, n_cases=cases)
        # Random weights have near ties everywhere: only trained models are held to int8's limits.
        limits = Limits(argmax_agreement=0.0) if model == VIT else Limits()
        if not (self.reuse and _holds(out, self.sources[key])):
            with progress(True) as report:
                export_all(self.sources[key], {self.target: out},
                           granularity=sizes if not elastic else "XL",
                           elastic=sizes if elastic else None, quantize=quantize, limits=limits,
                           report=report)
        self.files[out] = File(out, out.stat().st_size, open_artifact(out).metadata)
        return self.files[out]

    def export(self, models: list[str]) -> None:
        """Write the files that `rows` measures, so that a quiet hour is kept for timing."""
        four = ",".join(SIZES)
        for quantize in ("none", "int8"):
            for size in SIZES:
                self.file(VIT, size, quantize)
            self.file(VIT, four, quantize, elastic=True)
            self.file(VIT, ",".join([four, *MIXES]), quantize, elastic=True)
        for model in models:
            self.zoo_files(model)

    def zoo_files(self, model: str) -> tuple[File, File, File]:
        """Return XL, the elastic file, and the int8 one proved on all held-out inputs."""
        four = ",".join(SIZES)
        return (self.file(model, "XL", cases=64), self.file(model, four, elastic=True, cases=64),
                self.file(model, four, "int8", elastic=True, cases=100_000))

    def rows(self) -> dict[str, Any]:
        """Return every row of this engine."""
        four = ",".join(SIZES)
        rows: dict[str, Any] = {}
        for quantize in ("none", "int8"):
            single = {size: self.file(VIT, size, quantize) for size in SIZES}
            elastic = self.file(VIT, four, quantize, elastic=True)
            mixed = self.file(VIT, ",".join([four, *MIXES]), quantize, elastic=True)
            rows[quantize] = {
                "single_bytes": {size: done.n_bytes for size, done in single.items()},
                "elastic_bytes": elastic.n_bytes,
                "elastic_over_xl": elastic.n_bytes / single["XL"].n_bytes,
                "bytes_per_further_mix": (mixed.n_bytes - elastic.n_bytes) / len(MIXES),
                "latency": self.latency(single, elastic),
                "ram": self.ram(single["XL"], elastic),
                # The large model's weights outgrow the nearer caches: the other size refills
                # them, as two files would. On digits, all fits, and the switch itself shows.
                "switch_us": switch_us(elastic),
                "digits_switch_us": switch_us(
                    self.file("matvit-digits", four, quantize, elastic=True,
                              cases=64 if quantize == "none" else 100_000)),
                "max_difference": max(
                    info.comparison.max_difference
                    for done in [*single.values(), elastic]
                    for info in done.metadata.granularities.values() if info.comparison),
            }
            say(f"{self.target} {quantize}: {json.dumps(rows[quantize])}")
        fp32, int8 = (self.file(VIT, "XL", quantize) for quantize in ("none", "int8"))
        many = self.file(VIT, four, elastic=True), self.file(VIT, four, "int8", elastic=True)
        times = interleave([(fp32.path, "XL"), (int8.path, "XL"), (many[0].path, "XL"),
                            (many[1].path, "XL")])
        rows["int8_over_fp32"] = {
            "bytes": int8.n_bytes / fp32.n_bytes, "latency_xl": times[1] / times[0],
            "elastic_bytes": many[1].n_bytes / many[0].n_bytes,
            "elastic_latency_xl": times[3] / times[2],
        }
        return rows

    def latency(self, single: dict[str, File], elastic: File) -> dict[str, Any]:
        """Return, for each size, ms alone and inside the elastic file, and their ratio."""
        out = {}
        for size in SIZES:
            alone, inside = interleave([(single[size].path, size), (elastic.path, size)])
            out[size] = {"single_ms": alone, "elastic_ms": inside, "ratio": inside / alone}
        return out

    def ram(self, xl: File, elastic: File) -> dict[str, Any]:
        """Return peak resident MB above the import base, all four sizes used, beside XL alone."""
        alone = [process.measure(xl.path, repeats=1).peak_rss_mb for _ in range(3)]
        inside = [process.measure(elastic.path, repeats=1).peak_rss_mb for _ in range(3)]
        xl_mb, all_mb = (sorted(mb for mb in runs if mb is not None)[1]
                         for runs in (alone, inside))
        return {"xl_mb": xl_mb, "all_mb": all_mb, "ratio": all_mb / xl_mb}


def switch_us(elastic: File) -> float:
    """Return what a call costs more after the other size than after its own, S and XL alike."""
    calls = [(elastic.path, size) for size in ("S", "S", "XL", "XL")]
    after_xl, after_s, xl_after_s, xl_after_xl = interleave(calls, rotate=False)
    return ((after_xl - after_s) + (xl_after_s - xl_after_xl)) / 2 * 1e3


def zoo_rows(bench: Bench, models: list[str]) -> dict[str, Any]:
    """Return elastic bytes, fp32 drift and int8 agreement of zoo models on all held-out inputs."""
    rows = {}
    for model in models:
        xl, elastic, int8 = bench.zoo_files(model)
        rows[model] = {
            "elastic_over_xl": elastic.n_bytes / xl.n_bytes,
            "int8_over_fp32_elastic_bytes": int8.n_bytes / elastic.n_bytes,
            "latency_ms": interleaved(elastic),
            "int8_latency_ms": interleaved(int8),
            "max_difference": {name: info.comparison.max_difference
                               for name, info in elastic.metadata.granularities.items()
                               if info.comparison},
            "int8": {name: {"n": info.accuracy.n, "top1": info.accuracy.top1,
                            "fp32": info.accuracy.eager,
                            "argmax_agreement": info.comparison.argmax_agreement}
                     for name, info in int8.metadata.granularities.items()
                     if info.accuracy and info.comparison},
        }
        say(f"{bench.target} {model}: {json.dumps(rows[model])}")
    return rows


def interleaved(elastic: File) -> dict[str, float]:
    """Return the median latency in ms of each size of one elastic file, taken in turns."""
    return dict(zip(SIZES, interleave([(elastic.path, size) for size in SIZES]), strict=True))


def cold_inspect_s(path: Path) -> float:
    """Return the median wall time of five cold `python -m edge_sdk.inspect`."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "edge_sdk.inspect", str(path)], check=True,
                       capture_output=True)
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def main(
    target: list[str] = typer.Option(list(SUFFIX), help="Engines to measure."),
    folder: Path = typer.Option(Path("build/bench"), help="Where the files go."),
    reuse: bool = typer.Option(False, "--reuse", help="Take files of an earlier run."),
    only_export: bool = typer.Option(False, "--only-export", help="Write the files, no more."),
    model: list[str] = typer.Option(
        [], help="Zoo models to measure too; by default all whose data is in $EDGE_SDK_DATA."),
    quick: bool = typer.Option(
        False, "--quick", help=f"{QUICK} in ONNX Runtime alone, and writes nothing."),
) -> None:
    """Measure elastic files and write the results of this device."""
    if quick:
        folder.mkdir(parents=True, exist_ok=True)
        zoo_rows(Bench("onnx", folder, reuse=True), [QUICK])
        return
    models = model or [name for name in zoo.names() if not find_source(name, n_cases=1).synthetic]
    folder.mkdir(parents=True, exist_ok=True)
    path = RESULTS / device() / "elastic.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in target:
        bench = Bench(name, folder, reuse)
        if only_export:
            bench.export(models)
            continue
        rows = bench.rows()
        rows["zoo"] = zoo_rows(bench, models)
        rows["cold_inspect_s"] = cold_inspect_s(
            bench.folder / f"benchmarks_shapes_vit_192_XL_none_False{SUFFIX[name]}")
        rows["toolchain"] = bench.file(VIT, "XL").metadata.toolchain
        results[name] = rows
        results["command"] = "EDGE_SDK_DATA=... python -m benchmarks.elastic"
        results["device"] = device()
        results["version"] = edge_sdk.__version__
        results["threads"] = 1
        path.write_text(json.dumps(results, indent=1) + "\n")
        say(f"wrote   {path}")


if __name__ == "__main__":
    command(main)()
