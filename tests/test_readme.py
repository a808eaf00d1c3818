"""The README says what was measured, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*/elastic.json"))
ADAPTIVE = sorted((ROOT / "benchmarks" / "results").glob("*/adaptive.json"))
CODES = sorted((ROOT / "benchmarks" / "results").glob("*/codes.json"))
FASTGRNN = sorted((ROOT / "benchmarks" / "results").glob("*/fastgrnn.json"))
BENCH = sorted((ROOT / "benchmarks" / "results").glob("*/bench.json"))
SPARSE = sorted((ROOT / "benchmarks" / "results").glob("*/sparse.json"))


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_the_readmes_table_is_the_one_made_from_the_committed_results(readme):
    from benchmarks.readme import BEGIN, END, block

    written = readme.partition(BEGIN)[2].partition(END)[0].strip()
    made = [block(json.loads(path.read_text())) for path in RESULTS]
    assert written in made


def test_the_readmes_words_on_codes_are_made_from_the_committed_results(readme):
    from benchmarks.readme_codes import BEGIN, END, block

    written = readme.partition(BEGIN)[2].partition(END)[0].strip()
    made = [block(json.loads(path.read_text())) for path in CODES]
    assert written in made


def test_the_readmes_words_on_what_adapts_are_made_from_the_committed_results(readme):
    from benchmarks.readme_adaptive import BEGIN, END, block

    written = readme.partition(BEGIN)[2].partition(END)[0].strip()
    made = [block(json.loads(path.read_text())) for path in ADAPTIVE]
    assert written in made


def test_the_readmes_words_on_fastgrnn_are_made_from_committed_results_card_and_budget(readme):
    from benchmarks.readme_fastgrnn import BEGIN, BUDGET, CARD, END, block

    written = readme.partition(BEGIN)[2].partition(END)[0].strip()
    card, budget = (json.loads(path.read_text()) for path in (CARD, BUDGET))
    made = [block(json.loads(path.read_text()), card, budget) for path in FASTGRNN]
    assert written in made


def test_the_readmes_table_of_bench_is_made_from_a_committed_run(readme):
    from benchmarks.readme_bench import BEGIN, END, block
    from edge_sdk.bench.result import load

    written = readme.partition(BEGIN)[2].partition(END)[0].strip()
    assert written in [block(load(path), path.parent.name) for path in BENCH]


def test_the_readmes_words_on_sparse_models_are_made_from_committed_results_and_card(readme):
    from benchmarks.readme_sparse import BEGIN, CARD, END, block

    written = readme.partition(BEGIN)[2].partition(END)[0].strip()
    made = [block(json.loads(path.read_text()), json.loads(CARD.read_text())) for path in SPARSE]
    assert written in made


@pytest.mark.parametrize("path", SPARSE, ids=lambda path: path.parent.name)
def test_layers_are_exported_sparse_only_where_a_committed_measurement_says_faster(path):
    from edge_sdk.exporters.sparse.choice import break_even

    for row in json.loads(path.read_text())["parts"]["crossover"]["rows"]:
        least = break_even(row["columns"], row["form"], conv=row["conv"])
        assert least >= row["break_even"] - 0.005, row["what"]


@pytest.mark.parametrize("path", SPARSE, ids=lambda path: path.parent.name)
def test_committed_results_on_sparse_models_name_the_command_of_each_part(path):
    for name, part in json.loads(path.read_text())["parts"].items():
        assert part["command"] == f"python -m benchmarks.sparse --only {name}"


@pytest.mark.parametrize("path", CODES, ids=lambda path: path.parent.name)
def test_committed_results_on_codes_name_the_command_of_each_part(path):
    for name, part in json.loads(path.read_text())["parts"].items():
        assert part["command"].startswith(f"python -m benchmarks.codes --only {name}")


@pytest.mark.parametrize("path", FASTGRNN, ids=lambda path: path.parent.name)
def test_committed_results_on_fastgrnn_name_the_command_of_each_part(path):
    for name, part in json.loads(path.read_text())["parts"].items():
        assert part["command"] == f"python -m benchmarks.fastgrnn --only {name}"


def test_every_file_that_the_readme_links_exists(readme):
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_every_module_that_the_readme_runs_exists(readme):
    modules = set(re.findall(r"python -m ((?:edge_sdk|benchmarks)[\w.]*)", readme))
    assert modules
    for module in modules:
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_both_commands_of_the_readme_are_targets_of_the_makefile(readme):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert command in targets
