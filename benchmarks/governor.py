"""What a decision costs, and what the governor does under load: `python -m benchmarks.governor`.

The core is timed from C, in a loop that is compiled here; the loads are simulated
(benchmarks/load.py), so their figures are of the rules, not of a device.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import typer

from benchmarks import load as loads
from benchmarks.elastic import device
from edge_sdk.console import command, say
from edge_sdk.errors import MissingDependency
from edge_sdk.governor import Budget, Choice, Decision, Governor

RUNTIME = Path(__file__).resolve().parent.parent / "runtime"
COUNTS = (8, 24, 32)
P50_MS = [5.0, 9.0, 15.0, 22.0]
ACCURACIES = (0.8, 0.85, 0.9, 0.92)
NOISES = (loads.Noise(0.05), loads.Noise(0.2), loads.Noise(0.3), loads.Noise(0.1, 0.03))
RATES_HZ = (0.5, 5.0, 30.0)

TIMING = r"""
#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "edge_runtime.h"

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int n_arguments, char **arguments) {
    enum { CALLS = 20000, ROUNDS = 15 };
    const uint32_t n = n_arguments > 1 ? (uint32_t)atoi(arguments[1]) : 8;
    static edge_governor governor;
    static double decide_us[ROUNDS], observe_us[ROUNDS];
    edge_choice choices[EDGE_GOVERNOR_MAX_CHOICES];
    edge_budget budget;
    edge_signals signals;
    edge_decision decision;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        edge_choice one = {5 + i, 6 + i, 4 + i, 0.5 + 0.01 * i, 0, 40};
        choices[i] = one;
    }
    if (edge_governor_start(&governor, choices, n) != EDGE_OK) return 1;
    edge_budget_clear(&budget);
    edge_signals_clear(&signals);
    /* Only the smallest fits: every choice is looked at. */
    budget.latency_ms = 6.5;
    budget.last_until_s = 1e6;
    signals.energy_left_mj = 1e9;
    signals.free_ram_mb = 1000;
    signals.battery_pct = 50;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_us();
        for (int i = 0; i < CALLS; i++) {
            signals.now_s = (round * CALLS + i) * 0.03;
            edge_governor_decide(&governor, &budget, &signals, &decision);
            sum += decision.predicted_p95_ms;
        }
        decide_us[round] = (now_us() - start) / CALLS;
        start = now_us();
        for (int i = 0; i < CALLS; i++)
            edge_governor_observe(&governor, 0, 5 + 0.01 * (i * 7919 % 100), NAN, signals.now_s);
        observe_us[round] = (now_us() - start) / CALLS;
    }
    for (int i = 0; i < ROUNDS; i++) printf("%g %g\n", decide_us[i], observe_us[i]);
    return sum > 0 ? 0 : 1;
}
"""


def in_c() -> list[dict[str, Any]]:
    """Return the median microseconds of a decision and an observation, from C."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingDependency("a C compiler", "none", where="PATH", hint="install gcc")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        source, program = Path(name, "timing.c"), Path(name, "timing")
        source.write_text(TIMING, encoding="ascii")
        subprocess.run([compiler, "-std=c99", "-O3", "-DNDEBUG", f"-I{RUNTIME / 'include'}",
                        str(source), *map(str, sorted((RUNTIME / "src").glob("governor.c"))),
                        "-o", str(program), "-lm"], check=True)
        for n in COUNTS:
            out = subprocess.run([str(program), str(n)], capture_output=True, text=True,
                                 check=True).stdout
            decide, observe = np.median([[float(x) for x in line.split()]
                                         for line in out.splitlines()], axis=0)
            rows.append({"choices": n, "decide_us": float(decide), "observe_us": float(observe)})
    return rows


def in_python() -> list[dict[str, Any]]:
    """Return the median microseconds of `Governor.decide` and `observe`, with a known state."""
    state = SimpleNamespace(battery_pct=50.0, charging=False, energy_left_mj=1e9,
                            battery_power_mw=None, thermal_headroom=0.4, throttled=False,
                            power_saver=False, free_ram_mb=1000.0)
    budget = Budget(latency_ms=6.5, battery="last 200 h")
    rows = []
    for n in COUNTS:
        governor = Governor([Choice(f"G{i}", 5 + i, 6 + i, energy_mj=4 + i,
                                    accuracy=0.5 + 0.01 * i, ram_mb=40) for i in range(n)])
        last = governor.decide(budget, state, now_s=0.0)
        rows.append({
            "choices": n,
            "decide_us": _median_us(lambda g=governor: g.decide(budget, state, now_s=1.0)),
            "observe_us": _median_us(lambda g=governor, d=last: g.observe(d, 5.0, now_s=1.0)),
            "reason_us": _median_us(lambda d=last: d.reason),
        })
    return rows


