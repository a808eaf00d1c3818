"""The command that measures everything, and what results must say to be believed."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("typer")
from benchmarks import parts as in_parts
from benchmarks import valid
from benchmarks.__main__ import BENCHMARKS, summary
from benchmarks.__main__ import main as measure_all
from benchmarks.elastic import DEVICE, device
from edge_sdk.console import command

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DEVICES = sorted(path for path in RESULTS.iterdir() if path.is_dir())
GOOD = {
    "device": "some-board", "version": "0.1.0", "threads": 1, "isa": "neon", "python": "3.11.2",
    "packages": {"numpy": "2.1.0"}, "parts": {"model": {
        "command": "python -m benchmarks.sparse --only model", "rows": [{
            "what": "a layer", "ours": 2.0, "peer": 3.0, "peer_name": "dense", "unit": "ms",
            "ratio": 1.5, "target": "ratio >= 1", "met": True, "n": 1, "rounds": 3,
            "isa": "neon"}]}}}


# ---- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", DEVICES, ids=lambda path: path.name)
def test_results_of_every_device_say_what_was_measured_and_how(folder):
    assert valid.problems(folder) == []


def written(tmp_path: Path, results: object, name: str = "sparse") -> list[str]:
    folder = tmp_path / "some-board"
    folder.mkdir()
    text = results if isinstance(results, str) else json.dumps(results)
    (folder / f"{name}.json").write_text(text)
    return valid.problems(folder)


def changed(*path: str | int, to: object = None, drop: bool = False) -> dict:
    made = copy.deepcopy(GOOD)
    at = made
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return made


def test_good_results_have_no_problems(tmp_path):
    assert written(tmp_path, GOOD) == []


ROW = ("parts", "model", "rows", 0)


@pytest.mark.parametrize(("results", "named"), [
    (changed("device", to="another"), "#/device"),
    (changed("version", drop=True), "#/version"),
    (changed("threads", to=0), "#/threads"),
    (changed("python", to="snake"), "#/python"),
    (changed("isa", drop=True), "#/isa"),
    (changed("packages", to={}), "#/packages"),
    (changed("packages", "numpy", to=None), "#/packages"),
    (changed("packages", drop=True), "#/packages"),
    (changed("parts", to={}), "#/parts"),
    (changed("parts", "model", "command", to="./mine.sh"), "#/parts/model/command"),
    (changed("parts", "model", "command", drop=True), "#/parts/model/command"),
    (changed(*ROW, "unit", drop=True), "rows/0/unit"),
    (changed(*ROW, "ours", to=None), "rows/0/ours"),
    (changed(*ROW, "ours", to="fast"), "rows/0/ours"),
    (changed(*ROW, "met", to=None), "rows/0/met"),
    (changed(*ROW, "ratio", to=15.0), "rows/0/ratio"),
    (changed("parts", "model", "note", to="in /home/me/data"), "#/parts/model/note"),
    (changed("parts", "model", "note", to="C:\\Users"), "#/parts/model/note"),
], ids=str)
def test_what_is_wrong_with_results_is_named(tmp_path, results, named):
    found = written(tmp_path, results)
    assert len(found) == 1
    assert found[0].startswith("some-board/sparse.json")
    assert named in found[0]


@pytest.mark.parametrize("text", ["", "[]", '{"parts": NaN}', '{"device": Infinity}'])
def test_damaged_results_are_named(tmp_path, text):
    assert written(tmp_path, text)[0].startswith("some-board/sparse.json")


def test_results_of_engines_name_their_command_and_toolchain(tmp_path):
    found = written(tmp_path, {"device": "some-board", "version": "0.1.0", "threads": 1,
                               "onnx": {}, "command": "mine"}, "elastic")
    assert [re.search("#/[a-z/]+", one).group() for one in found] == ["#/command",
                                                                     "#/onnx/toolchain"]


def test_a_folder_without_results_or_with_a_strange_name_is_a_problem(tmp_path):
    for name in ("empty", "My Laptop"):
        (tmp_path / name).mkdir()
        assert len(valid.problems(tmp_path / name)) == 1


# ---- the commands ------------------------------------------------------------------------------


def test_one_part_that_fails_does_not_lose_the_others(capsys):
    seen = []

    def measure(part: str) -> None:
        seen.append(part)
        if part == "b":
            raise RuntimeError("broken")

    with pytest.raises(in_parts.typer.Exit) as ended:
        in_parts.each(["a", "b", "c"], measure)
    assert seen == ["a", "b", "c"]
    assert ended.value.exit_code == 1
    errors = capsys.readouterr().err
    assert "b: RuntimeError: broken" in errors
    assert "failed  b" in errors


def test_a_part_is_stored_beside_the_others_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(in_parts, "RESULTS", tmp_path)
    monkeypatch.setenv(DEVICE, "some-board")
    for part in ("late", "early", "late"):
        in_parts.store("sparse", part, {"rows": [], "command": part}, ("early", "late"), {"x": 1})
    stored = json.loads((tmp_path / "some-board" / "sparse.json").read_text())
    assert list(stored["parts"]) == ["early", "late"]
    assert (stored["device"], stored["threads"], stored["x"]) == ("some-board", 1, 1)


def test_a_quick_run_of_parts_writes_nothing(tmp_path, monkeypatch, run_command):
    monkeypatch.setattr(in_parts, "RESULTS", tmp_path)
    made = in_parts.main("sparse", {"one": lambda scale, data: {"rows": []}}, ())
    assert run_command(command(made), "--quick")[0] == 0
    assert not list(tmp_path.iterdir())
    assert run_command(command(made))[0] == 0
    assert list(tmp_path.rglob("sparse.json"))


def test_an_unknown_part_is_wrong_usage(run_command):
    status, _, errors = run_command(command(measure_all), "--only", "elastic,nothing")
    assert status == 2
    assert "nothing" in errors


@pytest.mark.parametrize("name", ["My Pi", "../up", "", "UPPER", "a--b"])
def test_a_device_name_that_is_no_folder_name_is_wrong_usage(run_command, name):
    assert run_command(command(measure_all), "--device", name, "--only", "codes")[0] == 2


def test_all_benchmarks_run_and_one_that_fails_is_named_at_the_end(monkeypatch, run_command):
    import benchmarks.__main__ as everything

    asked = []

    def run(benchmark, options, environment):
        asked.append((benchmark, environment[DEVICE], environment["EDGE_SDK_DATA"]))
        return (1 if benchmark == "codes" else 0), 12.3

    monkeypatch.setattr(everything, "run", run)
    status, out, _ = run_command(command(measure_all), "--device", "my-pi", "--data", "there")
    assert status == 1
    assert [name for name, _, _ in asked] == [*BENCHMARKS, "report"]
    assert {(name, data) for _, name, data in asked} == {("my-pi", "there")}
    assert "FAILED  codes" in out
    assert "again alone: python -m benchmarks --only codes" in out
    assert "ok      sparse" in out


def test_the_summary_has_a_line_for_each():
    assert summary({"codes": (0, 61.4), "sparse": (2, 1.0)}) == [
        "ok      codes          61 s",
        "FAILED  sparse          1 s  status 2; again alone: python -m benchmarks --only sparse"]


def test_every_benchmark_is_a_module_and_make_runs_them_all():
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in BENCHMARKS)
    assert "-m benchmarks\n" in (ROOT / "Makefile").read_text().partition("\nbench:")[2]


def test_a_device_is_named_by_the_environment_or_by_its_processor(monkeypatch):
    monkeypatch.setenv(DEVICE, "raspberry-pi-5")
    assert device() == "raspberry-pi-5"
    monkeypatch.delenv(DEVICE)
    assert valid.NAME.fullmatch(device())


def test_the_readme_of_benchmarks_names_every_benchmark():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(BENCHMARKS)
