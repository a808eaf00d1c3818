"""Tables, figures and parts of a page, as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from benchmarks.report_plot import Dots, Name, Plot, Series, draw, draw_dots, legend, said_name
from benchmarks.report_source import Node, shown


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Cell = tuple[Node, str] | Markup | str
"""A value and how to show it, HTML, or words without a number."""


@dataclass(frozen=True)
class Table:
    """Rows of cells below column heads; the first cell of a row is its head."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def slug(text: str) -> str:
    """Return a name that may be an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def table(made: Table) -> str:
    """Return a table that scrolls by itself where the page is narrow."""
    columns = list(zip(*made.rows, strict=True)) or [()] * len(made.heads)
    heads = [f'<th scope="col"{_aligned(any(map(_is_number, column)))}>{escape(head)}</th>'
             for head, column in zip(made.heads, columns, strict=True)]
    return _table(made.caption, heads, [f"<tr>{''.join(_cells(row))}</tr>" for row in made.rows])


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, tuple) and not isinstance(cell[0].value, str | bool)


def _aligned(number: bool) -> str:
    return ' class="number"' if number else ""


def _table(caption: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    first = "".join(heads)
    return (f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
            f"<table><caption><span>{escape(caption)}</span></caption><thead><tr>{first}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table></div>")


def _cells(row: Sequence[Cell]) -> Iterator[str]:
    for i, cell in enumerate(row):
        text = (shown(*cell) if isinstance(cell, tuple) else
                cell if isinstance(cell, Markup) else escape(cell))
        style = _aligned(_is_number(cell))
        yield f'<th scope="row">{text}</th>' if i == 0 else f"<td{style}>{text}</td>"


def details(summary: str, *content: str) -> str:
    """Return content that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(content)}</details>"


def plot_figure(name: str, plot: Plot, words: str = "") -> str:
    """Return a plot with its caption, legend and numbers."""
    several: dict[tuple[str, int], tuple[Name, int, int]] = {}
    for series in plot.series:
        several.setdefault((said_name(series.name), series.color),
                           (series.name, series.color, series.shape))
    return _figure(name, plot.title, words, draw(plot, name), legend([*several.values()]),
                   _numbers(plot), _files(plot))


def dots_figure(name: str, dots: Dots, words: str = "") -> str:
    """Return a dot chart with its caption, legend and numbers."""
    rows = [[_named(row.name), dots.series[place], (node, dots.x.form)]
            for row in dots.rows for place, node in row.dots]
    numbers = table(Table(f"Numbers: {dots.title}", ("what", "whose", dots.x.label), rows))
    sources = _sources(node for row in dots.rows for _, node in row.dots)
    return _figure(name, dots.title, words, draw_dots(dots, name),
                   legend([(series, i, i) for i, series in enumerate(dots.series)]),
                   numbers, sources)


def _figure(
    name: str, title: str, words: str, svg: str, keys: str, numbers: str, sources: str,
) -> str:
    about = f" <span>{escape(words)}</span>" if words else ""
    return (f'<figure id="figure-{name}"><figcaption><b>{escape(title)}</b>{about}</figcaption>'
            f'{keys}{svg}<p class="source">{sources}</p>'
            f"{details('The numbers of this figure', numbers)}</figure>")


def _numbers(plot: Plot) -> str:
    rows: list[list[Cell]] = []
    for series in plot.series:
        rows += [[_named(mark.name), (mark.x, plot.x.form), (mark.y, plot.y.form)]
                 for mark in series.marks]
    rows += [[guide.name, "", (guide.node, plot.y.form)] for guide in plot.guides if guide.node]
    return table(Table(f"Numbers: {plot.title}", ("what", _head(plot.x.label, plot.x.factor),
                                                  _head(plot.y.label, plot.y.factor)), rows))


def _named(name: Name) -> Cell:
    return (name, "text") if isinstance(name, Node) else name


def _head(label: str, factor: float) -> str:
    # Shares are said with their percent sign.
    return label.partition(",")[0] if factor != 1 else label


def _files(plot: Plot) -> str:
    return _sources(node for series in plot.series for mark in series.marks
                    for node in (mark.x, mark.y))


def _sources(nodes: Iterable[Node]) -> str:
    """Return the shortest words that name where values come from: files and parts."""
    found = dict.fromkeys("/".join(node.source.split("/")[:4]) for node in nodes)
    return "from " + ", ".join(f"<code>{escape(source)}</code>" for source in found)


# ---- parts of results --------------------------------------------------------------------------


def measured_by(nodes: Iterable[Node]) -> str:
    """Return the commands that measured these parts."""
    commands = [node["command"] for node in nodes if "command" in node]
    said = "".join(f"<li><code>{shown(command, 'text')}</code></li>" for command in commands)
    return f'<div class="commands">Measured by<ul>{said}</ul></div>' if commands else ""


def rows_table(caption: str, rows: Node) -> str:
    """Return a table of rows as `benchmarks.rows.row` makes them."""
    heads = ("what", "ours", "peer", "beside", "unit", "ratio", "target", "")
    found: list[list[Cell]] = [
        [(made["what"], "text"), (made["ours"], "number"), _some(made["peer"], "number"),
         _some(made["peer_name"], "text"), _some(made["unit"], "text"),
         _some(made["ratio"], "ratio"), _some(made["target"], "target"),
         _some(made["met"], "met")]
        for made in rows]
    used = [i for i in range(len(heads)) if any(cells[i] for cells in found)]
    return table(Table(caption, [heads[i] for i in used],
                       [[cells[i] for i in used] for cells in found]))


def _some(node: Node, form: str) -> Cell:
    """Return a cell, empty where a row has no such thing."""
    return "" if node.value is None or node.value == "" else (node, form)


def all_rows(what: str, parts: Node) -> str:
    """Return the rows of every part of a results file, closed until they are asked for."""
    found = [rows_table(f"{what}, {name}", part["rows"]) for name, part in parts.items()
             if part.has("rows") and len(part["rows"].value)]
    return details(f"All rows of {what}", *found) if found else ""


def leaves(caption: str, node: Node) -> str:
    """Return a table of all values below a node, for files that have no section of their own."""
    rows = []
    for at in _leaves(node):
        is_number = isinstance(at.value, int | float) and not isinstance(at.value, bool)
        name = escape(at.source[len(node.source) + 1 :].replace("/", " / "))
        rows.append(f'<tr><th scope="row"><code>{name}</code></th>'
                    f'<td>{shown(at, "number" if is_number else "text")}</td></tr>')
    return _table(caption, [f'<th scope="col">{head}</th>' for head in ("what", "value")], rows)


def _leaves(at: Node) -> Iterator[Node]:
    if isinstance(at.value, Mapping | list):
        for entry in at:
            yield from _leaves(entry)
    else:
        yield at


def grid(figures: Sequence[str]) -> str:
    """Return figures beside one another where there is room."""
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


Section = Callable[[Node], str]


def section(name: str, title: str, *content: str, level: int = 3) -> str:
    """Return a section with a heading; `name` is its id."""
    return (f'<section id="{name}" aria-labelledby="{name}-heading">'
            f'<h{level} id="{name}-heading">{escape(title)}</h{level}>{"".join(content)}</section>')


def paragraph(*words: str) -> str:
    """Return a paragraph of HTML."""
    return f"<p>{''.join(words)}</p>"


def series_of(name: str, marks: Sequence[Any], place: int, **options: Any) -> Series:
    """Return a series of the color and shape of its place."""
    return Series(name, marks, color=place, shape=place, **options)
