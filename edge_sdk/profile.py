"""`python -m edge_sdk.profile BUNDLE`: what each plan of a bundle costs on this device.

Every figure is taken in a process of its own, with the engine and the threads that a session
would use: latency of all plans in turns, peak memory of each plan alone, energy where the
device has a counter, and accuracy. What can not be measured is None. The profile lies in the
bundle afterwards and is what the governor chooses by.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edge_sdk.bundle import Bundle, Cases, load_cases
from edge_sdk.bundle.runner import Runner
from edge_sdk.console import command, progress, say
from edge_sdk.device import Device
from edge_sdk.energy import Meter, modelled
from edge_sdk.engines import engine_class
from edge_sdk.engines.process import peak_resident_mb, resident_mb
from edge_sdk.errors import DataError, EngineError, ShapeError

SCHEMA_VERSION = 1
N_MEMORY_RUNS = 8
ENERGY_SPAN_S = 1.0
"""Shortest stretch of one plan over which a counter is read."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class PlanProfile:
    """One plan at one number of threads.

    Attributes:
        name: Of the plan: a granularity or a cascade.
        threads: Of the engine.
        latency_p50_ms, latency_p95_ms: Of one input, from array to class.
        accuracy: Top-1 in 0..1 on `accuracy_n` cases; None without labelled cases.
        accuracy_from: "this device", or "packed": measured when the bundle was.
        risk: Accuracy that the plan may lose against the full model: 0 for the full model, the
            epsilon of a risk-controlled cascade, None where nothing is promised.
        ram_mb: Peak memory above that of the imported engine, of a process that runs this
            plan alone; None where the system does not tell.
        energy_mj: Of one input; None without a counter.
        energy_source: The counter, or why there is none.
        modelled_mj: A model's figure from MACs and bytes, no measurement of this device.
    """

    name: str
    threads: int
    latency_p50_ms: float
    latency_p95_ms: float
    accuracy: float | None
    accuracy_n: int
    accuracy_from: str
    risk: float | None
    ram_mb: float | None
    energy_mj: float | None
    energy_source: str
    modelled_mj: float | None


def measure(
    bundle: Bundle, *, target: str | None = None, threads: Sequence[int] = (1,),
    repeats: int = 100, cases: Cases | None = None, energy: bool = True,
    report: Report = lambda text: None,
) -> dict[str, Any]:
    """Return the profile of this device, ready for JSON and `Bundle.replace_profile`.

    Args:
        bundle: Verified.
        target: Engine; the first of the bundle by default.
        threads: Numbers of threads to measure.
        repeats: Calls of each plan.
        cases: Labelled inputs to measure accuracy on; by default the bundle's own, whose
            accuracy is then taken from when it was packed, on more cases.
        energy: Read the energy counter, if there is one.
        report: Called with what is being done.

    Raises:
        DataError: No cases, and none in the bundle.
        FormatError: The bundle has no model for the target.
        ShapeError: `repeats` or `threads` below 1.
        EngineError: A measuring process died.
    """
    if repeats < 1 or not threads or min(threads) < 1:
        raise ShapeError("one repeat or more, and numbers of threads from 1 up",
                         f"{repeats} repeats, threads {list(threads)}", where="`repeats`",
                         hint="measure(bundle, threads=(1, 4), repeats=100)")
    chosen = cases if cases is not None else bundle.cases()
    if chosen is None or not len(chosen):
        raise DataError("cases to run", "none in the bundle", where=str(bundle.path),
                        hint="pass --cases FILE.npz")
    chosen_target = target or bundle.targets[0]
    plans: list[PlanProfile] = []
    levels: list[dict[str, Any]] = []
    load_ms = None
    for count in threads:
        report(f"latency at {count} thread(s)")
        timed = _in_child(_time_plans, bundle.path, chosen_target, count, repeats, chosen, energy)
        load_ms = load_ms or timed["load_ms"]
        if cases is not None and count == threads[0]:
            report(f"accuracy on {len(cases)} cases")
            levels = _in_child(_accuracies, bundle.path, chosen_target, count, cases)
        for name in timed["plans"]:
            report(f"memory of {name} at {count} thread(s)")
            ram_mb = _in_child(_peak_mb, bundle.path, chosen_target, count, name, chosen)
            plans.append(_plan(bundle, chosen_target, name, count, timed["plans"][name], ram_mb,
                               levels))
    identity = Device().identity()
    return {
        "schema_version": SCHEMA_VERSION, "device": {**asdict(identity), "key": identity.key},
        "target": chosen_target, "repeats": repeats, "load_ms": load_ms,
        "cases": f"{len(chosen)} of: {chosen.words}", "plans": [asdict(plan) for plan in plans],
        "levels": levels or _packed_levels(bundle),
    }


