"""Write the governor's vectors, which C, Python and Java read.

`python tests/vectors/make_governor.py`. The answers come from the oracle, tests/governor_oracle.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import astuple
from math import inf, nan
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from governor_oracle import Oracle, Told  # noqa: E402
from make import Random  # noqa: E402

NAME = "governor_events.txt"
HEAD = """\
# The governor: one event a line; `python tests/vectors/make_governor.py` writes this file.
# Numbers are decimal and stand for the nearest double; nan: unknown, or no limit.
# start NAME: a governor of the choices that follow.
# choice: p50 p95 energy accuracy risk ram, as edge_choice
# observe: choice latency energy now
# decide: the members of edge_budget, then those of edge_signals (reserved left out)
#   -> choice missed why better better_missed unpaced switched p95 slowdown allowed wait; the
#   first columns are of edge_decision, - for no better one.
"""
CHOICES = [(5, 6, 4, 0.8, 0, 40), (9, 10.8, 8, 0.85, 0, 80), (15, 18, 14, 0.9, 0, 150),
           (22, 26.4, 22, 0.92, 0, 280)]
THREADS = [(5, 6, nan, 0.8, 0, 40), (3, 3.5, nan, 0.8, 0, 40), (15, 18, nan, 0.9, 0, 150),
           (8, 9.6, nan, 0.9, 0, 150)]
PLANS = [(5, 6, nan, 0.915, 0.05, nan), (9, 14, nan, 0.9, 0.02, nan), (22, 24, nan, 0.91, 0, nan),
         (12, 15, nan, nan, nan, nan)]


def text(value: float) -> str:
    """Return a number as a column."""
    short = f"{value:g}"
    return short if float(short) == value or value != value else repr(float(value))


class Script:
    """A governor's life, and its lines."""

    def __init__(self, name: str, choices: list[tuple[float, ...]], dt: float = 1.0,
                 **told: float) -> None:
        self.oracle = Oracle(choices)
        self.choices = choices
        self.random = Random(sum(map(ord, name)))
        self.dt = dt
        self.told = Told(now_s=100.0, **told)
        self.lines = [f"start {name}"]
        self.lines += ["choice " + " ".join(map(text, choice)) for choice in choices]

    def set(self, **told: float) -> Script:
        """Change the budget or the signals."""
        for name, value in told.items():
            setattr(self.told, name, value)
        return self

    def decide(self) -> int:
        """Decide once."""
        a = self.oracle.decide(self.told)
        numbers = (a.predicted_p95_ms, a.slowdown, a.allowed_mj, a.wait_s)
        better = "-" if a.better is None else str(a.better)
        self.lines.append(
            f"decide {' '.join(map(text, astuple(self.told)))} -> {a.choice} {a.missed} {a.why} "
            f"{better} {a.better_missed} {int(a.unpaced)} {int(a.switched)} "
            + " ".join(map(text, numbers)))
        return a.choice

    def observe(self, choice: int, latency: float, energy: float = nan) -> None:
        """Observe once, now."""
        self.oracle.observe(choice, latency, energy, self.told.now_s)
        self.lines.append(
            f"observe {choice} {text(latency)} {text(energy)} {text(self.told.now_s)}")

    def run(self, n: int, load: float = 1.0, alone: tuple[int, float] = (-1, 1.0)) -> Script:
        """Decide and run `n` times; `alone` is a choice that has a load of its own."""
        for _ in range(n):
            choice = self.decide()
            factor = load * (1 + self.random.real() / 8) * (alone[1] if choice == alone[0] else 1)
            self.observe(choice, round(self.choices[choice][0] * factor, 3))
            self.told.now_s = round(self.told.now_s + self.dt, 6)
        return self


