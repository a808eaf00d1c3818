"""The guides are true: their links lead somewhere, their commands exist, their code runs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*GUIDES, ROOT / "CHANGELOG.md",
         *sorted((ROOT / "runtime" / "examples").glob("*/README.md"))]

FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python3? -m (edge_sdk(?:\.\w+)+)([^\n`|;&]*)")


class Block(NamedTuple):
    """A fenced block: its language, the words after it, its text."""

    language: str
    words: list[str]
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(found[1], found[2].split(), found[3])
            for found in FENCE.finditer(page.read_text())]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def heading_ids(page: Path) -> set[str]:
    """Return what GitHub calls a page's headings in links."""
    text = prose(page)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, part = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if part:
            assert part in heading_ids(target), f"{name(page)}: {link}"


def test_every_guide_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    assert {guide.name for guide in GUIDES if guide.name != "README.md"} == \
        {link for link in LINK.findall(index) if "/" not in link}


@cache
def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True,
                          text=True, check=False, cwd=ROOT, timeout=120,
                          env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the module and the arguments of each of our commands on a page."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    for found in COMMAND.finditer(text):
        yield found[1], found[2].partition("#")[0].split()


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_commands_and_their_options_exist(page):
    for module, arguments in commands(page):
        text = help_of(module)
        if arguments and re.search(rf"^  {re.escape(arguments[0])}  ", text, re.MULTILINE):
            text = help_of(module, arguments[0])
        for option in (word for word in arguments if word.startswith("--")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), \
                f"{name(page)}: {module} {option}"


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_python_compiles(page):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)


# ---- what is marked is run -------------------------------------------------------------------

MARKED = [guide for guide in GUIDES if any("test" in block.words for block in blocks(guide))]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a clone, with a build folder of its own; it becomes the current."""
    for path in ROOT.iterdir():
        if path.name not in ("build", "dist") and not path.name.startswith("."):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "build").mkdir()
    (tmp_path / ".bin").mkdir()
    (tmp_path / ".bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / ".bin" / "python").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / ".bin"), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_shell(text: str, page: Path) -> str:
    """Run a block as a shell would that stops at the first failure; return what it prints."""
    done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", text], capture_output=True,
                          text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{name(page)}:\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", MARKED, ids=name)
def test_what_is_marked_runs_from_top_to_bottom(page, clone, request, monkeypatch):
    namespace: dict[str, object] = {"__name__": page.stem}
    request.addfinalizer(namespace.clear)  # its functions and it hold one another
    printed = ""
    for block in blocks(page):
        if block.language == "text" and "output" in block.words:
            assert block.text in printed
        if "test" not in block.words:
            continue
        for word in block.words:
            if word.startswith("needs=") and shutil.which(word.removeprefix("needs=")) is None:
                pytest.skip(f"not installed: {word.removeprefix('needs=')}")
        if "data" in block.words:
            monkeypatch.setenv("EDGE_SDK_DATA", str(request.getfixturevalue("data_root")))
        if block.language == "python":
            exec(compile(block.text, name(page), "exec"), namespace)
        else:
            assert block.language == "sh"
            printed = run_shell(block.text, page)
