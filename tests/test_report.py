"""The page of results says what the JSON files say, and nothing else."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("typer")
from benchmarks import report, report_source
from benchmarks.report_plot import (
    Axis,
    DotRow,
    Dots,
    Mark,
    Plot,
    Series,
    draw,
    draw_dots,
    scale,
)
from benchmarks.report_source import Node, formatted, mean, read, resolve, shown
from benchmarks.report_tables import Table, table
from edge_sdk.errors import DataError

ROOT = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
VOID = {"meta", "link", "br", "circle", "rect", "line", "polygon", "polyline"}
NUMBER = re.compile(r"(?<![\w-])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w-])")
"""A number by itself: neither of fp32 nor of x86-64."""


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    parents: list[Element] = field(default_factory=list, repr=False)
    own: list[tuple[str, list[Element]]] = field(default_factory=list, repr=False)


class Elements(HTMLParser):
    """Every element with all text inside, and every piece of text with what is around it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.all: list[Element] = []
        self.pieces: list[tuple[str, list[Element]]] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {[one.tag for one in self._open]}"

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs},
                          parents=list(self._open))
        self.all.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.all.append(Element(tag, {name: value or "" for name, value in attrs},
                                parents=list(self._open)))

    def handle_endtag(self, tag):
        closed = self._open.pop()
        assert closed.tag == tag, f"<{closed.tag}> closed by </{tag}>"

    def handle_data(self, data):
        self.pieces.append((data, list(self._open)))
        for element in self._open:
            element.text += data


@pytest.fixture(scope="module")
def html() -> str:
    return report.page(ROOT)


@pytest.fixture(scope="module")
def elements(html) -> Elements:
    return Elements(html)


# ---- the numbers -------------------------------------------------------------------------------


def test_every_number_shown_is_the_value_that_its_source_names(elements):
    sourced = [one for one in elements.all if "data-source" in one.attributes]
    assert len(sourced) > 1000
    for one in sourced:
        value = resolve(ROOT, one.attributes["data-source"])
        assert one.text == formatted(value, one.attributes["data-as"]), one.attributes


def test_numbers_are_rounded_and_never_changed(elements):
    """Reads the text back, without the page's own formats."""
    for one in elements.all:
        if one.tag != "data" or "data-source" not in one.attributes:
            continue
        exact = float(resolve(ROOT, one.attributes["data-source"]))
        factor = {"percent": 100.0, "megabytes": 1e-6}.get(one.attributes["data-as"], 1.0)
        said = float(one.text.replace(",", "").removesuffix(" %"))
        digits = one.text.partition("e")[0].partition(".")[2].removesuffix(" %")
        last = 10.0 ** -len(digits)
        if "e" in one.text:
            last *= 10.0 ** math.floor(math.log10(abs(exact)))
        assert said == pytest.approx(exact * factor, abs=0.51 * last, rel=0.006), one
        assert float(one.attributes["value"]) == exact


def test_no_number_on_the_page_is_without_a_source(elements):
    for text, around in elements.pieces:
        about = {name for one in around for name in one.attributes}
        tags = {one.tag for one in around}
        # Names of files and scales are no measurements; marks are looked at below.
        if "data-source" in about or tags & {"code", "svg", "style", "title"}:
            continue
        assert not NUMBER.findall(text), (text, [one.tag for one in around])


@pytest.mark.parametrize(("text", "found"), [
    ("42 ms", ["42"]), ("-0.5", ["-0.5"]), ("1,234.5e-07 of 3", ["1,234.5e-07", "3"]),
    ("50 %", ["50"]), ("int8, fp32 and x86-64", []), ("8-column layers, 3072x768", [])])
def test_what_counts_as_a_number_by_itself(text, found):
    assert NUMBER.findall(text) == found


def test_every_mark_of_a_plot_is_where_the_value_of_its_source_belongs(elements):
    marks = [one for one in elements.all if one.attributes.get("class") in ("mark", "guide")
             and any(name.endswith("-source") for name in one.attributes)]
    assert len(marks) > 100
    for one in marks:
        for axis in ("x", "y"):
            if f"data-{axis}-source" in one.attributes:
                value = float(resolve(ROOT, one.attributes[f"data-{axis}-source"]))
                assert float(one.attributes[f"data-{axis}"]) == value