def scripts() -> Iterator[Script]:
    """Yield every script."""
    yield Script("doubles_and_halves", CHOICES, latency_ms=40).run(4).run(24, 2).run(34)
    yield Script("outliers_do_not_switch", CHOICES, latency_ms=30).run(3).run(1, 9).run(3).run(
        1, 20).run(4)
    throttled = Script("throttled_never_rises", CHOICES, 4.0, latency_ms=41).run(2).run(12, 2)
    throttled.set(throttled=1).run(18).set(throttled=0, thermal_headroom=1.0).run(2)
    yield throttled.set(thermal_headroom=0.7).run(2)  # and cool again, it rises
    failing = Script("a_step_up_that_fails_is_held_longer", CHOICES, 2.0, latency_ms=40).run(2)
    yield failing.run(9, 2).run(18).run(10, 2).run(32)
    yield Script("four_threads_on_a_busy_core", THREADS, latency_ms=25).run(3).run(
        32, 1, (3, 4.0)).run(8)
    yield Script("a_share_of_inferences_is_slow", CHOICES, 0.05, latency_ms=30).run(8).run(
        1, 2).run(1).run(1, 2).run(2).run(1, 2).run(1).run(2, 2).run(1).run(1, 2).run(1).run(2, 2)
    paced = Script("battery_until_the_evening", CHOICES, 10.0, last_until_s=36100,
                   energy_left_mj=9e4, battery_pct=60, rate_hz=0.2).run(3)
    paced.set(energy_left_mj=4e4).run(8).set(battery_power_mw=800.0).run(4)
    paced.set(battery_power_mw=nan, energy_left_mj=1e5).run(6).set(charging=1).run(2)
    yield paced.set(charging=0, energy_left_mj=nan).run(2).set(last_until_s=90).run(2)
    floor = Script("battery_at_its_floor", CHOICES, battery_floor_pct=20, battery_pct=21).run(2)
    for pct in (20, 21, 22, 22.5, 19, 0):
        floor.set(battery_pct=pct).run(1)
    yield floor.set(charging=1).run(2).set(charging=-1, battery_pct=nan).run(2)
    yield Script("power_saver", CHOICES, min_accuracy=0.84, latency_ms=40).run(2).set(
        power_saver=1).run(2).set(power_saver=0).run(2)
    ram = Script("memory", CHOICES, free_ram_mb=300).run(2).set(free_ram_mb=10).run(2)
    yield ram.set(free_ram_mb=90, memory_mb=160).run(2).set(memory_mb=30).run(2)
    yield Script("nothing_fits", CHOICES, latency_ms=4).run(3).set(min_accuracy=0.95).run(
        2).set(min_accuracy=nan, latency_ms=7).run(2).run(9, 1.4).run(16)
    plans = Script("risk_and_unknown_accuracy", PLANS, latency_ms=20).run(2).set(risk=0.03).run(2)
    plans.set(risk=0.0).run(1).set(risk=nan, latency_ms=16).run(2)
    yield plans.set(min_accuracy=0.5).run(1)
    blind = Script("energy_unknown_until_observed", THREADS, last_until_s=5000, rate_hz=1,
                   energy_left_mj=1e4).run(2)
    for _ in range(3):
        blind.observe(blind.decide(), 8.0, 5.0)
    yield blind.run(2)
    cold = Script("hot_when_the_saver_ends", CHOICES, power_saver=1).run(2)
    yield cold.set(power_saver=0, throttled=1).run(2).set(throttled=0).run(1)
    learnt = Script("energy_is_learnt", CHOICES, energy_mj=15).run(2)
    for _ in range(8):
        learnt.observe(learnt.decide(), 15.0, 18.0)
    yield learnt.run(1)
    yield nonsense()
    for seed in range(1, 4):
        yield drawn(seed)


def nonsense() -> Script:
    """Return a script of signals and observations that no device means."""
    made = Script("nonsense", CHOICES, latency_ms=30, last_until_s=5000).run(1)
    for told in ({"battery_pct": 250}, {"battery_pct": -1, "energy_left_mj": -5},
                 {"energy_left_mj": inf, "battery_pct": inf}, {"thermal_headroom": inf},
                 {"free_ram_mb": -3}, {"rate_hz": -1, "energy_left_mj": 1e5}, {"rate_hz": 0},
                 {"rate_hz": inf, "charging": 7, "throttled": 3, "power_saver": -9},
                 {"battery_power_mw": -100}, {"now_s": nan}, {"now_s": 50}, {"now_s": 1e12},
                 {"now_s": 120}, {"now_s": inf}, {"latency_ms": -1}, {"latency_ms": inf},
                 {"last_until_s": inf}, {"last_until_s": -inf}):
        made.set(**told).decide()
    made.set(now_s=130)
    for latency, energy in ((0, nan), (-1, -1), (nan, nan), (inf, inf), (1e-30, 0), (1e300, 1e9)):
        made.observe(3, latency, energy)
    return made.run(3)


DRAWN = {
    "latency_ms": (8, 20, 27, 33, 50), "energy_mj": (9, 15), "memory_mb": (40, 150),
    "risk": (0, 0.02), "min_accuracy": (0.8, 0.9), "battery_floor_pct": (20, 50),
    "last_until_s": (3000, 9000), "battery_pct": (20, 21, 22, 60), "energy_left_mj": (2e4, 9e4),
    "battery_power_mw": (5, 40), "thermal_headroom": (0.5, 1, 10), "free_ram_mb": (40, 70, 200),
    "rate_hz": (0.5, 2), "charging": (0, 1), "throttled": (0, 1), "power_saver": (0, 1),
}


def drawn(seed: int) -> Script:
    """Return a script of random events, with observations enough to tell the tail."""
    random = Random(seed)
    choices = CHOICES if seed % 2 else [(p50, p95, nan, accuracy, nan, ram)
                                        for p50, p95, _, accuracy, _, ram in CHOICES]
    made = Script(f"random_{seed}", choices, latency_ms=33)
    load, names = 1.0, list(DRAWN)
    for _ in range(60):
        made.set(now_s=round(made.told.now_s + (1, 3, 3, 14)[random.below(4)], 3))
        if random.below(3) == 0:
            name = names[random.below(len(names))]
            value = DRAWN[name][random.below(len(DRAWN[name]))]
            if name != "latency_ms" and random.below(5) < 3:
                value = -1 if name in names[-3:] else nan
            made.set(**{name: value})
        load = (1.0, 1.0, 1.4, 2.0)[random.below(4)] if random.below(8) == 0 else load
        choice = made.decide()
        for _ in range(random.below(9)):
            spike = (1, 1, 1, 1, 1, 1, 1, 2.5)[random.below(8)]
            latency = choices[choice][0] * load * (1 + random.real() / 4) * spike
            made.observe(choice, round(latency, 2),
                         (nan, 5 + random.below(9))[random.below(4) == 0])
    return made


def file() -> str:
    """Return the file's text."""
    return HEAD + "".join(f"{line}\n" for script in scripts() for line in script.lines)


if __name__ == "__main__":
    made = file()
    (HERE / NAME).write_text(made, encoding="ascii", newline="\n")
    print(f"wrote   {NAME}  {len(made)} B  {made.count(' -> ')} decisions")