def _plan(
    bundle: Bundle, target: str, name: str, threads: int, timed: dict[str, Any],
    ram_mb: float | None, levels: list[dict[str, Any]],
) -> PlanProfile:
    cascade = bundle.cascades.get(name)
    metadata = bundle.metadata(target)
    evaluated = bundle.manifest.notes.get("evaluated", {})
    here = next((row for row in levels if row["plan"] == name), None)
    accuracy, n, source = None, 0, "packed"
    if here is not None:
        accuracy, n, source = here["accuracy"], here["n"], "this device"
    elif cascade is not None and name in evaluated.get("cascades", {}):
        accuracy, n = evaluated["cascades"][name]["accuracy"], evaluated["n"]
    elif name in evaluated.get("levels", {}):
        accuracy, n = evaluated["levels"][name][str(bundle.head.dim)], evaluated["n"]
    full = list(metadata.granularities)[-1]
    risk = 0.0 if name == full else None
    if cascade is not None:
        risk = cascade.provenance.get("epsilon")
    info = metadata.granularities.get(name)
    model_mj = None
    if info is not None and info.macs and info.parameters:
        # Every weight is read once for one input, as float32.
        model_mj = modelled(info.macs, 4 * info.parameters).mj
    return PlanProfile(
        name=name, threads=threads, latency_p50_ms=timed["p50_ms"], latency_p95_ms=timed["p95_ms"],
        accuracy=accuracy, accuracy_n=n, accuracy_from=source, risk=risk, ram_mb=ram_mb,
        energy_mj=timed["energy_mj"], energy_source=timed["energy_source"], modelled_mj=model_mj)


def _packed_levels(bundle: Bundle) -> list[dict[str, Any]]:
    evaluated = bundle.manifest.notes.get("evaluated", {})
    return [{"plan": None, "granularity": name, "dim": int(dim), "accuracy": accuracy,
             "n": evaluated["n"], "from": "packed"}
            for name, by_dim in evaluated.get("levels", {}).items()
            for dim, accuracy in by_dim.items()]


# ---- in the child ---------------------------------------------------------------------------


