"""What a run's figures become: text, CSV, JSON with a version, a comparison, a picture."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import benchmarked
import numpy as np
import pytest
from benchmarked import file, result, row, slower
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.bench import compare, plot, table
from edge_sdk.bench.result import Ram, Result, load
from edge_sdk.errors import (
    ComparisonError,
    FormatError,
    MissingDependency,
    OutputError,
    VersionError,
)

GOLDEN = Path(__file__).resolve().parent / "golden" / "bench.txt"


def everything() -> Result:
    """Return a run with every kind of row, and most kinds of trouble."""
    missing = {"kind": "MissingDependency", "expected": "ai-edge-litert", "got": "No module",
               "where": "litert", "hint": "pip install 'edge-inference-sdk[litert]'"}
    measured = {"energy_mj": 12.345, "energy_source": "rapl package, mean of 900"}
    return result(
        file(),
        file("m.pte", [row("S", 0.4), row("M", 1.1, spread=0.05, **measured), row("XL", 12.5)],
             engine="executorch", engine_version="1.4.1", peak_mb=361.0),
        file("b.edge onnx", [
            row("S", 0.51), row("published", 0.6, kind="cascade",
                                answered={"S/8": 0.75, "XL/64": 0.25}),
            row("S/8", 0.5, kind="level")], kind="bundle"),
        file("kws.c", [row("step", 0.00226, kind="method", frames=1, calls_per_sample=9)],
             engine="c", engine_version="cc 12.2.0 -std=c99 -O2", kind="c", load_ms=None,
             ram=Ram(1.6, None, None, 1.2, [1.6])),
        file("one.onnx", [row("XL", 150.0, n=9, quantiles_ms={50: 150.0, 90: None, 99: None})]),
        file("m.tflite", (), engine="litert", error=missing),
        notices=("the device throttled in mid-run, at 40% of it: cool it and run again",))


def test_the_printed_lines_are_those_of_the_golden_file():
    blank = result(file(ram=Ram()), state=benchmarked.NOTHING, machine={
        **benchmarked.MACHINE, "model": None, "cpu": None, "n_cores": None,
        "clock_governors": None})
    once = result(file(rows=[row(passes=1)]), file("n.onnx", [row(ms=2.0, passes=1)]),
                  settings=benchmarked.ONCE)
    text = "\n".join(["# everything", *table.lines(everything()),
                      "# nothing is known of the machine", *table.lines(blank),
                      "# one pass", *table.lines(once), ""])
    if os.environ.get("EDGE_SDK_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_golden_files_ratios_are_those_of_the_figures_put_in():
    found = {(r.file, r.row): r for r in everything().ratios}
    assert set(found) == {("m.pte", "S"), ("m.pte", "M"), ("b.edge onnx", "S")}
    assert found["m.pte", "S"].value == pytest.approx(0.8)
    assert found["m.pte", "M"].value == pytest.approx(1.1, rel=2e-3)
    assert found["m.pte", "M"].low < 1.1 < found["m.pte", "M"].high


@pytest.mark.parametrize(("ms", "text"), [
    (12345.6, "12346"), (123.45, "123.5"), (1.23456, "1.235"), (0.123456, "0.1235"),
    (0.00226, "0.002260"), (1e-9, "0.000000001"), (9.9999, "10.00"), (9.708, "9.708"),
    (0.0, "0.000"), (99.96, "99.96"), (None, "unknown")])
def test_times_have_four_digits_and_no_exponent(ms, text):
    assert table._time(ms) == text


def test_csv_holds_every_row_and_leaves_the_unknown_empty():
    rows = list(csv.DictReader(io.StringIO(table.to_csv(everything()))))
    assert [(r["file"], r["row"]) for r in rows][:4] == [
        ("m.onnx", "S"), ("m.onnx", "M"), ("m.pte", "S"), ("m.pte", "M")]
    assert (rows[0]["energy_mj"], rows[0]["ratio"], rows[3]["energy_mj"]) == ("", "", "12.345")
    assert float(rows[2]["ratio"]) == pytest.approx(0.8)
    assert float(rows[1]["p50_ms"]) == 1.0


# ---- JSON ---------------------------------------------------------------------------------


def test_json_gives_back_the_run_and_holds_what_it_was_made_of():
    text = everything().to_json()
    assert Result.from_json(text, where="x") == everything()
    raw = json.loads(text)
    assert raw["schema_version"] == 1
    assert {"command", "sdk_version", "machine", "settings", "state", "notices"} <= raw.keys()
    assert {"key", "kernel", "python", "clock_governors"} <= raw["machine"].keys()
    assert {"sha256", "engine_version", "n_bytes", "threads", "ram"} <= raw["files"][0].keys()
    assert raw["files"][0]["rows"][0]["energy_mj"] is None
    assert raw["files"][3]["load_ms"] is None
    assert [ratio["row"] for ratio in raw["ratios"]][:2] == ["S", "M"]


def test_json_with_a_comparison_in_it_is_read_too():
    raw = {**json.loads(result().to_json()), "comparison": {"changes": []}}
    assert Result.from_json(json.dumps(raw), where="x") == result()


def test_json_of_a_newer_version_is_refused_as_such():
    raw = {**json.loads(result().to_json()), "schema_version": 2}
    with pytest.raises(VersionError, match="version 2"):
        Result.from_json(json.dumps(raw), where="x")


def test_json_cut_anywhere_is_a_format_error(tmp_path):
    text = result().to_json()
    for length in (0, 1, 100, len(text) // 2, len(text) - 1):
        (tmp_path / "old.json").write_text(text[:length])
        with pytest.raises(FormatError):
            load(tmp_path / "old.json")
    (tmp_path / "old.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError):
        load(tmp_path / "old.json")
    with pytest.raises(FormatError, match="No such file"):
        load(tmp_path / "absent.json")


@pytest.mark.parametrize("damage", [
    lambda raw: raw.update(schema_version="1"),
    lambda raw: raw.pop("machine"),
    lambda raw: raw["machine"].update(key=7),
    lambda raw: raw["settings"].pop("threads"),
    lambda raw: raw["files"][0].update(threads="one"),
    lambda raw: raw["files"][0].update(unheard_of=1),
    lambda raw: raw["files"][0]["ram"].update(peak_mb=float("nan")),
    lambda raw: raw["files"][0]["rows"][0].update(rounds_ms=[]),
    lambda raw: raw["files"][0]["rows"][0].update(rounds_ms=[[1.0] * 4] * 4),
    lambda raw: raw["files"][0]["rows"][0]["rounds_ms"][2].pop(),
    lambda raw: raw["files"][0]["rows"][0].update(rounds_ms=[[1.0, -1.0, 1.0, 1.0]] * 5),
    lambda raw: raw["files"][0]["rows"][0].update(rounds_ms=[["fast"] * 4] * 5),
    lambda raw: raw["files"][0].update(rows=None),
    lambda raw: raw.update(files=[[]]),
])
def test_json_with_figures_that_can_not_be_is_a_format_error(damage):
    raw = json.loads(result().to_json())
    damage(raw)
    with pytest.raises(FormatError):
        Result.from_json(json.dumps(raw), where="x")


# ---- comparison ---------------------------------------------------------------------------


def verdicts(old, new, **options):
    return {(c.file, c.row): c.verdict for c in compare.compare(old, new, **options).changes}


def test_a_run_beside_itself_is_the_same():
    assert set(verdicts(everything(), everything()).values()) == {"same"}


@pytest.mark.parametrize(("by", "spread", "verdict"), [
    (1.2, 0.01, "slower"), (0.8, 0.01, "faster"), (1.04, 0.0, "same"), (1.06, 0.0, "slower"),
    (1.3, 0.3, "same"), (0.75, 0.3, "same"), (3.0, 0.3, "slower")])
def test_a_change_counts_beyond_both_runs_noise_and_the_floor(by, spread, verdict):
    old = row("M", 1.0, spread=spread)
    found = compare.compare(result(file(rows=[old])), result(file(rows=[slower(old, by)])))
    assert found.changes[0].verdict == verdict
    assert len(found.regressions) == (verdict == "slower")
    assert found.to_dict()["n_regressions"] == len(found.regressions)


def test_noise_of_the_old_run_alone_is_noise_too():
    noisy = result(file(rows=[row("M", 1.0, spread=0.3)]))
    steady = result(file(rows=[row("M", 1.3, spread=0.001)]))
    assert verdicts(noisy, steady)["m.onnx", "M"] == "same"
    assert verdicts(steady, noisy)["m.onnx", "M"] == "same"


def test_the_floor_is_the_callers():
    old, new = row("M", 1.0, spread=0.0), row("M", 1.03, spread=0.0)
    assert verdicts(result(file(rows=[old])), result(file(rows=[new])),
                    floor=0.02)["m.onnx", "M"] == "slower"


def test_reruns_of_the_same_speed_are_seldom_called_slower():
    rng = np.random.default_rng(0)

    def run():
        return result(file(rows=[replace(row(), rounds_ms=np.exp(
            rng.normal(0, 0.05, (5, 1)) + rng.normal(0, 0.05, (5, 4))).tolist())]))

    found = [verdicts(run(), run(), floor=0.0)["m.onnx", "M"] for _ in range(400)]
    assert found.count("same") >= 0.975 * 400


def test_one_pass_alone_fails_nothing_but_says_so():
    old, new = (result(file(rows=[row("M", ms, passes=1)]), settings=benchmarked.ONCE)
                for ms in (1.0, 2.0))
    assert verdicts(old, new)["m.onnx", "M"] == "noise unknown"
    assert verdicts(old, old)["m.onnx", "M"] == "same"


@pytest.mark.parametrize(("old_mb", "new_mb", "verdict"), [
    (60.0, 60.9, "same"), (60.0, 64.0, "larger"), (60.0, 56.0, "smaller"), (2.0, 2.9, "same"),
    (2.0, 3.7, "larger")])
def test_peak_memory_counts_beyond_the_floor_and_one_megabyte(old_mb, new_mb, verdict):
    assert verdicts(result(file(peak_mb=old_mb)),
                    result(file(peak_mb=new_mb)))["m.onnx", ""] == verdict


def test_unknown_memory_is_compared_with_nothing():
    assert ("m.onnx", "") not in verdicts(result(file(ram=Ram())), result())


def test_another_machine_or_other_threads_are_refused():
    other = result(machine={**benchmarked.MACHINE, "key": "f" * 16, "cpu": "Cortex-A55"})
    with pytest.raises(ComparisonError, match=r"the same machine.*Cortex-A55"):
        compare.compare(other, result())
    four = result(settings={**result().settings, "threads": 4})
    with pytest.raises(ComparisonError, match=r"the same threads.*4, got 1"):
        compare.compare(four, result())


def test_runs_with_nothing_in_common_are_refused():
    with pytest.raises(ComparisonError, match="that both runs measured"):
        compare.compare(result(file("a.onnx")), result(file("b.onnx")))


def test_what_else_differs_is_said():
    old = result(file(), file("gone.onnx"), notices=("the device throttled",))
    new = result(file(sha256="2" * 64, engine_version="1.32.0", rows=[row("S", 0.5), row("XL")]),
                 sdk_version="0.2.0",
                 machine={**benchmarked.MACHINE, "clock_governors": ["performance"]})
    notices = "\n".join(compare.compare(old, new).notices)
    for words in ("edge_sdk was 0.1.0, is 0.2.0", "m.onnx is another file",
                  "onnx was 1.31.1, is 1.32.0", "clock_governors was ['ondemand']",
                  "gone.onnx (onnx) is not in both", "m.onnx XL is not in both",
                  "m.onnx M is not in both", "then: the device throttled"):
        assert words in notices


def test_the_lines_of_a_comparison_name_the_row_that_became_slower():
    old, new = result(), result(file(rows=[row("S", 0.5), row("M", 1.5)]))
    lines = compare.lines(compare.compare(old, new))
    worse = [line.split() for line in lines if line.startswith("slower")]
    assert [words[1:3] for words in worse] == [["m.onnx", "M"]]
    assert "+50.0%" in worse[0]
    assert lines[-1] == "verdict  1 of 3 figures worse than noise explains"


@given(st.floats(0.2, 5.0), st.floats(0.0, 0.3))
def test_what_is_slower_one_way_is_faster_the_other(by, spread):
    old = row("M", 1.0, spread=spread)
    there = verdicts(result(file(rows=[old])), result(file(rows=[slower(old, by)])))
    back = verdicts(result(file(rows=[slower(old, by)])), result(file(rows=[old])))
    swap = {"slower": "faster", "faster": "slower", "same": "same"}
    assert back["m.onnx", "M"] == swap[there["m.onnx", "M"]]


# ---- picture ------------------------------------------------------------------------------


def test_a_picture_is_a_png_and_nothing_is_left_of_one_that_fails(tmp_path):
    pytest.importorskip("matplotlib")
    plot.plot(everything(), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputError):
        plot.plot(everything(), tmp_path / "no such folder" / "out.png")
    with pytest.raises(OutputError, match=r"\.png, \.svg or \.pdf"):
        plot.plot(everything(), tmp_path / "out.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_a_picture_of_unknown_memory_and_failed_files_is_drawn_all_the_same(tmp_path):
    pytest.importorskip("matplotlib")
    plot.plot(result(file(ram=Ram()), machine={**benchmarked.MACHINE, "cpu": None}),
              tmp_path / "out.svg")
    assert b"<svg" in (tmp_path / "out.svg").read_bytes()


def test_without_matplotlib_the_hint_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match="pip install matplotlib"):
        plot.plot(result(), tmp_path / "out.png")
