"""What a report says of whole pipelines, and of accuracy, latency and RAM of every size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.report_plot import Axis, DotRow, Dots, Mark, Plot, Series
from benchmarks.report_source import Node, known, shown
from benchmarks.report_tables import (
    Cell,
    Table,
    all_rows,
    dots_figure,
    grid,
    measured_by,
    paragraph,
    plot_figure,
    section,
    slug,
    table,
)

ACCURACY = Axis("top-1, %", factor=100, form="percent")
RAM = Axis("peak RAM above imports, MB", include=(0.0,))


def pipeline(results: Node) -> str:
    """Return the Pareto front of sizes and engines, and pipelines beside their peers."""
    parts, content = results["parts"], list[str]()
    device = results.source.partition("/")[0]
    if parts.has("sizes", "sizes"):
        content += _sizes(device, parts["sizes"])
    if parts.has("images", "calls"):
        content += _images(device, parts["images"])
    if parts.has("words", "calls"):
        content += _words(device, parts["words"])
    return section(slug(f"{device} pipeline"), "The whole pipeline: what a choice costs",
                   measured_by(parts), *content, all_rows("pipeline", parts))


# ---- every size in every engine ----------------------------------------------------------------


def _sizes(device: str, part: Node) -> list[str]:
    entries = [*part["sizes"]]
    figures = [
        plot_figure(slug(f"{device} pareto {key}"), Plot(
            f"Accuracy against {title}", axis, ACCURACY, _series(entries, key)))
        for key, title, axis in (
            ("latency_ms", "latency", Axis("latency, ms", log=True)),
            ("ram_mb", "RAM", Axis("peak RAM above the engine, MB", include=(0.0,))))]
    front = pareto([(entry["accuracy"], entry["latency_ms"], entry["ram_mb"])
                    for entry in entries])
    rows: list[list[Cell]] = [
        [f"{entry['engine'].value} {entry['precision'].value}, {entry['size'].value}",
         (entry["accuracy"], "percent"), (entry["latency_ms"], "number"),
         (entry["ram_mb"], "number"), (entry["file_bytes"], "megabytes"),
         "yes" if best else ""] for entry, best in zip(entries, front, strict=True)]
    return [
        paragraph(shown(part["model"], "text"), ": every size of one elastic file run alone in ",
                  "every engine, on ", shown(part["n"], "count"), " cases, ",
                  shown(part["cases"], "text"), ". RAM is the peak above the imported engine."),
        grid(figures),
        table(Table("Every size in every engine; on the front is what no other beats in "
                    "accuracy, latency and RAM at once",
                    ("", "top-1", "latency, ms", "peak RAM, MB", "file, MB", "on the front"),
                    rows))]


def _series(entries: Sequence[Node], key: str) -> list[Series]:
    found: dict[str, list[Mark]] = {}
    for entry in entries:
        name = f"{entry['engine'].value} {entry['precision'].value}"
        found.setdefault(name, []).append(
            Mark(entry[key], entry["accuracy"], f"{name}, {entry['size'].value}",
                 str(entry["size"].value)))
    engines = list(dict.fromkeys(name.rpartition(" ")[0] for name in found))
    return [Series(name, marks, color=engines.index(name.rpartition(" ")[0]),
                   shape=1 if name.endswith("int8") else 0, dashed=name.endswith("int8"))
            for name, marks in found.items()]


def pareto(costs: Sequence[tuple[Node, Node, Node]]) -> list[bool]:
    """Return which of (accuracy, latency, RAM) no other beats: better in one, worse in none.

    Where one of the three is unknown, nothing is said for it.
    """
    values = [(-accuracy.value, latency.value, ram.value)
              if known(accuracy) and known(latency) and known(ram) else (math.inf,) * 3
              for accuracy, latency, ram in costs]
    return [mine[0] < math.inf and not any(
        other != mine and all(theirs <= own for theirs, own in zip(other, mine, strict=True))
        for other in values) for mine in values]


# ---- pipelines beside their peers --------------------------------------------------------------


def _images(device: str, part: Node) -> list[str]:
    calls = list(dict.fromkeys(str(entry["call"].value) for entry in part["calls"]))
    rows: list[list[Cell]] = [
        [(entry["engine"], "text"), (entry["call"], "text"), (entry["ms"], "number"),
         (entry["ram_mb"], "number"), (entry["accuracy"], "percent")] for entry in part["calls"]]
    return [
        paragraph("From a picture of bytes to its label, ", shown(part["model"], "text"), ", ",
                  shown(part["n"], "count"), " held-out pictures a pass. Bare is the engine's own ",
                  "runner on a file of XL alone, memory bound before. Sessions hold every size, ",
                  "the heads and the codes. RAM is the peak above what was imported."),
        grid([_dots(device, "pictures", title, axis, part, key, calls) for title, axis, key in (
            ("From a picture to its label: latency", Axis("ms a picture", include=(0.0,)), "ms"),
            ("From a picture to its label: RAM", RAM, "ram_mb"))]),
        table(Table("From a picture to its label",
                    ("engine", "how", "ms a picture", "peak RAM, MB", "right"), rows))]


def _words(device: str, part: Node) -> list[str]:
    engines = list(dict.fromkeys(str(entry["engine"].value) for entry in part["calls"]))
    rows: list[list[Cell]] = [
        [(entry["engine"], "text"), (entry["call"], "text"), (entry["ms"], "number"),
         (entry["ram_mb"], "number")] for entry in part["calls"]]
    return [
        paragraph("From samples to the word, ", shown(part["n"], "count"),
                  " recordings of one held-out word each, ", shown(part["mean_recording_s"]),
                  " s on average with their silences. Front end, gate and model; everybody hears ",
                  "the same words. A microphone is heard frame by frame; only what was recorded ",
                  "before can be heard at once."),
        grid([_dots(device, "words", title, axis, part, key, engines, by="engine", row="call")
              for title, axis, key in (
                  ("From samples to the word: latency", Axis("ms a word", log=True), "ms"),
                  ("From samples to the word: RAM", RAM, "ram_mb"))]),
        table(Table("From samples to the word", ("whose", "how", "ms a word", "peak RAM, MB"),
                    rows))]


def _dots(
    device: str, topic: str, title: str, axis: Axis, part: Node, key: str, series: list[str], *,
    by: str = "call", row: str = "engine",
) -> str:
    """Return a dot chart of `key`, a row for each `row` of the calls, a mark for each `by`."""
    groups: dict[str, list[Node]] = {}
    for entry in part["calls"]:
        groups.setdefault(str(entry[row].value), []).append(entry)
    dots = Dots(title, axis, series, [
        DotRow(entries[0][row], [(series.index(str(entry[by].value)), entry[key])
                                 for entry in entries]) for entries in groups.values()])
    return dots_figure(slug(f"{device} {topic} {key}"), dots)
