"""The words for sizes: parse and write S, M, L, XL and any Mix'n'Match.

A granularity is one FFN width for each layer. Its text is a trained name
(`M`), or one entry for each layer, joined by `+` or `,`, where an entry is a
trained name or a width and may be repeated: `S*2+M*2+L+XL`, `96*3+128`.
The canonical text uses `+`, so that `,` can separate several granularities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from edge_sdk.errors import GranularityError

TRAINED_NAMES = ("S", "M", "L", "XL")
HINT = "name S, M, L or XL, or one entry for each layer such as S*2+M*2+L+XL"

Trained = Mapping[str, Sequence[int]]
"""Widths of each trained granularity, one for each layer: {"S": (32, 32), ...}."""


@dataclass(frozen=True)
class Granularity:
    """A named tuple of FFN widths, one for each layer."""

    name: str
    widths: tuple[int, ...]


def trained_names(layers: Sequence[Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Return {name: widths} of the trained granularities.

    Args:
        layers: The trained widths of each layer, growing. The largest of every
            layer is XL; a model trained at fewer than four has only the last names.
            No layers: a plain model, whose one granularity XL has no widths.

    Raises:
        GranularityError: The layers differ in their number of trained widths, or
            have more than four.
    """
    if not layers:
        return {TRAINED_NAMES[-1]: ()}
    counts = {len(widths) for widths in layers}
    if len(counts) != 1 or not counts <= {1, 2, 3, 4}:
        raise GranularityError("1 to 4 trained widths, equally many in every layer",
                               str(sorted(counts)), where="the model's nested FFNs",
                               hint="build every nested FFN with the same ratios")
    names = TRAINED_NAMES[-counts.pop():]
    return {name: tuple(widths[i] for widths in layers) for i, name in enumerate(names)}


def parse(text: str, trained: Trained) -> Granularity:
    """Return the granularity that `text` names.

    Raises:
        GranularityError: An unknown name, a width out of 1..d_ff, or the wrong
            number of layers.
    """
    if not trained["XL"]:
        if text.strip().upper() != "XL":
            raise GranularityError("XL, the whole model", repr(text[:60]), where="granularity",
                                   hint="this model holds no nested FFNs, so no other size")
        return Granularity("XL", ())
    entries: list[str] = []
    for part in text.replace(",", "+").split("+"):
        name, star, count = part.strip().partition("*")
        if star and not 1 <= _number(count) <= len(trained["XL"]):
            raise GranularityError(f"a repeat count in 1..{len(trained['XL'])}",
                                   repr(part.strip()[:40]), where=f"granularity {text[:60]!r}",
                                   hint=HINT)
        entries += [name.strip()] * (int(count) if star else 1)
    full = trained["XL"]
    if len(entries) == 1 and "*" not in text:
        entries *= len(full)
    if len(entries) != len(full):
        raise GranularityError(f"{len(full)} layers", str(len(entries)),
                               where=f"granularity {text[:60]!r}", hint=HINT)
    widths = [_width(entry, layer, text, trained) for layer, entry in enumerate(entries)]
    return named(widths, trained)


def _width(entry: str, layer: int, text: str, trained: Trained) -> int:
    if entry.upper() in trained:
        return trained[entry.upper()][layer]
    if not entry.isdecimal() or not entry.isascii():
        raise GranularityError(f"one of {', '.join(trained)}, or a width", repr(entry),
                               where=f"granularity {text[:60]!r}", hint=HINT)
    if not 1 <= _number(entry) <= trained["XL"][layer]:
        raise GranularityError(f"a width in 1..{trained['XL'][layer]}", entry[:40],
                               where=f"layer {layer} of granularity {text[:60]!r}", hint=HINT)
    return int(entry)


def _number(text: str) -> int:
    """Return the number that `text` writes, -1 if none or far too large for a width."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= 9 else -1


def named(widths: Sequence[int], trained: Trained) -> Granularity:
    """Return `widths` with their canonical name.

    Raises:
        GranularityError: Wrong number of layers, or a width out of 1..d_ff.
    """
    full = trained["XL"]
    if len(widths) != len(full) or not all(1 <= w <= d for w, d in zip(widths, full, strict=True)):
        raise GranularityError(f"{len(full)} widths in 1..{max(full)}", str(list(widths)[:20]),
                               where="`widths`", hint=HINT)
    entries = []
    for layer, width in enumerate(widths):
        names = [name for name in trained if trained[name][layer] == width]
        entries.append(names[0] if names else str(width))
    runs = [(entry, len(list(group))) for entry, group in groupby(entries)]
    if len(runs) == 1 and len(entries) > 1:
        return Granularity(entries[0], tuple(widths))
    text = "+".join(f"{entry}*{n}" if n > 1 else entry for entry, n in runs)
    return Granularity(text, tuple(widths))


def parse_list(text: str, trained: Trained) -> list[Granularity]:
    """Return the granularities that `text` names, separated by commas, each once."""
    found = {g.name: g for g in (parse(part, trained) for part in text.split(","))}
    return list(found.values())


def boundaries(granularities: Sequence[Granularity]) -> list[tuple[int, ...]]:
    """Return where each layer's FFN must be cut into blocks, so that each width is a cut."""
    return [tuple(sorted(set(column)))
            for column in zip(*(g.widths for g in granularities), strict=True)]
