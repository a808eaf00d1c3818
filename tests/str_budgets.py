"""ResNet-50's layers and their sparsities, as STR's authors published them."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path


def table(data_root: Path) -> list[list[str]]:
    """Overall, the backbone, each layer, the pool: parameters, MACs, sparsities in percent."""
    path = data_root / "conformance/str/STR_Budgets_ResNet50.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert [row[0].split(" ")[0] for row in rows[1:]] == [
        "Overall", "Backbone", *["Layer"] * 54, "AP"]
    return rows[1:]


def layers_of(rows: list[list[str]]) -> dict[str, list[str]]:
    return {row[0].split(" - ")[1]: row for row in rows if row[0].startswith("Layer")}


def kept_by(rows: list[list[str]], column: int) -> dict[str, int]:
    """How many weights each layer keeps: percentages to whole numbers."""
    return {name: round(int(row[1]) * (1 - Fraction(row[column]) / 100))
            for name, row in layers_of(rows).items()}
