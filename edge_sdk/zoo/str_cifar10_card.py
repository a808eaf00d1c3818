"""The card of `str-cifar10` as text: rendered from its JSON alone, words included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_sdk.zoo.str_cifar10_evaluate import summary

Card = Mapping[str, Any]

WORDS = {"dense": "dense", "str": "STR", "gmp": "GMP, one ranking over all layers",
         "budget": "GMP under STR's budget"}


def lines(figures: Card) -> list[str]:
    """Return the figures as aligned text: a line a run, then one a method and sparsity."""
    found = [f"{'run':<16}{'top-1 %':>9}{'zeros %':>9}{'parameters':>12}{'MACs':>13}{'reached':>9}"]
    for run in figures["runs"]:
        reached = "" if run["reached"] is None else f"{run['reached']:.2f}"
        found.append(f"{run['name']:<16}{100 * run['top1']:>9.2f}{100 * run['sparsity']:>9.2f}"
                     f"{run['parameters']:>12,}{run['macs']:>13,}{reached:>9}")
    found += ["  ".join(_cells(row)) for row in summary(figures["runs"])]
    return found + [f"not trained: {name}" for name in figures["not_trained"]]


def percent(value: float, spread: float | None = None) -> str:
    """Return a share in %, with its spread over seeds where there is one."""
    return f"{100 * value:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")


def _cells(row: Card) -> list[str]:
    return [f"{row['percent']} %" if row["percent"] else "0", WORDS[row["method"]],
            str(row["seeds"]), percent(row["top1"], row["top1_spread"]),
            f"{100 * row['sparsity']:.2f}", f"{round(row['parameters']):,}",
            f"{round(row['macs']):,}"]


def render(card: Card) -> str:
    """Return the card as Markdown."""
    return "\n".join([*_head(card), *_table(card), *_layers(card), *_knobs(card),
                      *_limits(card), *_made(card)]) + "\n"


def _head(card: Card) -> Iterator[str]:
    data = card["data"]
    yield from (
        f"# {card['name']}", "",
        "A small residual network on CIFAR-10 with learnt sparsity: STR (Kusupati et al. 2020,",
        "arXiv:2002.03231) beside gradual magnitude pruning (GMP; Zhu and Gupta 2017,",
        "arXiv:1710.01878), all after the same epochs.", "",
        f"- data: {data['name']}, {data['split']}; license {data['license']}",
        f"- shipped: run `{card['shipped']}`",
        f"- weights sha256 `{card['weights']['sha256']}`", "",
    )


def _table(card: Card) -> Iterator[str]:
    yield from (
        "## STR, GMP, and GMP under STR's budget", "",
        f"Top-1 in % on {card['runs'][0]['n']:,} held-out images, mean and standard deviation over "
        "seeds. Zeros: of all", "weights of convolutions and the classifier but the stem's. "
        "Parameters and MACs: what is left,", "the stem included, biases and norms not.", "",
        "| wanted | method | seeds | top-1 % | zeros % | parameters | MACs |", "|" + "---|" * 7,
    )
    for row in card["summary"]:
        yield "| " + " | ".join(_cells(row)) + " |"
    yield ""


def _layers(card: Card) -> Iterator[str]:
    yield from (f"## The layers of `{card['shipped']}`", "",
                "| layer | parameters | kept | zeros % | MACs | MACs kept |", "|" + "---|" * 6)
    for row in card["layers"]:
        yield (f"| {row['name']} | {row['parameters']:,} | {row['kept']:,} | "
               f"{100 * row['sparsity']:.1f} | {row['macs']:,} | {row['macs_kept']:,} |")
    yield ""


def _knobs(card: Card) -> Iterator[str]:
    recipe = card["recipe"]
    yield from (
        "## How s_init and the decay of s steer the sparsity", "",
        f"Every layer starts at s = {recipe['s_init']:g}, a threshold of sigmoid(s); weight decay "
        "on s alone draws it to 0", "and the threshold up. The run looks after every step: where "
        "the wanted sparsity is reached, zeros", "and thresholds are fixed, so that it is hit to "
        "the step. The decay only sets when that is.", "",
        "| run | decay of s | reached after | zeros % |", "|" + "---|" * 4,
    )
    for run in card["runs"]:
        if run["decay"] is not None:
            yield (f"| {run['name']} | {run['decay']:g} | {100 * run['reached']:.0f} % of the "
                   f"training | {100 * run['sparsity']:.2f} |")
    yield ""


def _limits(card: Card) -> Iterator[str]:
    yield from (
        "## How far to trust this", "",
        "- JPEG copies of CIFAR-10: compare only with models trained on the same files.",
        f"- {card['recipe']['epochs']} epochs; published comparisons train for 100 and more.",
        "- No epoch was chosen: the last one's weights are kept. Trials held out the last 500 "
        "training", "  images of each class.",
        *(f"- {remark}" for remark in card.get("remarks", ())), "",
    )


def _made(card: Card) -> Iterator[str]:
    environment = card["environment"]
    yield from ("## How it was made", "", "```", *card["commands"], "```", "",
                f"torch {environment['torch']}, one thread a run, {environment['device']}, "
                "convolutions in bfloat16. The recipe's numbers are in the JSON beside this card.")
    if card["not_trained"]:
        yield f"Not trained: {', '.join(card['not_trained'])}."
