"""Makes the README's table and picture from measured results: `python -m benchmarks.readme`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from benchmarks.elastic import RESULTS, SIZES
from edge_sdk.console import command, say

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- elastic:begin -->", "<!-- elastic:end -->"
NAMES = {"executorch": "ExecuTorch", "litert": "LiteRT", "onnx": "ONNX Runtime"}
PICTURE = "accuracy-latency.svg"
PICTURED = "matvit-omniglot"

Row = tuple[str, Callable[[dict[str, Any]], str]]


def _ratios(rows: dict[str, Any]) -> str:
    return " ".join(f"{rows['latency'][size]['ratio']:.2f}" for size in SIZES)


def _int8(model: str) -> Row:
    def cell(engine: dict[str, Any]) -> str:
        if model not in engine["zoo"]:
            return "not measured"
        sizes = engine["zoo"][model]["int8"].values()
        agreement = min(size["argmax_agreement"] for size in sizes)
        drop = max(size["fp32"] - size["top1"] for size in sizes)
        return f"{agreement:.2%}, {drop * 100:+.2f}"

    return f"int8 agrees with fp32, {model} (least of S-XL; points lost, most)", cell


def _zoo(engine: dict[str, Any], model: str) -> str:
    rows = engine["zoo"].get(model)
    return "not measured" if rows is None else f"{rows['elastic_over_xl']:.3f}"


ROWS: Sequence[Row] = (
    ("elastic file / XL file, bytes", lambda e: f"{e['none']['elastic_over_xl']:.3f}"),
    ("... of matvit-cifar10", lambda e: _zoo(e, "matvit-cifar10")),
    ("each further Mix'n'Match, bytes", lambda e: f"{e['none']['bytes_per_further_mix']:,.0f}"),
    ("latency inside / own file, S M L XL", lambda e: _ratios(e["none"])),
    ("... int8", lambda e: _ratios(e["int8"])),
    ("peak RAM of all four / XL alone", lambda e: f"{e['none']['ram']['ratio']:.2f}"),
    ("... MB", lambda e: f"{e['none']['ram']['all_mb']:.1f} / {e['none']['ram']['xl_mb']:.1f}"),
    ("switching S and XL beside repeating them, µs a call, matvit-digits",
     lambda e: f"{e['none']['digits_switch_us']:+.1f}"),
    ("... of the larger model, whose weights leave the caches",
     lambda e: f"{e['none']['switch_us']:+.0f}"),
    ("max difference from eager, fp32", lambda e: f"{e['none']['max_difference']:.1e}"),
    ("int8 / fp32 at XL: bytes, latency",
     lambda e: f"{e['int8_over_fp32']['bytes']:.3f}, {e['int8_over_fp32']['latency_xl']:.2f}"),
    ("... elastic", lambda e: f"{e['int8_over_fp32']['elastic_bytes']:.3f}, "
                              f"{e['int8_over_fp32']['elastic_latency_xl']:.2f}"),
    _int8("matvit-digits"),
    _int8("matvit-omniglot"),
    _int8("matvit-cifar10"),
    ("cold `edge_sdk.inspect`, s", lambda e: f"{e['cold_inspect_s']:.2f}"),
)


def block(results: dict[str, Any]) -> str:
    """Return the README's block of one device's results: the picture, the table, and on what."""
    engines = [name for name in NAMES if name in results]
    picture = f"benchmarks/results/{results['device']}/{PICTURE}"
    lines = [f"![Accuracy against latency of four sizes in one file]({picture})", "",
             "| | " + " | ".join(NAMES[name] for name in engines) + " |",
             "|---|" + "---|" * len(engines)]
    for title, cell in ROWS:
        lines.append(f"| {title} | " + " | ".join(cell(results[name]) for name in engines) + " |")
    lines += ["", f"Measured on `{results['device']}`, one thread, by `{results['command']}`; "
              "sizes, RAM and latency are of a MatViT with d_model 192, d_ff 768, 6 layers and "
              "2.7M random weights. No phone, Raspberry Pi or other ARM device was measured."]
    lines += ["", fit_words(json.loads((RESULTS / f"fit-{PICTURED}.json").read_text()))]
    return "\n".join(lines)


def fit_words(results: dict[str, Any]) -> str:
    """Return how the mixes chosen for budgets fare beside uniform granularities, in words."""
    gains = [row["top1"] - row["uniform_top1"] for row in results["budgets"]]
    above, below = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return (f"Choosing for a budget: of {len(gains)} budgets of MACs between S and XL of "
            f"{PICTURED}, the Mix'n'Match that `--fit-macs` chooses is more accurate than the "
            f"largest uniform granularity below the budget in {above}, as accurate in "
            f"{len(gains) - above - below} and less in {below} ({min(gains) * 100:+.2f} to "
            f"{max(gains) * 100:+.2f} points on {results['n']:,} held-out images; "
            f"`{results['command']}`).")


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw accuracy against latency of S, M, L and XL, a line for each engine and precision."""
    import matplotlib as mpl

    mpl.use("Agg")
    # One picture from one set of numbers: no date, no random ids.
    mpl.rcParams["svg.hashsalt"] = "edge_sdk"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for color, name in zip(("tab:red", "tab:blue", "tab:green"), NAMES, strict=True):
        if name not in results:
            continue
        zoo = results[name]["zoo"][PICTURED]
        for latency, key, style in (("latency_ms", "fp32", "-o"), ("int8_latency_ms", "top1",
                                                                   "--s")):
            x = [zoo[latency][size] for size in SIZES]
            y = [zoo["int8"][size][key] * 100 for size in SIZES]
            precision = "fp32" if key == "fp32" else "int8"
            axes.plot(x, y, style, color=color, label=f"{NAMES[name]} {precision}")
            for size, at_x, at_y in zip(SIZES, x, y, strict=True):
                axes.annotate(size, (at_x, at_y), xytext=(4, -10), textcoords="offset points",
                              fontsize=7)
    axes.set_xlabel(f"latency, ms, one thread, {results['device']}")
    axes.set_ylabel("top-1, %, held-out drawers")
    axes.set_title(f"{PICTURED}: one elastic file, four sizes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(
    device: str = typer.Argument(..., help="A folder of benchmarks/results."),
) -> None:
    """Write the table of DEVICE into the README, and its picture beside the results."""
    folder = RESULTS / device
    results = json.loads((folder / "elastic.json").read_text())
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{block(results)}\n{END}{tail}")
    draw(results, folder / PICTURE)
    say(f"wrote   {README.name} and {folder / PICTURE}")


if __name__ == "__main__":
    command(main)()
