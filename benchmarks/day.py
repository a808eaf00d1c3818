"""A day on a phone, simulated: fixed sizes beside the governor under several budgets.

`python -m benchmarks.day BUNDLE --data DIR` replays one day, 7:00 to 23:00, for each policy.
Nothing of it was measured on a phone. What is real: the plans of the bundle, their answers to
its evaluation images (right or wrong, and at which level a cascade stopped), and the ratios of
their latencies on the machine that profiled it. What is assumed, and seeded, stands in `Phone`
and `trace`: how slow and thirsty the phone is, when it is asked, heat, other apps, charging.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk.bundle import Bundle
from edge_sdk.console import command, say
from edge_sdk.device import DeviceState
from edge_sdk.governor import Budget, Choice, Governor

HOUR_S = 3600.0
BEGIN_H, END_H = 7.0, 23.0
DEADLINE_MS = 120.0
AIM_MS = 90.0
"""What the governor is asked for: its budget is a 95th percentile, the deadline holds for all."""


@dataclass(frozen=True)
class Phone:
    """The assumed phone.

    Attributes:
        xl_ms: Median latency of XL, cool and idle; other plans in the profile's ratios.
        active_w: Power above idle while an inference runs.
        capacity_j: 4,000 mAh at 3.85 V. start: Charge at 7:00, a fraction.
        idle_w, screen_w: What all else takes, always and in bursts of use.
        charger_w: What a charger brings while it is plugged in.
        ambient_c, c_per_w, tau_s: Its case warms towards ambient + c_per_w * power with this
            time constant.
        hot_c, limit_c: Where the processor begins to slow down, and where it is slowest.
        slowest: How many times slower it is then.
        gauge_s: Time constant over which the drain that the phone reports is averaged.
        sigma, spikes, spike: Lognormal noise of a latency; so many are a few times longer.
    """

    xl_ms: float = 50.0
    active_w: float = 3.6
    capacity_j: float = 4.0 * 3.85 * HOUR_S
    start: float = 0.64
    idle_w: float = 0.25
    screen_w: float = 0.9
    charger_w: float = 8.0
    ambient_c: float = 26.0
    c_per_w: float = 7.0
    tau_s: float = 240.0
    hot_c: float = 40.0
    limit_c: float = 48.0
    slowest: float = 2.2
    gauge_s: float = 3600.0
    sigma: float = 0.08
    spikes: float = 0.002
    spike: float = 2.5


@dataclass(frozen=True)
class Trace:
    """What happens during the day, whatever is run: one entry for each request.

    Attributes:
        at_s: When it comes, in s after 7:00, growing.
        slowdown: By other apps, 1 or more. screen, charging: Whether they are on.
        noise: Factor on the latency. case: Which evaluation image is asked about.
    """

    at_s: NDArray[np.float64]
    slowdown: NDArray[np.float64]
    screen: NDArray[np.bool_]
    charging: NDArray[np.bool_]
    noise: NDArray[np.float64]
    case: NDArray[np.int64]


def trace(phone: Phone, n_cases: int, seed: int = 0) -> Trace:
    """Return a day: a slow trickle of requests, and bursts in which the camera runs.

    0.2 requests a second all day; 20 bursts of 5 to 25 min at 10 a second, in which the screen
    is on; 30 spells of 1 to 6 min in which another app slows everything by 1.3 to 2.2; 35 min
    on a charger from 12:40 on.
    """
    random = np.random.default_rng(seed)
    length_s = (END_H - BEGIN_H) * HOUR_S

    def spells(n: int, least_s: float, most_s: float) -> NDArray[np.float64]:
        starts = np.sort(random.uniform(0, length_s - most_s, n))
        return np.stack([starts, starts + random.uniform(least_s, most_s, n)], axis=1)

    bursts, busy = spells(20, 300, 1500), spells(30, 60, 360)
    weights = random.uniform(1.3, 2.2, len(busy))
    times = [random.uniform(0, length_s, int(0.2 * length_s))]
    times += [random.uniform(start, stop, int(10 * (stop - start))) for start, stop in bursts]
    at_s = np.sort(np.concatenate(times))
    slowdown = np.ones(len(at_s))
    for (start, stop), weight in zip(busy, weights, strict=True):
        inside = (at_s >= start) & (at_s < stop)
        slowdown[inside] = np.maximum(slowdown[inside], weight)
    screen = np.zeros(len(at_s), bool)
    for start, stop in bursts:
        screen |= (at_s >= start) & (at_s < stop)
    plugged = (12 + 40 / 60 - BEGIN_H) * HOUR_S
    noise = np.exp(phone.sigma * random.standard_normal(len(at_s)))
    noise[random.random(len(at_s)) < phone.spikes] *= phone.spike
    return Trace(at_s, slowdown, screen, (at_s >= plugged) & (at_s < plugged + 35 * 60),
                 noise, random.integers(0, n_cases, len(at_s)))


@dataclass(frozen=True)
class Plan:
    """One plan of the bundle on the phone: per evaluation image, cool ms and right or wrong."""

    name: str
    accuracy: float
    risk: float | None
    cool_ms: NDArray[np.float64]
    right: NDArray[np.bool_]

    def choice(self, phone: Phone) -> Choice:
        """Return the profile that the governor gets: 5 % of latencies are above p95."""
        spread = float(np.exp(1.645 * phone.sigma))
        p50 = float(np.median(self.cool_ms))
        p95 = max(p50, float(np.percentile(self.cool_ms, 95))) * spread
        return Choice(self.name, p50, p95, energy_mj=float(self.cool_ms.mean()) * phone.active_w,
                      accuracy=self.accuracy, risk=self.risk, name=self.name)


@dataclass
class Day:
    """What came of a policy."""

    name: str
    asked: int = 0
    answered: int = 0
    right: int = 0
    late: int = 0
    switches: int = 0
    empty_s: float | None = None
    curve: list[tuple[float, float, float, str]] = field(default_factory=list)
    """(hours, battery %, case in C, plan), one each minute."""

    def figures(self, phone: Phone) -> dict[str, Any]:
        """Return the day in numbers, ready for JSON."""
        answered = max(1, self.answered)
        return {
            "policy": self.name, "asked": self.asked, "answered_pct": 100 * self.answered /
            self.asked, "accuracy_pct": 100 * self.right / answered,
            "right_of_asked_pct": 100 * self.right / self.asked,
            "late_pct": 100 * self.late / answered, "switches": self.switches,
            "battery_end_pct": self.curve[-1][1] if self.empty_s is None else 0.0,
            "empty_at": None if self.empty_s is None else clock_of(self.empty_s),
        }


def clock_of(at_s: float) -> str:
    """Return the time of day, HH:MM, so many seconds after 7:00."""
    minutes = int(BEGIN_H * 60 + at_s / 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


Choosing = Callable[[float, DeviceState], int]
Observing = Callable[[int, float, float, float], None]


def live(name: str, phone: Phone, day: Trace, plans: Sequence[Plan], choose: Choosing,
         observe: Observing) -> Day:
    """Return what a policy makes of a day."""
    done = Day(name, asked=len(day.at_s))
    left_j, case_c, before_s, last = phone.capacity_j * phone.start, phone.ambient_c, 0.0, -1
    minute, heat_w, drain_w = -1, 0.0, phone.idle_w
    for i, at_s in enumerate(day.at_s.tolist()):
        gone_s = at_s - before_s
        others_w = phone.idle_w + (phone.screen_w if day.screen[i] else 0.0)
        left_j -= others_w * gone_s - (phone.charger_w * gone_s if day.charging[i] else 0.0)
        left_j = min(left_j, phone.capacity_j)
        towards = phone.ambient_c + phone.c_per_w * (others_w + heat_w / max(gone_s, 1e-3))
        case_c += (towards - case_c) * (1 - np.exp(-gone_s / phone.tau_s))
        # As a fuel gauge averages it.
        drain_w += (others_w + heat_w / max(gone_s, 1e-3) - drain_w) * (
            1 - np.exp(-gone_s / phone.gauge_s))
        heat_w, before_s = 0.0, at_s
        if left_j <= 0:
            done.empty_s = at_s
            break
        share = (case_c - phone.hot_c) / (phone.limit_c - phone.hot_c)
        heat = 1 + (phone.slowest - 1) * min(max(share, 0.0), 1.0)
        battery_pct = 100 * left_j / phone.capacity_j
        state = DeviceState(battery_pct=battery_pct, charging=bool(day.charging[i]),
                            energy_left_mj=1e3 * left_j, battery_power_mw=1e3 * float(drain_w))
        picked = choose(at_s, state)
        cool = float(plans[picked].cool_ms[day.case[i]])
        latency_ms = cool * heat * float(day.slowdown[i] * day.noise[i])
        # A slowed processor takes as much longer as it draws less: the energy is the same.
        energy_mj = phone.active_w * cool
        left_j -= 1e-3 * energy_mj
        heat_w = 1e-3 * energy_mj
        observe(picked, latency_ms, energy_mj, at_s)
        done.answered += 1
        done.right += bool(plans[picked].right[day.case[i]])
        done.late += latency_ms > DEADLINE_MS
        done.switches += last not in (-1, picked)
        last = picked
        if int(at_s / 60) != minute:
            minute = int(at_s / 60)
            done.curve.append((BEGIN_H + at_s / HOUR_S, battery_pct, float(case_c),
                               plans[picked].name))
    return done


def fixed(phone: Phone, day: Trace, plans: Sequence[Plan], name: str) -> Day:
    """Return the day of a plan that is never changed."""
    place = next(i for i, plan in enumerate(plans) if plan.name == name)
    return live(f"fixed {name}", phone, day, plans, lambda at_s, state: place,
                lambda picked, latency_ms, energy_mj, at_s: None)


def governed(phone: Phone, day: Trace, plans: Sequence[Plan], name: str, budget: Budget,
             rate_hz: float) -> Day:
    """Return the day of the governor under a budget, told how many requests to expect."""
    midnight = datetime(2024, 5, 1)
    now = [0.0]
    governor = Governor([plan.choice(phone) for plan in plans],
                        clock=lambda: midnight + timedelta(hours=BEGIN_H, seconds=now[0]))

    def choose(at_s: float, state: DeviceState) -> int:
        now[0] = at_s
        return governor.decide(budget, state, now_s=at_s, rate_hz=rate_hz).index

    def observe(picked: int, latency_ms: float, energy_mj: float, at_s: float) -> None:
        governor.observe(governor.choices[picked], latency_ms, energy_mj, now_s=at_s)

    return live(name, phone, day, plans, choose, observe)


BUDGETS: dict[str, Budget] = {
    f"{AIM_MS:g} ms": Budget(latency_ms=AIM_MS),
    f"{AIM_MS:g} ms, last until 23:00": Budget(latency_ms=AIM_MS, battery="last until 23:00"),
    f"{AIM_MS:g} ms, last until 23:00, risk 0.02": Budget(
        latency_ms=AIM_MS, battery="last until 23:00", risk=0.02),
    f"{AIM_MS:g} ms, floor 30 %": Budget(latency_ms=AIM_MS, battery=30),
}


def plans_of(bundle: Bundle, phone: Phone, answers: dict[str, Any]) -> list[Plan]:
    """Return the bundle's plans on the phone.

    Args:
        bundle: With a profile; its fastest thread count is taken.
        phone: Scales the profile's medians.
        answers: By plan, `right` (n,) bool and `levels` (n,) int64, on the evaluation images.
    """
    if bundle.profile_content is None:
        raise typer.BadParameter(f"profile it first: python -m edge_sdk.profile {bundle.path}")
    measured = {row["name"]: row for row in bundle.profile_content["plans"]
                if row["threads"] == 1}
    full = list(bundle.metadata().granularities)[-1]
    scale = phone.xl_ms / measured[full]["latency_p50_ms"]
    plans = []
    for name, answer in answers.items():
        cascade = bundle.cascades.get(name)
        order = cascade.granularities if cascade is not None else (name,)
        steps = np.cumsum([measured[granularity]["latency_p50_ms"] for granularity in order])
        # Dims of one granularity cost the same: the head is nothing beside the network.
        place = {granularity: i for i, granularity in enumerate(order)}
        granularities = ([level.granularity for level in cascade.levels]
                         if cascade is not None else [name])
        of_level = np.array([steps[place[granularity]] for granularity in granularities])
        plans.append(Plan(name, float(answer["right"].mean()), measured[name]["risk"],
                          scale * of_level[answer["levels"]], answer["right"]))
    return plans


def simulate(bundle: Bundle, answers: dict[str, Any], *, seeds: Sequence[int] = (0,)) -> dict[
        str, Any]:
    """Return the figures of every policy, one list for each seed, and the first day's curves."""
    phone = Phone()
    plans = plans_of(bundle, phone, answers)
    n_cases = len(plans[0].right)
    days: dict[str, list[dict[str, Any]]] = {}
    curves = {}
    for seed in seeds:
        day = trace(phone, n_cases, seed)
        # What the application expects is another day's rate, not this one's.
        before = trace(phone, n_cases, seed + 1000)
        rate_hz = len(before.at_s) / ((END_H - BEGIN_H) * HOUR_S)
        lived = [fixed(phone, day, plans, name) for name in ("S", "M", "XL")]
        lived += [governed(phone, day, plans, f"governor, {name}", budget, rate_hz)
                  for name, budget in BUDGETS.items()]
        for one in lived:
            days.setdefault(one.name, []).append(one.figures(phone))
            if seed == seeds[0]:
                curves[one.name] = one.curve
    return {"phone": vars(phone), "deadline_ms": DEADLINE_MS, "aim_ms": AIM_MS,
            "seeds": list(seeds), "days": days, "curves": curves}


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw battery and plan over the first day, one line a policy."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.hashsalt"] = "edge-sdk"  # the same picture for the same day
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True,
                                          height_ratios=(2, 1))
    for name, curve in results["curves"].items():
        hours = [point[0] for point in curve]
        style = "-" if name.startswith("governor") else "--"
        above.plot(hours, [point[1] for point in curve], style, label=name, linewidth=1.3)
    above.set_ylabel("battery, %")
    above.set_ylim(0, 100)
    above.legend(fontsize=7)
    paced = next(name for name in results["curves"] if "last until" in name)
    names = list(dict.fromkeys(point[3] for point in results["curves"][paced]))
    below.scatter([point[0] for point in results["curves"][paced]],
                  [names.index(point[3]) for point in results["curves"][paced]], s=2)
    below.set_yticks(range(len(names)), names)
    below.set_xlabel(f"time of day, h; below: what the policy '{paced}' ran")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="With a profile.")],
    data: Annotated[Path | None, typer.Option(help="Folder with data sets.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Days.")] = 3,
    picture: Annotated[Path, typer.Option(help="Where to draw the first day.")] = Path(
        "build/day.svg"),
) -> None:
    """Replay days for every policy and print what came of them."""
    from benchmarks.adaptive_omniglot import Omniglot
    from benchmarks.rows import Scale

    omniglot = Omniglot(Bundle.open(folder), str(data) if data else None, Scale())
    results = simulate(omniglot.bundle, omniglot.answers(), seeds=range(seeds))
    for lines in results["days"].values():
        for figures in lines:
            say(json.dumps(figures))
    picture.parent.mkdir(parents=True, exist_ok=True)
    plot(results, picture)


if __name__ == "__main__":
    command(main)()
