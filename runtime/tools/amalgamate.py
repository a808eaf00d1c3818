"""Write the core as two files, edge_runtime.h and edge_runtime.c: the same answers, one command.

Usage: python3 runtime/tools/amalgamate.py [--out FOLDER]. The bytes depend on the sources alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

RUNTIME = Path(__file__).resolve().parent.parent
HEADER = RUNTIME / "include" / "edge_runtime.h"
SOURCES = sorted((RUNTIME / "src").glob("*.c"))
FOLDER = RUNTIME.parent / "build" / "amalgamation"

OPENING = """\
/*
 * The core of the Edge SDK {version} in one file; edge_runtime.h is the other.
 * Made by runtime/tools/amalgamate.py: change the sources, not this file.
 *
 *     cc -O2 -c edge_runtime.c
 *
 * Every kernel is in here. x86-64 chooses among its own when the program starts;
 * ARM has those that the flags allow: on 32 bits, -mfpu=neon brings NEON in.
 */
#if defined(__FAST_MATH__)
#error "-ffast-math changes the answers, which are the same on every processor without it"
#endif

/* A product is rounded before it is added, whatever the flags: the same bits everywhere. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic ignored "-Wunused-function" /* two that the tests compare with */
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""

INCLUDE = re.compile(r'^#include "([^"]+)"$')
LEADING_COMMENT = re.compile(r"\A/\*.*?\*/\n", re.DOTALL)
COMMENT_OR_TEXT = r"""/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
WORD = r"(?<!\.)(?<!->)\b[A-Za-z_]\w*"
"""A name that is not a member of what stands before it."""
STRUCT = re.compile(r"\b(?:struct|union) \w* ?\{[^}]*\}")
MEMBER = re.compile(r"\b(\w+)\s*[;,:\[]")


# ---- names of one source ---------------------------------------------------------------------


def code_of(text: str) -> str:
    """Return the text without comments, strings and preprocessor lines."""
    text = re.sub(r"\\\n", " ", re.sub(COMMENT_OR_TEXT, " ", text, flags=re.DOTALL))
    return re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


def top_level(code: str) -> Iterator[tuple[str, str]]:
    """Yield each declaration at file scope: what stands before its braces, and in them."""
    depth, outside, inside = 0, "", ""
    for character in code:
        if character == "{":
            depth += 1
        if depth:
            inside += character
        else:
            outside += character
        if character == "}":
            depth -= 1
        ends_function = character == "}" and outside.rstrip().endswith(")")
        if depth == 0 and (character == ";" or ends_function):
            yield outside.strip(), inside
            outside = inside = ""


def local_names(text: str) -> set[str]:
    """Return what a source declares at file scope for itself: functions, types, constants."""
    names: set[str] = set()
    for outside, inside in top_level(code_of(text)):
        declared = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", outside)
        if declared.startswith(("enum", "typedef enum")):
            names.update(re.findall(r"[{,]\s*(\w+)", inside))
        if declared.startswith("typedef"):
            names.update(re.findall(r"(\w+)\s*;$", declared))
        if declared.startswith(("typedef", "struct", "enum")):
            names.update(re.findall(r"^(?:typedef )?(?:struct|enum) (\w+)", declared))
        elif declared.startswith("static"):
            names.update(re.findall(r"(\w+)\s*[(\[=;]", declared)[:1])
    return {name for name in names if not name.lower().startswith("edge_")}


def renamed(text: str, suffix: str, names: set[str]) -> str:
    """Return the text with `name` as `name__suffix` wherever it stands in code, but as a member."""
    members = {declared.start(1) for body in STRUCT.finditer(text)
               for declared in MEMBER.finditer(text, body.start(), body.end())}

    def own(found: re.Match[str]) -> str:
        mine = found[0] in names and found.start() not in members
        return f"{found[0]}__{suffix}" if mine else found[0]

    return re.sub(f"{COMMENT_OR_TEXT}|{WORD}", own, text, flags=re.DOTALL)


def unique(sources: dict[str, str], headers: list[str]) -> dict[str, str]:
    """Return the sources with each name that another file uses too made the source's own."""
    used = Counter(word for text in [*sources.values(), *headers]
                   for word in set(re.findall(WORD, code_of(text))))
    return {name: renamed(text, Path(name).stem,
                          {word for word in local_names(text) if used[word] > 1})
            for name, text in sources.items()}


