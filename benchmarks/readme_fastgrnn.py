"""Makes the README's words on FastGRNN: `python -m benchmarks.readme_fastgrnn DEVICE`.

From the results of a device, the card of the shipped model, and the microcontroller's budget.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from benchmarks.elastic import RESULTS
from benchmarks.readme import README
from benchmarks.rows import Row, number, title, verdict
from edge_sdk.console import command, say

BEGIN, END = "<!-- fastgrnn:begin -->", "<!-- fastgrnn:end -->"
ROOT = Path(__file__).parent.parent
CARD = ROOT / "edge_sdk" / "zoo" / "cards" / "fastgrnn-digits-speech.json"
BUDGET = ROOT / "runtime" / "examples" / "microcontroller" / "budget.json"
COLUMNS = "|---|---|---|---|---|---|"


def block(results: dict[str, Any], card: dict[str, Any], budget: dict[str, Any]) -> str:
    """Return the README's block.

    Args:
        results: One device's fastgrnn.json.
        card: The shipped model's.
        budget: Of the firmwares, as run.py recorded it.
    """
    parts = results["parts"]
    lines = [*_forms(card), ""]
    if "latency" in parts:
        lines += [*_latency(parts["latency"]), ""]
    if "agreement" in parts:
        lines += [*_agreement(parts["agreement"]), ""]
    lines += [*_sizes(parts.get("sizes", {"rows": []}), budget), ""]
    if "early" in parts:
        lines += [*_early(parts["early"]), ""]
    return "\n".join([*lines, _measured(results)])


def _forms(card: dict[str, Any]) -> list[str]:
    lines = ["| form | H | ranks W/U | float32 bytes | top-1, % | integer bytes | top-1, % "
             "| speaker unheard, % |", "|---|---|---|---|---|---|---|---|"]
    for row in card["summary"]:
        ranks = " or ".join("whole" if pair[0] is None else f"{pair[0]}/{pair[1]}"
                            for pair in row["ranks"])
        lines.append(
            f"| {row['form']} | {row['n_hidden']} | {ranks} | {row['float32_bytes']:,} "
            f"| {_percent(row['float32'], row['float32_spread'])} | {row['integer_bytes']:,} "
            f"| {_percent(row['integer'], row['integer_spread'])} "
            f"| {_percent(row['unheard'], row['unheard_spread'])} |")
    seeds = sorted({row["seeds"] for row in card["summary"]})
    unheard = max(row["unheard_seeds"] for row in card["summary"])
    return [*lines, "", (
        f"Ten spoken digits, {card['data']['n']:,} recordings; means ± standard deviations of "
        f"{' or '.join(map(str, seeds))} seeds, of {unheard} for unheard speakers; "
        f"[the card](edge_sdk/zoo/cards/{card['name']}.md) "
        f"has what the forms are, how they were trained, and how far to trust this. "
        f"`{card['shipped']}` is shipped.")]


def _percent(value: float | None, spread: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")


def _latency(part: dict[str, Any]) -> list[str]:
    lines = [f"| {part['model']}, fp32 | ours | peer | | ratio | target |", COLUMNS]
    # Of the peer's forms of a whole sequence all are shown; of ours the one of the target.
    lines += [_row(row) for row in part["rows"] if not row["what"].partition(":")[0]
              .endswith("states")]
    sizes = part["file_bytes"]
    return [*lines, "", (
        "Called from Python, each engine in a process of its own and as lean as it can be "
        "(`benchmarks/fastgrnn_calls.py`): memory bound before, outputs read in place. `step` is "
        "the bare call; in a stream the frame comes in the caller's array, and the state goes on. "
        f"Unrolled for one length, a file has {sizes['whole.tflite']:,} bytes (LiteRT), "
        f"{sizes['whole.pte']:,} (ExecuTorch) or {sizes['whole.onnx']:,} (ONNX); `.grnn` takes any "
        f"length in {sizes['cell.grnn']:,}.")]


def _row(row: Row) -> str:
    return (f"| {title(row)} | {number(row['ours'])} | {number(row['peer'])} | {row['unit']} "
            f"| {number(row['ratio'])} | {verdict(row)} |")


def _agreement(part: dict[str, Any]) -> list[str]:
    lines = ["| max difference from eager | whole words | step by step | one beside the other "
             "| top-1, % |", "|---|---|---|---|---|"]
    for name, found in part["targets"].items():
        cells = [f"{found[way]:.1e}" if way in found else "-"
                 for way in ("whole", "step", "streaming")]
        lines.append(f"| {name} | {' | '.join(cells)} | {_percent(found['accuracy'])} |")
    worst = max(part["rows"], key=lambda row: float(row["ours"]))
    return [*lines, "", (
        f"The shipped model in fp32, logits after each of {part['frames']:,} frames of the "
        f"{part['n']} held-out words, and their last states. The largest number is "
        f"{part['largest']:.1f}, and eager mode is {part['eager_from_float64']:.1e} from float64; "
        f"the largest difference is {worst['ours']:.1e} of the largest number "
        f"({verdict(worst)}).")]


def _sizes(part: dict[str, Any], budget: dict[str, Any]) -> list[str]:
    lines = []
    if part["rows"]:
        lines += ["| the shipped model | bytes | target |", "|---|---|---|"]
        lines += [f"| {row['what']} | {row['ours']:,} | {verdict(row)} |" for row in part["rows"]]
        lines += [""]
    lines += ["| firmware in QEMU | flash, bytes | RAM, bytes | instructions a step "
              "| ... and of the front end |", "|---|---|---|---|---|"]
    for name, found in budget.items():
        core, _, source = name.partition(" ")
        front_end = found.get("instructions_per_front_end")
        lines.append(f"| {core}, from {source or 'features'} | {found['flash_bytes']:,} "
                     f"| {found['ram_bytes']:,} | {found['instructions_per_step']:,} "
                     f"| {'-' if front_end is None else f'{front_end:,}'} |")
    compilers = sorted({found["compiler"] for found in budget.values()})
    return [*lines, "", (
        f"All of a firmware's flash and RAM, {' or '.join(compilers)}; instructions of the frame "
        "that took the most, not cycles: no board was used "
        "([more](runtime/examples/microcontroller/README.md)).")]


def _early(part: dict[str, Any]) -> list[str]:
    lines = ["| stop when sure | early | to the end | | ratio | target |", COLUMNS]
    for row in part["rows"]:
        lines.append(f"| {row['what']} | {number(row['ours'])} | {number(row['peer'])} "
                     f"| {row['unit']} | {number(row['ratio'])} | {verdict(row)} |")
    return [*lines, "", (
        f"{part['n']} held-out words as the gate cuts them, in integers: each draw fits thresholds "
        f"on a half, to lose at most {100 * part['epsilon']:g} points with probability "
        f"{1 - part['delta']:g}, and measures the other.")]


def _measured(results: dict[str, Any]) -> str:
    commands = ", ".join(f"`{part['command']}`" for part in results["parts"].values())
    packages = ", ".join(f"{name} {number}" for name, number in results["packages"].items())
    return (f"Measured on `{results['device']}`, {results['isa']}, one thread, medians, peers in "
            f"turns, part by part: {commands} ({packages}). No phone, Raspberry Pi or other ARM "
            "device was measured, and no energy.")


def main(device: str = typer.Argument(..., help="A folder of benchmarks/results.")) -> None:
    """Write the tables of DEVICE into the README."""
    results, card, budget = (json.loads(path.read_text())
                             for path in (RESULTS / device / "fastgrnn.json", CARD, BUDGET))
    head, begin, rest = README.read_text().partition(BEGIN)
    if not begin:
        raise typer.BadParameter(f"{README.name} has no {BEGIN}")
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{block(results, card, budget)}\n{END}{tail}")
    say(f"wrote   {README.name}")


if __name__ == "__main__":
    command(main)()
