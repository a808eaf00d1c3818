"""Makes the README's words on sparse models: `python -m benchmarks.readme_sparse DEVICE`.

From the results of a device, and the card of the shipped model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from benchmarks.elastic import RESULTS
from benchmarks.readme import README
from benchmarks.rows import Row, number, title, verdict
from benchmarks.sparse_calls import CORE
from edge_sdk.console import command, say
from edge_sdk.zoo.str_cifar10_card import WORDS, percent

BEGIN, END = "<!-- sparse:begin -->", "<!-- sparse:end -->"
CARD = Path(__file__).parent.parent / "edge_sdk" / "zoo" / "cards" / "str-cifar10.json"
COLUMNS = "|---|---|---|---|---|---|"


def block(results: dict[str, Any], card: dict[str, Any]) -> str:
    """Return the README's block.

    Args:
        results: One device's sparse.json.
        card: The shipped model's.
    """
    parts = results["parts"]
    made = {"kernels": _kernels, "crossover": _crossover, "model": _model, "files": _files}
    lines = [*_accuracy(card), ""]
    for name, words in made.items():
        if name in parts:
            lines += [*words(parts[name]), ""]
    return "\n".join([*lines, _measured(results)])


def _accuracy(card: dict[str, Any]) -> list[str]:
    lines = ["| zeros | method | seeds | top-1, % | parameters | MACs |", COLUMNS]
    for row in card["summary"]:
        zeros = f"{row['percent']} %" if row["percent"] else "0"
        lines.append(f"| {zeros} | {WORDS[row['method']]} | {row['seeds']} "
                     f"| {percent(row['top1'], row['top1_spread'])} | {round(row['parameters']):,} "
                     f"| {round(row['macs']):,} |")
    return [*lines, "", (
        f"CIFAR-10, {card['recipe']['epochs']} epochs for each method, means ± standard deviations "
        f"where there are several seeds; [the card](edge_sdk/zoo/cards/{card['name']}.md) has "
        f"what steers the sparsity and what was tried. `{card['shipped']}` is shipped.")]


def _cells(row: Row) -> str:
    return (f"| {title(row)} | {number(row['ours'])} | {number(row['peer'])} | {row['unit']} "
            f"| {number(row['ratio'])} | {verdict(row)} |")


def _kernels(part: dict[str, Any]) -> list[str]:
    shown = [row for row in part["rows"] if CORE in row["what"] and "float32" in row["what"]]
    return ["| one layer | sparse | dense | | ratio | target |", COLUMNS,
            *map(_cells, shown), "", (
        "`SparseMatrix.linear` beside the faster of ExecuTorch's and ONNX Runtime's dense float32, "
        "each in a process of its own and called as lean as it can be "
        "(`benchmarks/sparse_calls.py`). As operator in ExecuTorch, and with int8 values: see the "
        "results.")]


def _crossover(part: dict[str, Any]) -> list[str]:
    lines = ["| our operator is faster than XNNPACK from | float32 | int8 values |",
             "|---|---|---|"]
    found: dict[str, dict[str, float]] = {}
    for row in part["rows"]:
        found.setdefault(row["layer"], {})[row["form"]] = row["break_even"]
    lines += [f"| {name} | {_share(one['float32'])} | {_share(one['int8'])} |"
              for name, one in found.items()]
    return [*lines, "", (
        "Both in ExecuTorch. The lowest share measured is 50 %; `exporters/sparse/choice.py` "
        "decides by these, and leaves other layers dense.")]


def _share(value: float) -> str:
    return "never" if value >= 1.0 else f"{100 * value:.0f} % zeros"


def _model(part: dict[str, Any]) -> list[str]:
    return ["| str-cifar10, 90 % zeros, one image | ours | peer | | ratio | target |", COLUMNS,
            *map(_cells, part["rows"])]


def _files(part: dict[str, Any]) -> list[str]:
    lines = ["| file | bytes | dense, bytes | ratio | target |", "|---|---|---|---|---|"]
    lines += [f"| {row['what']} | {row['bytes']:,} | {row['dense_bytes']:,} "
              f"| {row['ours']:.3f} | {verdict(row)} |" for row in part["rows"]]
    return [*lines, "", (
        "Whole files with metadata and one golden case, beside the dense float32 file of the same "
        "target. The shipped model's zeros are learnt; the others are random weights of which each "
        "layer's smallest are zero, for their bytes alone.")]


def _measured(results: dict[str, Any]) -> str:
    commands = ", ".join(f"`{part['command']}`" for part in results["parts"].values())
    packages = ", ".join(f"{name} {version}" for name, version in results["packages"].items())
    return (f"Measured on `{results['device']}`, {results['isa']}, one thread, medians, peers in "
            f"turns, part by part: {commands} ({packages}). No phone, Raspberry Pi or other ARM "
            "device was measured, and no energy.")


def main(device: str = typer.Argument(..., help="A folder of benchmarks/results.")) -> None:
    """Write the tables of DEVICE into the README."""
    results, card = (json.loads(path.read_text())
                     for path in (RESULTS / device / "sparse.json", CARD))
    head, begin, rest = README.read_text().partition(BEGIN)
    if not begin:
        raise typer.BadParameter(f"{README.name} has no {BEGIN}")
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{block(results, card)}\n{END}{tail}")
    say(f"wrote   {README.name}")


if __name__ == "__main__":
    command(main)()
