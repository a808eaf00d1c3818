"""Plots as SVG that follows the page's colors; every mark names the sources of its numbers.

No library draws them: the marks carry their sources, the text stays text, light and dark come
from the page's style, and a Raspberry Pi without matplotlib makes the same file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.report_source import Node, formatted, known, shown

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 46
ROW, FOOT = 40, 46
"""Height of a row of a dot chart, and of what lies below the last."""

SHAPES = ("circle", "square", "triangle", "diamond")


Name = Node | str
"""What something is called: by the results, or here, and then without numbers."""


@dataclass(frozen=True)
class Axis:
    """A scale of a plot.

    Attributes:
        label: With the unit.
        log: Equal steps are equal factors.
        factor: What values of the JSON are multiplied by, 100 for shares shown in percent.
        form: How a value is said, see `report_source.FORMATS`.
        include: Values that must be on it, before the factor.
    """

    label: str
    log: bool = False
    factor: float = 1.0
    form: str = "number"
    include: tuple[float, ...] = ()


@dataclass(frozen=True)
class Mark:
    """A point: two values with their sources, and its name. `label` is drawn beside it."""

    x: Node
    y: Node
    name: Name
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Marks of one color and shape, joined by a line if wanted.

    A mark whose x or y is None or NaN is left out.
    """

    name: Name
    marks: Sequence[Mark]
    color: int = 0
    shape: int = 0
    line: bool = True
    dashed: bool = False


@dataclass(frozen=True)
class Guide:
    """A level to compare with: a horizontal line at a value, or where `node` is None at `at`.

    Its name is at the right end, or at the left.
    """

    name: str
    node: Node | None = None
    at: float = 0.0
    left: bool = False


@dataclass(frozen=True)
class Plot:
    """Series over two axes."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    guides: Sequence[Guide] = ()


@dataclass(frozen=True)
class DotRow:
    """A row of a dot chart: what is compared, and each one's value by the place of its series."""

    name: Name
    dots: Sequence[tuple[int, Node]]


@dataclass(frozen=True)
class Dots:
    """Rows of values on one axis, a mark for each series."""

    title: str
    x: Axis
    series: Sequence[str]
    rows: Sequence[DotRow]


@dataclass(frozen=True)
class Scale:
    """From values to a stretch of the picture."""

    low: float
    high: float
    begin: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        """Return where a value is."""
        low, high, at = ((math.log10(v) for v in (self.low, self.high, value)) if self.log
                         else (self.low, self.high, value))
        return self.begin + (at - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Return round values on the scale, 3 to 10 of them."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def scale(axis: Axis, values: Sequence[float], begin: float, end: float) -> Scale:
    """Return the scale that holds all values with a little room beyond them.

    Where a value has no logarithm it is a linear one, and without values from 0 to 1.
    """
    known = [*values, *(value * axis.factor for value in axis.include)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if axis.log and low > 0:
        room = max((high / low) ** 0.06, 1.05)
        return Scale(low / room, high * room, begin, end, True)
    room = 0.06 * (high - low) or abs(high) / 100 or 1.0
    bottom = low if low == 0 else low - room
    return Scale(bottom, high + room, begin, end, False)


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [factor * 10.0**power for power in powers for factor in factors
                 if low <= factor * 10.0**power <= high]
        if len(found) >= 3:
            return [round(tick, 12) for tick in found]
    return _ticks(low, high)


def draw(plot: Plot, name: str) -> str:
    """Return the SVG of a plot; `name` is its id in the page."""
    marks = [mark for series in plot.series for mark in series.marks
             if known(mark.x) and known(mark.y)]
    levels = [guide.node.value if guide.node else guide.at for guide in plot.guides]
    x = scale(plot.x, [mark.x.value * plot.x.factor for mark in marks], LEFT, WIDTH - RIGHT)
    y = scale(plot.y, [value * plot.y.factor for value in
                       [*(mark.y.value for mark in marks), *levels]], HEIGHT - BOTTOM, TOP)
    parts = [_x_axis(plot.x, x, TOP, HEIGHT - BOTTOM), _y_axis(plot.y, y)]
    parts += [_guide(guide, plot.y, y) for guide in plot.guides]
    parts += [_series(series, plot, x, y) for series in plot.series]
    return _svg(name, plot.title, _words(plot), HEIGHT, parts)


def draw_dots(dots: Dots, name: str) -> str:
    """Return the SVG of a dot chart; `name` is its id in the page."""
    found = [node for row in dots.rows for _, node in row.dots if known(node)]
    height = TOP + ROW * len(dots.rows) + FOOT
    x = scale(dots.x, [node.value * dots.x.factor for node in found], 14, WIDTH - 24)
    bottom = height - FOOT
    parts = [_x_axis(dots.x, x, TOP, bottom, left=14)]
    for i, row in enumerate(dots.rows):
        at = TOP + ROW * i + 28
        parts.append(f'<text class="row" x="14" y="{at - 13}">{escape(said_name(row.name))}</text>'
                     f'<line class="rule" x1="14" x2="{WIDTH - 14}" y1="{at}" y2="{at}"/>')
        for place, node in row.dots:
            if known(node):
                said = f"{said_name(row.name)}, {dots.series[place]}: {_said(node, dots.x)}"
                parts.append(_mark(place, place % len(SHAPES), x(node.value * dots.x.factor), at,
                                   said, x=node))
    words = (f"{len(dots.rows)} rows of {', '.join(dots.series)}. "
             "The table of its numbers follows.")
    return _svg(name, dots.title, words, height, parts)


def said_name(name: Name) -> str:
    """Return a name as text."""
    return str(name.value) if isinstance(name, Node) else name


def legend(names: Sequence[tuple[Name, int, int]]) -> str:
    """Return the list of what the colors and shapes are: (name, color, shape) each."""
    items = [f'<li><svg viewBox="0 0 12 12" aria-hidden="true">{_shape(color, shape, 6, 6)}</svg>'
             f"{shown(name, 'text') if isinstance(name, Node) else escape(name)}</li>"
             for name, color, shape in names]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _svg(name: str, title: str, words: str, height: float, parts: Sequence[str]) -> str:
    return (f'<svg class="plot" id="{name}" viewBox="0 0 {WIDTH} {height:g}" role="img" '
            f'aria-labelledby="{name}-title {name}-words">'
            f'<title id="{name}-title">{escape(title)}</title>'
            f'<desc id="{name}-words">{escape(words)}</desc>{"".join(parts)}</svg>')


def _words(plot: Plot) -> str:
    return (f"{plot.y.label} against {plot.x.label}: "
            f"{', '.join(dict.fromkeys(said_name(series.name) for series in plot.series))}. "
            "The table of its numbers follows.")


def _x_axis(axis: Axis, x: Scale, top: float, bottom: float, left: float = LEFT) -> str:
    parts = []
    for tick in x.ticks():
        at = x(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>'
                     f'<text class="tick" x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">'
                     f"{tick:,g}</text>")
    middle = (left + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle:g}" y="{bottom + 38}" text-anchor="middle">'
                 f"{escape(axis.label)}</text>")
    return "".join(parts)


def _y_axis(axis: Axis, y: Scale) -> str:
    parts = []
    for tick in y.ticks():
        at = y(tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">'
            f"{tick:,g}</text>")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="label" x="14" y="{middle:g}" text-anchor="middle" '
                 f'transform="rotate(-90 14 {middle:g})">{escape(axis.label)}</text>')
    return "".join(parts)