# ---- one file of many ------------------------------------------------------------------------


def conditions(lines: list[str]) -> list[int]:
    """Return how many #if each line stands behind; an #endif counts as behind those left."""
    depths, depth = [], 0
    for line in lines:
        depth += line.startswith("#if") - line.startswith("#endif")
        depths.append(depth)
    return depths


def is_guarded(text: str) -> bool:
    """Whether all of a header stands behind its guard, so that once is enough."""
    bare = re.sub(COMMENT_OR_TEXT, "", text, flags=re.DOTALL)
    lines = [line for line in bare.splitlines() if line.strip()]
    return bool(re.match(r"#ifndef \w+_H$", lines[0])) and all(conditions(lines)[:-1])


class Amalgamation:
    """Sources written one after the other, with what they include in its place."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.finished: set[str] = set()
        self.lines: list[str] = []

    def add(self, name: str) -> None:
        """Write a source; the macros that it or its templates define end with it."""
        self.lines += ["", f"/* ==== {name} " + "=" * (88 - len(name)) + " */", ""]
        first = len(self.lines)
        self.inline(name, 0)
        for macro in self.macros(self.lines[first:]):
            self.lines.append(f"#undef {macro}")

    def inline(self, name: str, depth: int) -> None:
        """Write a file that stands behind `depth` #if, and those that it includes."""
        text = self.files[name]
        if name.endswith(".def"):
            text = LEADING_COMMENT.sub("", text)
        lines = text.splitlines()
        depth -= is_guarded(text)
        for line, inner in zip(lines, conditions(lines), strict=True):
            found = INCLUDE.match(line)
            if not found:
                self.lines.append(line)
            elif found[1] not in self.finished and found[1] != HEADER.name:
                if is_guarded(self.files[found[1]]) and depth + inner == 0:
                    self.finished.add(found[1])
                self.inline(found[1], depth + inner)

    @staticmethod
    def macros(lines: list[str]) -> list[str]:
        """Return the macros defined outside of headers' guards, in their order."""
        opened: list[bool] = []
        found: dict[str, None] = {}
        for line in lines:
            if line.startswith("#if"):
                opened.append(line.startswith("#ifndef") and line.endswith("_H"))
            elif line.startswith("#endif"):
                opened.pop()
            elif (define := re.match(r"#define (\w+)", line)) and not any(opened):
                found[define[1]] = None
        return list(found)


def amalgamate() -> tuple[str, str]:
    """Return the texts of edge_runtime.h and edge_runtime.c."""
    header = HEADER.read_text()
    sources = {path.name: path.read_text() for path in SOURCES}
    others = {path.name: path.read_text() for path in sorted((RUNTIME / "src").iterdir())
              if path.suffix in (".h", ".def")}
    whole = Amalgamation(unique(sources, [header, *others.values()]) | others)
    for name in sources:
        whole.add(name)
    version = re.findall(r'#define EDGE_VERSION "([^"]+)"', header)[0]
    opening = OPENING.format(version=version) + f'\n#include "{HEADER.name}"\n'
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(whole.lines))
    return header, opening + body + "\n"


def main() -> int:
    """Write both files; return the exit status."""
    parser = argparse.ArgumentParser(description="The core as two files.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write them to")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(("edge_runtime.h", "edge_runtime.c"), amalgamate(), strict=True):
        (folder / name).write_text(text)
        print(f"wrote  {folder / name}  {len(text.splitlines())} lines  {len(text)} B")
    return 0


if __name__ == "__main__":
    sys.exit(main())
