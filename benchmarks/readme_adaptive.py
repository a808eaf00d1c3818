"""Makes the README's words on what adapts: `python -m benchmarks.readme_adaptive DEVICE`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import typer

from benchmarks.elastic import RESULTS
from benchmarks.readme import README
from benchmarks.rows import Row, number, title, verdict
from edge_sdk.console import command, say

BEGIN, END = "<!-- adaptive:begin -->", "<!-- adaptive:end -->"
PICTURE = "day.svg"
SHOWN: dict[str, Callable[[Row], bool]] = {
    "dims": lambda made: True,
    "levels": lambda made: True,
    "guarantee": lambda made: True,
    "cascade": lambda made: True,
    "retrieval": lambda made: made["what"].startswith("top 10") or made["unit"] == "recall@10",
    # Shorter lists than anybody would use are in adaptive.json.
    "funnel": lambda made: made["unit"] == "recall@10" and made["ours"] >= 0.95,
    "queries": lambda made: "192 dims" in made["what"],
}
"""Which rows of each part are shown."""


def block(results: dict[str, Any]) -> str:
    """Return the README's block of one device's results."""
    parts = results["parts"]
    lines = ["| | ours | peer | | ratio | target |", "|---|---|---|---|---|---|"]
    for name, shown in SHOWN.items():
        if name in parts:
            lines += [_row(made) for made in parts[name]["rows"] if shown(made)]
    if "governor" in parts:
        lines += _governor(parts["governor"])
    commands = ", ".join(f"`{part['command']}`" for part in parts.values())
    lines += ["", (
        f"Measured on `{results['device']}`, one thread, peers in turns, part by part: {commands} "
        f"(faiss {results['faiss']}, numpy {results['numpy']}). Omniglot: thresholds learnt on "
        "drawers 16 and 17, figures of drawers 18 to 20. Retrieval: a million synthetic vectors of "
        "256 dims. The governor's loads are simulated. No phone, Raspberry Pi or other ARM device "
        "was measured, and no energy.")]
    if "day" in parts:
        lines += ["", *_day(results["device"], parts["day"])]
    return "\n".join(lines)


def _row(made: Row) -> str:
    return (f"| {title(made)} | {number(made['ours'])} | {number(made['peer'])} | {made['unit']} "
            f"| {number(made['ratio'])} | {verdict(made)} |")


def _governor(part: dict[str, Any]) -> list[str]:
    found = part["parts"]
    rows = []
    for where in ("in C", "in Python"):
        limit = 2 if where == "in C" else 5
        for made in found[where]:
            us = next(value for key, value in made.items() if key.startswith("decide"))
            rows.append(f"| governor, {made['choices']} choices, {where} | {us:.2f} | | "
                        f"µs a decision | | <= {limit} {'ok' if us <= limit else 'MISSED'} |")
    worst = max(made["worst_p95_of_budget"] for made in found["doubling"] if not made["spikes"])
    rows.append(f"| governor, latency doubles and halves: worst p95 from 50 inferences on "
                f"| {worst:.2f} | | of the budget | | <= 1 {'ok' if worst <= 1 else 'MISSED'} |")
    most = max(made["most_switches_a_minute"] for made in found["borders"])
    rows.append(f"| governor, loads at the border of two choices | {most} | | most switches a "
                f"minute | | <= 3 {'ok' if most <= 3 else 'MISSED'} |")
    return rows


def _day(device: str, part: dict[str, Any]) -> list[str]:
    n = len(part["seeds"])
    lines = [f"![Battery and plan over a simulated day](benchmarks/results/{device}/{PICTURE})", "",
             f"{n} simulated days on a phone that is assumed, not measured (`benchmarks/day.py` "
             f"says how), deadline {part['deadline_ms']:g} ms, means over days:", "",
             "| policy | answered | top-1 of these | right of all asked | past the deadline "
             "| days the battery lasted | switches |", "|---|---|---|---|---|---|---|"]
    for name, days in part["days"].items():
        def mean(key: str, days: list[dict[str, Any]] = days) -> float:
            return float(sum(day[key] for day in days)) / len(days)

        lasted = sum(day["empty_at"] is None for day in days)
        lines.append(
            f"| {name} | {mean('answered_pct'):.1f} % | {mean('accuracy_pct'):.2f} % "
            f"| {mean('right_of_asked_pct'):.2f} % | {mean('late_pct'):.2f} % | {lasted} of {n} "
            f"| {mean('switches'):.0f} |")
    return lines


def main(device: str = typer.Argument(..., help="A folder of benchmarks/results.")) -> None:
    """Write the tables of DEVICE into the README."""
    results = json.loads((RESULTS / device / "adaptive.json").read_text())
    head, begin, rest = README.read_text().partition(BEGIN)
    if not begin:
        raise typer.BadParameter(f"{README.name} has no {BEGIN}")
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{block(results)}\n{END}{tail}")
    say(f"wrote   {README.name}")


if __name__ == "__main__":
    command(main)()