def _guide(guide: Guide, axis: Axis, y: Scale) -> str:
    value = guide.node.value if guide.node else guide.at
    at = y(value * axis.factor)
    about = (f' data-y="{value!r}" data-y-source="{escape(guide.node.source)}"'
             if guide.node else "")
    end, anchor = (LEFT + 4, "start") if guide.left else (WIDTH - RIGHT - 2, "end")
    return (f'<g class="guide"{about}><line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" '
            f'y2="{at:.1f}"/><text x="{end}" y="{at - 4:.1f}" text-anchor="{anchor}">'
            f"{escape(guide.name)}</text></g>")


def _series(series: Series, plot: Plot, x: Scale, y: Scale) -> str:
    placed = [(mark, x(mark.x.value * plot.x.factor), y(mark.y.value * plot.y.factor))
              for mark in series.marks if known(mark.x) and known(mark.y)]
    parts = []
    if series.line and len(placed) > 1:
        points = " ".join(f"{at_x:.1f},{at_y:.1f}" for _, at_x, at_y in placed)
        style = " dashed" if series.dashed else ""
        parts.append(f'<polyline class="line c{series.color}{style}" points="{points}"/>')
    for mark, at_x, at_y in placed:
        said = f"{said_name(mark.name)}: {_said(mark.x, plot.x)}, {_said(mark.y, plot.y)}"
        parts.append(_mark(series.color, series.shape, at_x, at_y, said, x=mark.x, y=mark.y))
        if mark.label:
            parts.append(f'<text class="tag" x="{at_x + 6:.1f}" y="{at_y + 11:.1f}">'
                         f"{escape(mark.label)}</text>")
    return f'<g class="series">{"".join(parts)}</g>'


def _said(node: Node, axis: Axis) -> str:
    text = formatted(node.value, axis.form)
    return text if axis.form == "percent" else f"{text} {axis.label.partition(', ')[2]}".rstrip()


def _mark(color: int, shape: int, at_x: float, at_y: float, said: str, **nodes: Node) -> str:
    about = "".join(f' data-{axis}="{node.value!r}" data-{axis}-source="{escape(node.source)}"'
                    for axis, node in nodes.items())
    return (f'<g class="mark"{about}><title>{escape(said)}</title>'
            f"{_shape(color, shape, at_x, at_y)}</g>")


def _shape(color: int, shape: int, x: float, y: float) -> str:
    kind, r = SHAPES[shape % len(SHAPES)], 4.0
    if kind == "circle":
        return f'<circle class="c{color}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    if kind == "square":
        return (f'<rect class="c{color}" x="{x - r + 0.4:.1f}" y="{y - r + 0.4:.1f}" '
                f'width="7.2" height="7.2"/>')
    corners = {"triangle": ((0, -5), (4.6, 3.6), (-4.6, 3.6)),
               "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0))}[kind]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="c{color}" points="{points}"/>'
