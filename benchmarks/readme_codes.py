"""Makes the README's words on codes from measured results: `python -m benchmarks.readme_codes`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from benchmarks.elastic import RESULTS
from benchmarks.readme import README
from benchmarks.rows import Row, number
from edge_sdk.console import command, say

BEGIN, END = "<!-- codes:begin -->", "<!-- codes:end -->"
PICTURE = "ord-curve.svg"
SHOWN = (1, 4, 16, 64, 256, 1024, 4096)
"""Look-ups of the README's rows; all are in codes.json."""


def block(results: dict[str, Any]) -> str:
    """Return the README's block of one device's results: tables, picture, and on what."""
    lines = ["| | ours | peer | | ratio | target |", "|---|---|---|---|---|---|"]
    lines += [_row(made) for made in _shown(results)]
    lines += ["", f"Measured on `{results['device']}`, one thread, ours and the peer in turns, "
              f"medians, part by part: {_commands(results)} (faiss {results['faiss']}, numpy "
              f"{results['numpy']}). Rows without a target are reported, not claimed. No phone, "
              "Raspberry Pi or other ARM device was measured."]
    study = results["parts"].get("omniglot", {})
    if study.get("codebooks"):
        lines += ["", *_codebooks(study), "", *_curve(results["device"], study)]
    return "\n".join(lines)


def _commands(results: dict[str, Any]) -> str:
    return ", ".join(f"`{part['command']}`" for part in results["parts"].values())


def _shown(results: dict[str, Any]) -> Iterator[Row]:
    """Give the rows of the best instruction set, and of others the batches with a target."""
    best = results["isas"][-1]
    for part in results["parts"].values():
        for made in part["rows"]:
            if made["isa"] == best or (made["target"] and "batch of 32" in made["what"]):
                yield made


def _row(made: Row) -> str:
    peer = "" if made["peer"] is None else f"{number(made['peer'])} ({made['peer_name']})"
    ratio = "" if made["ratio"] is None else f"{number(made['ratio'])}×"
    target = made["target"].replace("ratio >=", "≥").replace("ours <=", "≤")
    if made["target"] and not made["met"]:
        target += ", **missed**"
    return (f"| {made['what']} | {number(made['ours'])} | {peer} | {made['unit']} | {ratio} "
            f"| {target} |")


def _codebooks(study: dict[str, Any]) -> list[str]:
    books = study["codebooks"]
    decoders = list(next(iter(books.values()))["top1"])
    lines = ["| codebook | classes, bits | wrong bits | " + " | ".join(decoders) + " |",
             "|---|---|---|" + "---|" * len(decoders)]
    for name, book in books.items():
        top1 = " | ".join(f"{book['top1'][decoder]:.2%}" for decoder in decoders)
        lines.append(f"| {name} | {book['classes']:,}, {book['bits']} | {book['wrong_bits']:.2%} "
                     f"| {top1} |")
    fitted = sorted({book["calibrated_on"] for book in books.values()})
    images = sorted({book["images"] for book in books.values()})
    lines += ["", "Top-1 on " + " or ".join(f"{n:,}" for n in images)
              + f" held-out images; calibrations were fitted on {' or '.join(fitted)}."]
    return lines


def _curve(device: str, study: dict[str, Any]) -> list[str]:
    name = study["pictured"]
    if name is None:
        return []
    lines = [f"![What ORD recovers, and what it costs](benchmarks/results/{device}/{PICTURE})", "",
             f"ORD, {name}, at most so many look-ups:", "",
             "| look-ups | answered | right | then MHD | then soft scan | mean, median look-ups "
             "| µs a query, then soft scan |", "|---|---|---|---|---|---|---|"]
    for point in study["codebooks"][name]["curve"]:
        if point["max_lookups"] in SHOWN:
            lines.append(
                f"| {point['max_lookups']:,} | {point['answered']:.1%} | {point['right_none']:.1%} "
                f"| {point['right_mhd']:.1%} | {point['right_soft']:.1%} "
                f"| {point['mean_lookups']:.1f}, {point['median_lookups']:.0f} "
                f"| {point['us']:.2f} |")
    return lines


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw ORD's accuracy and time against the most look-ups it may make."""
    import matplotlib as mpl

    mpl.use("Agg")
    # One picture from one set of numbers: no date, no random ids.
    mpl.rcParams["svg.hashsalt"] = "edge_sdk"
    from matplotlib import pyplot

    study = results["parts"]["omniglot"]
    name = study["pictured"]
    book = study["codebooks"][name]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    x = [point["max_lookups"] for point in book["curve"]]
    series = (("right_soft", "right, then soft scan", "tab:green"),
              ("right_mhd", "right, then MHD", "tab:blue"),
              ("right_none", "right, none", "tab:red"), ("answered", "answered", "tab:gray"))
    for key, label, color in series:
        for curve, style in (("curve", "-"), ("curve_calibrated", "--")):
            left.plot(x, [point[key] * 100 for point in book[curve]], style, color=color,
                      label=label if style == "-" else None)
    left.plot([], [], "--", color="black", label="calibrated")
    for decoder, color in (("ED", "black"), ("MHD", "tab:blue"), ("soft", "tab:green")):
        share = book["top1"][decoder] * 100
        left.axhline(share, color=color, linewidth=0.7, linestyle=":")
        left.annotate(decoder, (x[len(x) // 4], share), xytext=(0, 2),
                      textcoords="offset points", fontsize=7)
    left.set_ylabel("% of held-out images")
    left.set_title(f"{name}: {book['classes']:,} classes, {book['bits']} bits")
    left.legend(fontsize=8, loc="lower right")
    right.plot(x, [point["us"] for point in book["curve"]], "-o", markersize=3, color="tab:purple",
               label="ORD, then soft scan")
    right.axhline(book["soft_us"], color="black", linewidth=0.7, linestyle=":",
                  label="soft scan of all classes")
    right.set_ylabel("µs a query, one thread")
    right.set_ylim(bottom=0)
    right.set_title(f"time on {results['device']}")
    right.legend(fontsize=8, loc="upper left")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(x[::2], [f"{lookups:,}" for lookups in x[::2]])
        axes.set_xlabel("most look-ups")
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(
    device: str = typer.Argument(..., help="A folder of benchmarks/results."),
) -> None:
    """Write the tables of DEVICE into the README, and the picture beside the results."""
    folder = RESULTS / device
    results = json.loads((folder / "codes.json").read_text())
    head, begin, rest = README.read_text().partition(BEGIN)
    if not begin:
        raise typer.BadParameter(f"{README.name} has no {BEGIN}")
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{block(results)}\n{END}{tail}")
    if results["parts"].get("omniglot", {}).get("pictured"):
        draw(results, folder / PICTURE)
    say(f"wrote   {README.name} and {folder / PICTURE}")


if __name__ == "__main__":
    command(main)()
