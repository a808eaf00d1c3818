"""Values of results files that know where they come from, and how a page shows them.

A source is a file below `benchmarks/results/` and a JSON pointer (RFC 6901) into it:
`x86-64-amd-epyc/codes.json#/parts/ed/rows/3/ratio`. A `*` stands for every entry of a list;
what is shown then is their mean. A pointer that ends in `#` means the key itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.rows import number
from edge_sdk.errors import DataError

UNKNOWN = "–"
AGAIN = "measure it again: python -m benchmarks"


@dataclass(frozen=True)
class Node:
    """A value of a results file, and its source."""

    value: Any
    source: str

    def __getitem__(self, key: str | int) -> Node:
        """Return an entry.

        Raises:
            DataError: There is none.
        """
        source = f"{self.source}/{_escaped(key)}"
        try:
            return Node(self.value[key], source)
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(f"an entry {key!r}", f"none ({type(error).__name__})", where=source,
                            hint=AGAIN) from error

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, Mapping) and key in self.value

    def __iter__(self) -> Iterator[Node]:
        """Give the entries of a list, or of an object in its order."""
        keys = self.value if isinstance(self.value, Mapping) else range(len(self.value))
        return (self[key] for key in keys)

    def entries(self, key: str) -> list[Node]:
        """Return the entries of a list or object under a key, none if there is none."""
        return [*self[key]] if key in self else []

    def items(self) -> Iterator[tuple[str, Node]]:
        """Give the keys of an object and their entries."""
        return ((key, self[key]) for key in self.value)

    def key(self) -> Node:
        """Return the key of this entry."""
        return Node(_last(self.source), f"{self.source}#")

    def number_of_key(self) -> Node:
        """Return the key of this entry where it is a number written as text."""
        return Node(float(_last(self.source)), f"{self.source}#")

    def mean(self, *keys: str | int) -> Node:
        """Return the mean over this list of what lies under `keys` in each entry.

        NaN if an entry has none: a mean of the others would be of something else.
        """
        source = "/".join([f"{self.source}/*", *map(_escaped, keys)])
        return Node(mean(_values(self.value, ["*", *map(str, keys)])), source)

    def has(self, *keys: str) -> bool:
        """Whether there is something under `keys`, one below the other."""
        found = self.value
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return False
            found = found[key]
        return True

    def at(self, *keys: str | int) -> Node:
        """Return the entry under `keys`, one below the other."""
        found = self
        for key in keys:
            found = found[key]
        return found


def read(root: Path, name: str) -> Node:
    """Return a results file; `name` is its path below `root`.

    Raises:
        DataError: No JSON object.
    """
    try:
        value = json.loads((root / name).read_text())
    except (OSError, ValueError) as error:
        raise DataError("a JSON file", str(error), where=name,
                        hint=AGAIN) from error
    if not isinstance(value, Mapping):
        raise DataError("a JSON object", type(value).__name__, where=name, hint=AGAIN)
    return Node(value, f"{name}#")


def resolve(root: Path, source: str) -> Any:
    """Return the value at a source; of a path with `*` the mean.

    Raises:
        DataError: No such file, or nothing there.
    """
    name, _, pointer = source.partition("#")
    if pointer.endswith("#"):
        resolve(root, source[:-1])
        return _last(source[:-1])
    keys = [_unescaped(key) for key in pointer.split("/")[1:]]
    try:
        found = _values(read(root, name).value, keys)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise DataError("a value", f"none ({type(error).__name__})", where=source,
                        hint=AGAIN) from error
    return mean(found) if "*" in keys else found[0]


def known(node: Node) -> bool:
    """Whether a node is a finite number."""
    return isinstance(node.value, int | float) and math.isfinite(node.value)


def mean(values: list[Any]) -> float:
    """Return the mean of numbers; NaN if one is missing."""
    if not values or any(value is None for value in values):
        return math.nan
    return math.fsum(values) / len(values)


def _values(value: Any, keys: list[str]) -> list[Any]:
    if not keys:
        return [value]
    if keys[0] == "*":
        return [found for entry in value for found in _values(entry, keys[1:])]
    key: Any = int(keys[0]) if isinstance(value, list) else keys[0]
    return _values(value[key], keys[1:])


def _escaped(key: str | int) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _unescaped(key: str) -> str:
    return key.replace("~1", "/").replace("~0", "~")


def _last(source: str) -> str:
    return _unescaped(source.rpartition("/")[2])


# ---- how values are shown ----------------------------------------------------------------------


def _ratio(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else number(value)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _least(value: float) -> str:
    return f"{value:.1e}"


def _target(value: str) -> str:
    return value.replace("ratio >=", "≥").replace("ours <=", "≤")


def _met(value: bool) -> str:
    return "met" if value else "missed"


FORMATS: Mapping[str, Callable[[Any], str]] = {
    "number": number, "ratio": _ratio, "count": "{:,}".format, "percent": _percent,
    "percent of": "{:.2f} %".format, "least": _least, "text": str, "target": _target, "met": _met,
    "megabytes": lambda n_bytes: f"{n_bytes / 1e6:.2f}",
}
"""How a value becomes text; None and NaN become a dash in all of them."""
OF_TEXT = ("text", "target")


def formatted(value: Any, form: str) -> str:
    """Return a value as a page shows it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, str) and form not in OF_TEXT:
        value = float(value)  # a key: those are text in JSON
    return FORMATS[form](value)


def shown(node: Node, form: str = "number") -> str:
    """Return the element that shows a value and names its source."""
    text = escape(formatted(node.value, form))
    about = f'data-source="{escape(node.source)}" data-as="{form}"'
    if text == UNKNOWN:
        return f'<span {about} title="not measured">{text}</span>'
    if isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return f'<data value="{node.value!r}" {about}>{text}</data>'
    style = ' class="missed"' if form == "met" and not node.value else ""
    return f"<span{style} {about}>{text}</span>"
