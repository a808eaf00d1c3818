"""One HTML page of all measured results: `python -m benchmarks.report`.

The page is one file without scripts, fonts or addresses: it opens offline, follows light and
dark, and every number on it names the JSON value it came from. It goes to `build/report.html`
and is not committed: results are, and the page is made from them in a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import typer

from benchmarks.report_figures import SECTIONS, fit, other
from benchmarks.report_source import Node, read, shown
from benchmarks.report_tables import Cell, Markup, Table, grid, paragraph, section, slug, table
from edge_sdk.console import command, say
from edge_sdk.errors import DataError

ROOT = Path(__file__).parent / "results"
OUT = Path("build/report.html")
STYLE = Path(__file__).parent / "report.css"
ARM = ("aarch64", "arm")


def devices(root: Path) -> list[str]:
    """Return the names of the devices that have results, in order."""
    return sorted(path.name for path in root.iterdir()
                  if path.is_dir() and any(path.glob("*.json")))


def page(root: Path) -> str:
    """Return the page of all results below a folder.

    Raises:
        DataError: No results, or a damaged file.
    """
    names = devices(root) if root.is_dir() else []
    if not names:
        raise DataError("results of a device", "none", where=str(root),
                        hint="python -m benchmarks measures this one")
    results = {name: _files(root, name) for name in names}
    body = [_intro(results), _overview(results)]
    body += [_device(name, files) for name, files in results.items()]
    fits = [fit(read(root, path.name)) for path in sorted(root.glob("fit-*.json"))]
    if fits:
        body.append(section("budgets", "Choosing sizes for a budget, on any device",
                            paragraph("Accuracy on held-out data; nothing here was timed."),
                            grid([f"<div>{one}</div>" for one in fits]), level=2))
    return _document(names, bool(fits), "".join(body))


def _files(root: Path, name: str) -> dict[str, Node]:
    """Return the results of a device by file, in the order of the page."""
    found = {path.stem: read(root, f"{name}/{path.name}")
             for path in sorted((root / name).glob("*.json"))}
    order = [key for key in SECTIONS if key in found]
    return {key: found[key] for key in [*order, *(key for key in found if key not in order)]}


def _intro(results: dict[str, dict[str, Node]]) -> str:
    missing = []
    if not any(name.startswith(ARM) for name in results):
        missing.append("No phone, no Raspberry Pi and no other ARM device was measured.")
    if not any(_energy(file.value) for files in results.values() for file in files.values()):
        missing.append("No energy was measured.")
    return (
        '<header><h1>Edge SDK, measured</h1>'
        "<p>Every number here is read from a JSON file below <code>benchmarks/results</code>; "
        "point at one to see which. Ours and its peers took turns, each engine in a process of "
        "its own, one thread, medians unless said otherwise. Rows without a target are reported, "
        "not claimed, and missed targets stay.</p>"
        f'<p class="missing">{" ".join(missing)}</p></header>')


def _energy(value: Any) -> bool:
    """Whether a result holds a measured energy."""
    if isinstance(value, dict):
        return any((key.startswith("energy_") and isinstance(entry, int | float))
                   or _energy(entry) for key, entry in value.items())
    return isinstance(value, list) and any(_energy(entry) for entry in value)


def _overview(results: dict[str, dict[str, Node]]) -> str:
    rows: list[list[Cell]] = []
    for name, files in results.items():
        for key, file in files.items():
            # Versions of packages lie in an object; older files name two of them by themselves.
            packages = [f"{shown(node.key(), 'text')} {shown(node, 'text')}"
                        for node in file.entries("packages")]
            packages += [f"{package} {shown(file[package], 'text')}"
                         for package in ("faiss", "numpy") if package in file]
            link = f'<a href="#{slug(f"{name} {key}")}">{escape(key)}</a>'
            rows.append([name, Markup(link), _text(file, "version"), _text(file, "python"),
                         Markup(", ".join(packages))])
    return table(Table("What was measured, and with which versions",
                       ("device", "results", "SDK", "Python", "packages"), rows))


def _text(file: Node, key: str) -> Cell:
    return (file[key], "text") if key in file else ""


def _device(name: str, files: dict[str, Node]) -> str:
    parts = [SECTIONS.get(key, other)(file) for key, file in files.items()]
    return section(slug(name), name, _hardware(files), *parts, level=2)


def _hardware(files: dict[str, Node]) -> str:
    isas = [file["isa"] for file in files.values() if "isa" in file]
    threads = [file["threads"] for file in files.values() if "threads" in file]
    words = [f"vector instructions {shown(isas[0], 'text')}"] if isas else []
    words += [f"threads {shown(threads[0], 'count')}"] if threads else []
    return paragraph("; ".join(words)) if words else ""


def _document(names: Sequence[str], fits: bool, body: str) -> str:
    links = "".join(f'<li><a href="#{slug(name)}">{escape(name)}</a></li>' for name in names)
    links += '<li><a href="#budgets">budgets</a></li>' if fits else ""
    return "\n".join((
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        # Nothing is fetched, and nothing runs: this page must not be able to.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">",
        '<link rel="icon" href="data:,">', "<title>Edge SDK, measured</title>",
        f"<style>{STYLE.read_text()}</style>", "</head>", "<body>",
        '<a class="skip" href="#content">Skip to the results</a>',
        f'<nav aria-label="Devices"><ul>{links}</ul></nav>',
        f'<main id="content">{body}</main>', "</body>", "</html>", ""))


def main(
    results: Path = typer.Option(ROOT, help="Folder with a folder for each device."),
    out: Path = typer.Option(OUT, help="The page."),
) -> None:
    """Write one self-contained HTML page of all results."""
    text = page(results)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    say(f"wrote   {out}  {len(text.encode()):,} B  {', '.join(devices(results))}")


if __name__ == "__main__":
    command(main)()