def _median_us(call: Any, number: int = 5000, rounds: int = 15) -> float:
    taken = timeit.repeat(call, number=number, repeat=rounds)
    return float(np.median(taken)) / number * 1e6


class _Driver:
    def __init__(self, noise: loads.Noise, latency_ms: float) -> None:
        p95 = noise.p95()
        self.governor = Governor([Choice(f"G{i}", p50, p50 * p95, accuracy=accuracy) for
                                  i, (p50, accuracy) in
                                  enumerate(zip(P50_MS, ACCURACIES, strict=True))])
        self.budget = Budget(latency_ms=latency_ms)
        self.last: Decision | None = None

    def decide(self, now_s: float) -> int:
        self.last = self.governor.decide(self.budget, now_s=now_s)
        return self.last.index

    def observe(self, choice: int, latency_ms: float, now_s: float) -> None:
        assert self.last is not None
        self.governor.observe(self.last, latency_ms, now_s=now_s)


def _simulate(noise: loads.Noise, slack: float, rate_hz: float, load: loads.Load, n: int,
              seed: int) -> tuple[loads.Run, float]:
    budget_ms = P50_MS[-1] * noise.p95() * slack
    return loads.simulate(_Driver(noise, budget_ms), P50_MS, n=n, rate_hz=rate_hz, noise=noise,
                          load=load, seed=seed), budget_ms


def doubling(seeds: int) -> list[dict[str, Any]]:
    """Return what happens when latency doubles and halves again, a row for each noise and rate."""
    rows = []
    for noise in NOISES:
        for rate_hz in RATES_HZ:
            n = max(900, int(450 * rate_hz))
            start, stop = n // 3, 2 * n // 3
            runs = [_simulate(noise, 1.15, rate_hz, loads.step_up_and_down(start, stop), n, seed)
                    for seed in range(seeds)]
            rows.append({
                "sigma": noise.sigma, "spikes": noise.spikes, "rate_hz": rate_hz,
                "worst_p95_of_budget": max(run.p95_ms(start + 50, stop) / ms for run, ms in runs),
                "inferences_until_left": max(int(np.argmax(run.choices[start:] != 3))
                                             for run, _ in runs),
                "largest_share_before": float(np.mean([run.choices[:start] == 3
                                                       for run, _ in runs])),
                "largest_share_at_end": float(np.mean([run.choices[-n // 6:] == 3
                                                       for run, _ in runs])),
                "most_switches_a_minute": max(run.most_switches_a_minute() for run, _ in runs),
            })
    return rows


def borders(seeds: int) -> list[dict[str, Any]]:
    """Return switches and misses where the load sits at a border, or never rests."""
    kinds: list[tuple[str, loads.Load]] = [
        (f"steady x{factor:g}", loads.steady(factor)) for factor in (0.93, 1.0, 1.03, 1.1, 1.4)]
    kinds += [("10 % doubled", loads.busy_core(0.1, 1)), ("30 % doubled", loads.busy_core(0.3, 1)),
              ("waves to x1.6", loads.waves(900, 1.6))]
    rows = []
    for name, load in kinds:
        runs = [_simulate(noise, 1.0, rate_hz, load, max(400, int(240 * rate_hz)), seed)
                for noise in NOISES for rate_hz in RATES_HZ for seed in range(seeds)]
        rows.append({
            "load": name, "runs": len(runs),
            "most_switches_a_minute": max(run.most_switches_a_minute() for run, _ in runs),
            "worst_share_over_budget": max(float(np.mean(run.latency_ms[50:] > ms))
                                           for run, ms in runs),
            "mean_share_over_budget": float(np.mean([np.mean(run.latency_ms[50:] > ms)
                                                     for run, ms in runs])),
        })
    return rows


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Return all figures, and print them."""
    seeds = 2 if quick else 10
    parts = {"in C": in_c(), "in Python": in_python(), "doubling": doubling(seeds),
             "borders": borders(seeds)}
    for name, rows in parts.items():
        say(f"\n{name}")
        say("  ".join(f"{key:>12}" for key in rows[0]))
        for row in rows:
            say("  ".join(f"{value:>{max(12, len(key))}.3g}" if isinstance(value, float) else
                          f"{value:>{max(12, len(key))}}" for key, value in row.items()))
    return {"command": f"python -m benchmarks.governor{' --quick' if quick else ''}",
            "device": device(), "parts": parts}


def main(
    out: Path = typer.Option(Path("build/governor.json"), help="Where the figures go."),
    quick: bool = typer.Option(False, "--quick", help="Fewer seeds, to try it out."),
) -> None:
    """Time decisions in C and Python, and simulate loads."""
    made = measure(quick=quick)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    say(f"\nwrote   {out}")


app = command(main)

if __name__ == "__main__":
    sys.exit(app())
