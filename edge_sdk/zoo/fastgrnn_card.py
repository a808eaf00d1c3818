"""The card of `fastgrnn-digits-speech` as text: rendered from its JSON alone, words included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_sdk.zoo.fastgrnn_evaluate import summary

Card = Mapping[str, Any]

WORDS = {
    "full": "whole W and U",
    "preset": "preset ranks",
    "learnt": "ranks learnt by STR, the same bytes",
    "preset-small": "preset ranks, small",
    "learnt-small": "ranks learnt by STR, the same bytes",
    "sparse": "whole W and U, the largest 30 % of weights",
    "6kb": "preset ranks, int8 fine-tuned",
    "3kb": "preset ranks, int8 fine-tuned",
    "1.5kb": "preset ranks, int8 fine-tuned",
}


def lines(figures: Card) -> list[str]:
    """Return the figures as aligned text: a line a run, then one a form."""
    found = [f"{'run':<28}{'float32 %':>10}{'integer %':>10}{'bytes':>8}"]
    for run in figures["runs"]:
        found.append(f"{run['name']:<28}{100 * run['float32']:>10.2f}{100 * run['integer']:>10.2f}"
                     f"{run['integer_bytes']:>8}")
    for row in summary(figures["runs"]):
        found.append("  ".join(_cells(row)))
    return found + [f"not trained: {name}" for name in figures["not_trained"]]


def percent(value: float | None, spread: float | None = None) -> str:
    """Return a share in %, with its spread over seeds where there is one."""
    if value is None:
        return "not measured"
    return f"{100 * value:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")


def _cells(row: Card) -> list[str]:
    ranks = " or ".join("whole" if pair[0] is None else f"{pair[0]}/{pair[1]}"
                        for pair in row["ranks"])
    unheard = percent(row["unheard"], row["unheard_spread"])
    if row["unheard"] is not None:
        unheard += f" ({row['unheard_seeds']} seed{'s' if row['unheard_seeds'] > 1 else ''})"
    return [row["form"], WORDS[row["form"]], str(row["n_hidden"]), ranks,
            f"{row['float32_bytes']:,}", percent(row["float32"], row["float32_spread"]),
            f"{row['integer_bytes']:,}", percent(row["integer"], row["integer_spread"]), unheard]


def render(card: Card) -> str:
    """Return the card as Markdown."""
    return "\n".join([*_head(card), *_table(card), *_speakers(card), *_early(card),
                      *_limits(card), *_made(card)]) + "\n"


def _head(card: Card) -> Iterator[str]:
    weights = card["weights"]
    parts = ", ".join(f"{name} {size}" for name, size in weights["by_part"].items())
    yield from (
        f"# {card['name']}", "",
        "Ten spoken digits, 8 kHz, 32 log-mel bands, by FastGRNN (Kusupati et al. 2018,",
        "arXiv:1901.02358), in forms and sizes as the table has them.", "",
        f"- data: Free Spoken Digit Dataset, {card['data']['n']:,} recordings of 6 speakers, "
        f"license {card['data']['license']}",
        f"- shipped: run `{card['shipped']}`, {weights['integer_bytes']:,} bytes of int8 weights "
        f"and constants ({parts}), and 258 of the tanh table",
        f"- weights sha256 `{weights['sha256']}`", "",
    )


def _table(card: Card) -> Iterator[str]:
    yield from (
        "## Forms", "",
        "Top-1 in %, mean and standard deviation over seeds, on the official split (300 "
        "recordings 0-4", "of each digit and speaker held out: the speakers are known). Integer: "
        "the recipe of", "`edge_sdk.fastgrnn.integer`, as C and the core compute it. Unheard: a "
        "speaker left out of", "training, mean over the six, float32. Bytes: weights and all "
        "constants; the largest of the seeds.", "",
        "| form | what | H | ranks W/U | float32 bytes | float32 % | integer bytes | integer % "
        "| unheard % |", "|" + "---|" * 9,
    )
    for row in card["summary"]:
        yield "| " + " | ".join(_cells(row)) + " |"
    yield ""


def _speakers(card: Card) -> Iterator[str]:
    rows = [row for row in card["summary"] if row["speakers"]]
    names = sorted({name for row in rows for name in row["speakers"]})
    yield from ("## A speaker left out", "", "| form | " + " | ".join(names) + " |",
                "|" + "---|" * (len(names) + 1))
    for row in rows:
        cells = [percent(row["speakers"].get(name)) for name in names]
        yield f"| {row['form']} | " + " | ".join(cells) + " |"
    yield ""


def _early(card: Card) -> Iterator[str]:
    found = card["early_measured"]
    yield from (
        "## Deciding early", "",
        f"The `.grnn` file holds thresholds for which at most {100 * found['epsilon']:.0f} points "
        "are lost with probability 0.9 over", "fittings (`edge_sdk.fastgrnn.early`). Fitted on "
        "recordings 0-2 as `edge_sdk.listen` cuts them, measured",
        f"on 3 and 4 (n {found['n']}), integers: {100 * found['accuracy']:.1f} % after "
        f"{found['mean_frames']:.1f} frames; at the word's end {100 * found['full_accuracy']:.1f} "
        f"% after {found['full_frames']:.1f}.", "",
    )


def _limits(card: Card) -> Iterator[str]:
    yield from (
        "## How far to trust this", "",
        "- Six speakers, trimmed recordings, one microphone each. A room, a child, another "
        "accent is", "  another population.",
        "- Initial gates, augmentation and the loss of late frames were chosen on recordings 5-9 "
        "of each", "  (held out of a training on 10-49) and on accuracies with a speaker left out, "
        "one seed each:", "  the figures for unheard speakers are therefore optimistic. Sizes, "
        "ranks and epochs of the", "  forms were set before their held-out accuracy was read, "
        "unless said below.",
        "- No epoch was chosen: the last one's weights are kept.",
        *(f"- {remark}" for remark in card.get("remarks", ())), "",
    )


def _made(card: Card) -> Iterator[str]:
    environment = card["environment"]
    yield from ("## How it was made", "", "```", *card["commands"], "```", "",
                f"torch {environment['torch']}, one thread a run, {environment['device']}. "
                "The recipe's numbers are in the JSON beside this card.")
    if card["not_trained"]:
        yield f"Not trained: {', '.join(card['not_trained'])}."