def test_every_figure_names_its_file_and_every_section_its_command(elements):
    for figure in [one for one in elements.all if one.tag == "figure"]:
        assert ".json#" in figure.text
    files = {one.attributes["data-source"].partition("#")[0] for one in elements.all
             if "data-source" in one.attributes}
    assert files == {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.json")}
    commands = {resolve(ROOT, one.attributes["data-source"]) for one in elements.all
                if one.attributes.get("data-source", "").endswith("/command")}
    for path in ROOT.rglob("*.json"):
        results = json.loads(path.read_text())
        measured = [results, *results.get("parts", {}).values()]
        for part in measured:
            assert "command" not in part or part["command"] in commands


def test_the_page_says_what_was_not_measured(html):
    assert "No phone, no Raspberry Pi and no other ARM device was measured." in html
    assert "No energy was measured." in html


# ---- the page ----------------------------------------------------------------------------------


def test_the_page_fetches_nothing_and_runs_nothing(html, elements):
    assert not [one for one in elements.all if one.tag in ("script", "iframe", "object", "img")]
    for one in elements.all:
        for name in ("src", "href", "action"):
            assert one.attributes.get(name, "#").startswith(("#", "data:")), one
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in html


def test_the_same_results_make_the_same_page(html):
    assert report.page(ROOT) == html


def test_tables_have_captions_and_heads_and_plots_have_titles_and_words(elements):
    tables = [one for one in elements.all if one.tag == "table"]
    captions = [one for one in elements.all if one.tag == "caption"]
    assert len(tables) == len(captions)
    assert all(one.text for one in captions)
    assert all(one.attributes.get("scope") in ("row", "col") for one in elements.all
               if one.tag == "th")
    ids = [one.attributes["id"] for one in elements.all if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for plot in [one for one in elements.all if one.attributes.get("role") == "img"]:
        assert all(name in ids for name in plot.attributes["aria-labelledby"].split())
    targets = {one.attributes["href"][1:] for one in elements.all if one.tag == "a"}
    assert targets <= set(ids)


def test_scrolling_tables_are_reached_by_the_keyboard_and_named(elements):
    for one in elements.all:
        if one.attributes.get("class") == "scroll":
            assert one.attributes["tabindex"] == "0"
            assert one.attributes["aria-label"]


def test_headings_never_skip_a_level(elements):
    levels = [int(one.tag[1]) for one in elements.all if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


# ---- other results -----------------------------------------------------------------------------


def write(root: Path, name: str, value: object) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(value if isinstance(value, str) else json.dumps(value))


def rows(**changed: object) -> dict:
    row = {"what": "a < b & c", "ours": 1.5, "peer": None, "peer_name": "", "unit": "ms",
           "ratio": None, "target": "ours <= 2", "met": True, "n": 1, "rounds": 3, "isa": "neon"}
    return {"parts": {"model": {"rows": [row | changed], "command": "python -m x --only model"}},
            "device": "d", "version": "0.1.0", "threads": 1}


def test_each_device_has_a_section_and_an_arm_one_changes_what_is_said(tmp_path):
    write(tmp_path, "aarch64-cortex-a76/sparse.json", rows())
    write(tmp_path, "x86-64-one/sparse.json", rows())
    html = report.page(tmp_path)
    assert 'id="aarch64-cortex-a76"' in html
    assert 'id="x86-64-one"' in html
    assert "no other ARM device" not in html
    Elements(html)


def test_a_measured_energy_changes_what_is_said(tmp_path):
    write(tmp_path, "d/bench.json", {"files": [{"energy_mj": 3.2}], "command": "bench"})
    assert "No energy" not in report.page(tmp_path)
    write(tmp_path, "d/bench.json", {"files": [{"energy_mj": None}], "command": "bench"})
    assert "No energy" in report.page(tmp_path)


def test_files_that_bench_measured_have_a_table_and_all_their_values(tmp_path):
    row = {"name": "XL", "mean_ms": 2.0, "min_ms": 1.5, "first_ms": 9.0, "energy_mj": None,
           "typical_ms": {"value": 1.9, "low": 1.8, "high": 2.1}, "rounds_ms": [[1.9, 2.1]]}
    write(tmp_path, "d/bench.json", {"command": "python -m edge_sdk.bench a.pte", "files": [
        {"name": "a.pte", "engine": "executorch", "load_ms": 3.0, "rows": [row],
         "ram": {"peak_mb": 120.0, "above_engine_mb": None}},
        {"name": "b.pte", "engine": "executorch", "error": {"kind": "EngineError"}}]})
    html = report.page(tmp_path)
    sources = [one.attributes.get("data-source") for one in Elements(html).all]
    assert sources.count("d/bench.json#/files/0/rows/0/typical_ms/value") == 2
    assert sources.count("d/bench.json#/files/0/rows/0/rounds_ms/0/1") == 1
    assert "EngineError" in html


def test_a_file_of_another_kind_is_shown_value_by_value(tmp_path):
    write(tmp_path, "d/mine.json", {"command": "python -m edge_sdk.bench", "files": [
        {"file": "a.pte", "p50_ms": 1.25, "peak_mb": None, "ok": True}]})
    found = Elements(report.page(tmp_path))
    shown_at = {one.attributes["data-source"]: one.text for one in found.all
                if "data-source" in one.attributes}
    assert shown_at["d/mine.json#/files/0/p50_ms"] == "1.25"
    assert shown_at["d/mine.json#/files/0/peak_mb"] == report_source.UNKNOWN
    assert shown_at["d/mine.json#/files/0/file"] == "a.pte"


def test_text_of_results_can_not_become_markup(tmp_path):
    write(tmp_path, "d/sparse.json", rows(what="<script>alert(1)</script>", peer_name='"><b>'))
    found = Elements(report.page(tmp_path))
    assert not [one for one in found.all if one.tag == "script"]
    assert "<script>alert(1)</script>" in [one.text for one in found.all]


def test_parts_that_were_not_measured_are_left_out(tmp_path):
    for name in ("codes", "adaptive", "fastgrnn", "sparse", "pipeline"):
        write(tmp_path, f"d/{name}.json", {"parts": {}})
    assert "<figure" not in report.page(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_a_damaged_results_file_is_named(tmp_path, text):
    write(tmp_path, "d/sparse.json", text)
    with pytest.raises(DataError, match=re.escape("d/sparse.json")):
        report.page(tmp_path)


def test_no_results_at_all_is_an_error_that_says_how_to_get_some(tmp_path):
    with pytest.raises(DataError, match="python -m benchmarks"):
        report.page(tmp_path)
    with pytest.raises(DataError, match="python -m benchmarks"):
        report.page(tmp_path / "missing")


def test_a_results_file_without_what_its_section_needs_is_named(tmp_path):
    damaged = rows()
    del damaged["parts"]["model"]["rows"][0]["unit"]
    write(tmp_path, "d/sparse.json", damaged)
    with pytest.raises(DataError, match=re.escape("d/sparse.json#/parts/model/rows/0/unit")):
        report.page(tmp_path)


def test_the_command_writes_the_page(tmp_path, run_command):
    from edge_sdk.console import command

    status, out, _ = run_command(command(report.main), "--results", ROOT, "--out",
                                 tmp_path / "deep" / "page.html")
    assert status == 0
    assert (tmp_path / "deep" / "page.html").read_text() == report.page(ROOT)
    assert "x86-64-amd-epyc" in out


# ---- sources, scales, marks --------------------------------------------------------------------


def test_a_source_is_a_json_pointer_and_resolves_to_the_value(tmp_path):
    write(tmp_path, "d/a.json", {"x/y": {"~k": [1, {"z": 2.5}]}})
    node = read(tmp_path, "d/a.json")["x/y"]["~k"][1]["z"]
    assert node.source == "d/a.json#/x~1y/~0k/1/z"
    assert resolve(tmp_path, node.source) == node.value == 2.5
    assert resolve(tmp_path, f"{node.source}#") == node.key().value == "z"


def test_a_mean_is_of_all_entries_or_unknown(tmp_path):
    write(tmp_path, "d/a.json", {"runs": [{"v": 1.0}, {"v": 4.0}]})
    node = read(tmp_path, "d/a.json")["runs"].mean("v")
    assert (node.value, resolve(tmp_path, node.source)) == (2.5, 2.5)
    assert math.isnan(mean([1.0, None]))
    assert math.isnan(mean([]))


@pytest.mark.parametrize("source", ["d/b.json#/x", "d/a.json#/y", "d/a.json#/x/0", "d/a.json#/l/7",
                                    "d/a.json#/l/one", "d/a.json#/y#"])
def test_a_source_that_is_nowhere_is_an_error(tmp_path, source):
    write(tmp_path, "d/a.json", {"x": 1, "l": [1]})
    with pytest.raises(DataError):
        resolve(tmp_path, source)


@pytest.mark.parametrize("form", sorted(report_source.FORMATS))
def test_what_is_unknown_is_a_dash_in_every_form(form):
    assert formatted(None, form) == formatted(math.nan, form) == "–"
    assert "–" in shown(Node(None, "d/a.json#/x"), form)


def node(value: object) -> Node:
    return Node(value, f"d/a.json#/{value}")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [(1.0, 2.0), (0.001, 9000.0), (3.0, 3.0), (98.9, 99.0),
                                    (1e-9, 1.1e-9)])
def test_a_scale_holds_all_values_in_order_with_ticks_between(values, log):
    made = scale(Axis("", log=log), values, 0.0, 100.0)
    at = [made(value) for value in values]
    assert 0 <= at[0] <= at[1] <= 100
    assert (at[0] < at[1]) == (values[0] < values[1])
    ticks = made.ticks()
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(set(ticks))
    assert all(-1e-6 <= made(tick) <= 100 + 1e-6 for tick in ticks)


@pytest.mark.parametrize("values", [(), (0.0, 3.0), (-1.0, 1.0), (0.0,)])
def test_a_logarithmic_scale_of_values_without_logarithm_is_linear(values):
    made = scale(Axis("", log=True), values, 0.0, 100.0)
    assert not made.log
    assert all(0 <= made(value) <= 100 for value in values)
    assert len(made.ticks()) >= 2


def test_equal_factors_are_equal_steps_on_a_logarithmic_scale():
    made = scale(Axis("", log=True), (1.0, 100.0), 0.0, 1.0)
    assert made(10.0) - made(1.0) == pytest.approx(made(100.0) - made(10.0))


def test_a_plot_draws_known_marks_and_leaves_unknown_ones_out():
    marks = [Mark(node(1.0), node(5.0), "a"), Mark(node(None), node(6.0), "b"),
             Mark(node(3.0), node(math.nan), "c"), Mark(node(2.0), node(7.0), "d <e>")]
    found = Elements(draw(Plot("t", Axis("x, ms"), Axis("y"), [Series("s", marks)]), "p"))
    titles = [one.text for one in found.all if one.tag == "title"]
    assert titles == ["t", "a: 1 ms, 5", "d <e>: 2 ms, 7"]
    circles = [one.attributes for one in found.all if one.tag == "circle"]
    assert float(circles[0]["cx"]) < float(circles[1]["cx"])
    assert float(circles[0]["cy"]) > float(circles[1]["cy"])  # up is more


def test_a_dot_chart_orders_marks_by_their_value():
    made = Dots("t", Axis("ms", log=True), ("ours", "peer"),
                [DotRow("one", [(0, node(1.0)), (1, node(10.0))]), DotRow("two", [(0, node(3.0))])])
    found = Elements(draw_dots(made, "p"))
    circles = [float(one.attributes["cx"]) for one in found.all if one.tag == "circle"]
    squares = [float(one.attributes["x"]) for one in found.all if one.tag == "rect"]
    assert circles[0] < circles[1] < squares[0]


def test_a_table_of_no_rows_is_still_a_table():
    assert len([one for one in Elements(table(Table("c", ("a", "b"), []))).all
                if one.tag == "th"]) == 2