def _in_child(work: Callable[..., Any], path: Path, *arguments: Any) -> Any:
    """Run `work` in a fresh process, so that its memory is its own."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(work, path, *arguments).result()
    except BrokenProcessPool as error:
        raise EngineError("an engine that answers", str(error), where=str(path),
                          hint="the engine's process died; try another --target") from error


def _open(path: Path, target: str, threads: int) -> Runner:
    return Runner(Bundle.open(path, verify=False), target=target, threads=threads)


def _time_plans(
    path: Path, target: str, threads: int, repeats: int, cases: Cases, energy: bool
) -> dict[str, Any]:
    start = time.perf_counter()
    runner = _open(path, target, threads)
    load_ms = (time.perf_counter() - start) * 1e3
    inputs = [cases.one(i) for i in range(min(len(cases), repeats))]
    taken: dict[str, list[float]] = {name: [] for name in runner.plans}
    warm = 5
    for turn in range(repeats + warm):
        case = inputs[turn % len(inputs)]
        for name, times in taken.items():
            start = time.perf_counter()
            runner.run(name, case)
            if turn >= warm:
                times.append((time.perf_counter() - start) * 1e3)
    plans = {}
    for name, times in taken.items():
        joules = _energy(runner, name, inputs, float(np.median(times))) if energy else (None, "off")
        plans[name] = {"p50_ms": float(np.percentile(times, 50)),
                       "p95_ms": float(np.percentile(times, 95)),
                       "energy_mj": joules[0], "energy_source": joules[1]}
    return {"load_ms": load_ms, "plans": plans}


def _energy(runner: Runner, name: str, inputs: list[Any], p50_ms: float) -> tuple[
        float | None, str]:
    meter = Meter()
    if meter.source == "none":
        return None, "no counter"
    n = max(1, int(ENERGY_SPAN_S * 1e3 / p50_ms))
    meter.start()
    for i in range(n):
        runner.run(name, inputs[i % len(inputs)])
    used = meter.stop().per(n)
    return used.mj, used.source


def _peak_mb(path: Path, target: str, threads: int, name: str, cases: Cases) -> float | None:
    engine_class(target).prepare()
    base_mb = resident_mb(reset_peak=True)
    runner = _open(path, target, threads)
    for i in range(min(N_MEMORY_RUNS, len(cases))):
        runner.run(name, cases.one(i))
    peak_mb = peak_resident_mb()
    return None if base_mb is None or peak_mb is None else peak_mb - base_mb


def _accuracies(path: Path, target: str, threads: int, cases: Cases) -> list[dict[str, Any]]:
    from edge_sdk.bundle.cases import embed

    runner = _open(path, target, threads)
    embeddings = embed(runner.engine, cases.inputs, runner.engine.granularities)
    head = runner.bundle.head
    rows = []
    for granularity, vectors in embeddings.items():
        for dim in head.dims:
            right = head.at(vectors, dim).argmax(1) == cases.labels
            rows.append({"plan": granularity if dim == head.dim else None,
                         "granularity": granularity, "dim": dim, "n": len(cases),
                         "accuracy": float(right.mean()), "from": "this device"})
    for name, cascade in runner.bundle.cascades.items():
        right = cascade.run(embeddings).ids == cases.labels
        rows.append({"plan": name, "granularity": None, "dim": None, "n": len(cases),
                     "accuracy": float(right.mean()), "from": "this device"})
    return rows


# ---- the command ----------------------------------------------------------------------------


def main(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, name.edge.")],
    target: Annotated[str, typer.Option(help="Engine; the bundle's first by default.")] = "",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas.")] = "1",
    repeats: Annotated[int, typer.Option(min=10, help="Calls of each plan.")] = 100,
    cases: Annotated[Path | None, typer.Option(
        help="Labelled inputs, .npz; the bundle's own by default.")] = None,
    data: Annotated[Path | None, typer.Option(
        help="Measure accuracy on the reference model's data set in this folder.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Measure every plan of BUNDLE on this device, and store the profile in it."""
    try:
        counts = [int(part) for part in threads.split(",")]
        if min(counts) < 1:
            raise ValueError
    except ValueError as error:
        raise typer.BadParameter("numbers of threads from 1 up, such as 1,4") from error
    with progress(quiet) as report:
        bundle = Bundle.open(folder)
        given = load_cases(cases) if cases is not None else None
        if data is not None:
            given = _evaluating(bundle.manifest.model, data)
        profile = measure(bundle, target=target or None, threads=counts, repeats=repeats,
                          cases=given, report=report)
        bundle.replace_profile(profile)
    for line in describe(profile):
        say(line)


def _evaluating(model: str, data: Path) -> Cases:
    from edge_sdk.bundle.cases import SPLIT, calibrating
    from edge_sdk.bundle.reference import held_out

    cases = held_out(model, data=data)
    return cases.take(~calibrating(len(cases)), f"{cases.words}; {SPLIT}")


def describe(profile: dict[str, Any]) -> list[str]:
    """Return the lines that the command prints."""
    device = profile["device"]
    rows = [f"device  {device['model'] or 'unknown model'}  {device['cpu'] or 'unknown cpu'}  "
            f"{device['n_cores']} cores",
            f"engine  {profile['target']}  load {profile['load_ms']:.0f} ms  "
            f"{profile['repeats']} repeats  cases {profile['cases']}"]
    for plan in profile["plans"]:
        accuracy = "unknown" if plan["accuracy"] is None else \
            f"{plan['accuracy']:.2%} (n {plan['accuracy_n']}, {plan['accuracy_from']})"
        ram = "unknown" if plan["ram_mb"] is None else f"{plan['ram_mb']:.1f} MB"
        energy = f"unknown ({plan['energy_source']})" if plan["energy_mj"] is None else \
            f"{plan['energy_mj']:.2f} mJ ({plan['energy_source']})"
        rows.append(f"plan    {plan['name']:<12} {plan['threads']} thread  "
                    f"p50 {plan['latency_p50_ms']:.3f} ms  p95 {plan['latency_p95_ms']:.3f} ms  "
                    f"peak RAM {ram}  energy {energy}  top-1 {accuracy}")
    return rows


app = command(main, interrupted="the bundle's profile is as it was")

if __name__ == "__main__":
    app()
