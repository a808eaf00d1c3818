"""Measuring, with processes that only pretend; the machine; the measured process."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from pretenders import COOL, Pretender, pretend

from edge_sdk.bench import child, machine
from edge_sdk.bench.process import Process
from edge_sdk.device import DeviceState
from edge_sdk.energy import Meter
from edge_sdk.errors import (
    EngineError,
    GranularityError,
    ShapeError,
)


def test_a_run_gives_what_the_processes_said():
    found = pretend({"ms": {"S": 1.0, "M": 2.0}}, {"ms": {"M": 3.0, "XL": 9.0}}, passes=3)
    assert [(file.name, [row.name for row in file.rows]) for file in found.files] == [
        ("file 0", ["S", "M"]), ("file 1", ["M", "XL"])]
    m = found.files[0].rows[1]
    assert (m.rounds_ms, m.n, m.first_ms, m.mean_ms, m.min_ms) == (
        [[2.0, 2.0]] * 3, 18, 9.0, 2.0, 2.0)
    assert (m.quantiles_ms[50], m.quantiles_ms[90], m.energy_mj) == (2.0, None, None)
    ratio, = found.ratios
    assert (ratio.file, ratio.row, ratio.to, ratio.value) == ("file 1", "M", "file 0", 1.5)
    assert found.files[0].load_ms == 5.0
    ram = found.files[0].ram
    assert (ram.peak_mb, ram.above_engine_mb, ram.after_load_mb, ram.peaks_mb) == (
        50.0, 20.0, 40.0, [50.0] * 3)


def test_all_rows_of_all_files_take_one_turn_a_round_in_an_order_drawn_by_the_seed(tmp_path):
    def turns(seed, name):
        log = str(tmp_path / name)
        pretend({"ms": {"S": 1.0, "M": 2.0}, "log": log}, {"ms": {"S": 3.0}, "log": log},
                rounds=6, passes=1, seed=seed)
        lines = Path(log).read_text().splitlines()
        return [tuple(lines[i : i + 3]) for i in range(0, len(lines), 3)]

    one = turns(0, "one")
    assert len(one) == 6
    assert {tuple(sorted(each)) for each in one} == {("file 0 0", "file 0 1", "file 1 0")}
    assert len(set(one)) > 1
    assert turns(0, "again") == one
    assert turns(1, "other") != one


def test_a_process_killed_in_mid_run_says_how_and_the_others_are_measured():
    found = pretend({"ms": {"S": 1.0}}, {"ms": {"S": 2.0}, "dies_at": 2}, {"ms": {"S": 4.0}})
    assert [file.error is None for file in found.files] == [True, False, True]
    error = found.files[1].error
    assert (error["kind"], error["got"]) == ("EngineError", "SIGSEGV: the last words")
    assert found.files[1].rows == ()
    assert [(r.file, r.value) for r in found.ratios] == [("file 2", 4.0)]


def test_ratios_are_to_the_first_file_that_could_be_measured():
    found = pretend({"ms": {"S": 1.0}, "dies_at": 1}, {"ms": {"S": 2.0}}, {"ms": {"S": 4.0}})
    assert [(r.file, r.to, r.value) for r in found.ratios] == [("file 2", "file 1", 2.0)]


def test_an_error_of_a_process_comes_out_as_it_was():
    packed = {"kind": "MissingDependency", "expected": "an engine", "got": "none",
              "where": "here", "hint": "install it"}
    assert pretend({"ms": {}, "error": packed}).files[0].error == packed


def test_a_silent_process_is_ended():
    command, _ = Pretender({"ms": {"S": 1.0}, "silent_at": 1}).command(None, 1)
    with Process(command, where="a", patience_s=2.0) as process, \
            pytest.raises(EngineError, match="silence for 2 s"):
        process.turn(0, 0.1)
    process.close()


def test_what_is_no_program_of_this_machine_is_said_to_be_none(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    program.chmod(0o755)
    with pytest.raises(EngineError, match="a program that runs on this machine"):
        Process([str(program)], where="a")


def test_nonsense_instead_of_an_answer_is_an_engine_error():
    with pytest.raises(EngineError, match="an engine that answers"):
        Process([sys.executable, "-S", "-c", "print('hello')"], where="a")


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"passes": 0}, {"rounds": 0}, {"seconds": 0.0}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(ShapeError):
        pretend({"ms": {"S": 1.0}}, **wrong)
    with pytest.raises(ShapeError):
        pretend()


# ---- the machine --------------------------------------------------------------------------


class Warming:
    """A device that says something else each time."""

    def __init__(self, states):
        self.states = list(states)

    def read(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def identity(self):
        return COOL.identity()


def watched(*states):
    clock = iter(range(1000))
    watch = machine.Watch(Warming(states), clock=lambda: float(next(clock)))
    for _ in states:
        watch.look()
    return watch


def state(throttled=None, mhz=None, celsius=None):
    return DeviceState(throttled=throttled, frequency_mhz=mhz, temperature_c=celsius)


def test_a_device_that_throttles_in_mid_run_is_said_to():
    watch = watched(state(False), state(False), state(True), state(False), state(False))
    assert watch.notices() == [
        "the device throttled in mid-run, at 50% of it: cool it and run again"]
    assert watch.report()["during"]["throttled"] is True
    assert watch.report()["after"]["throttled"] is False


def test_a_run_on_a_device_that_throttles_carries_the_notice_in_its_result(monkeypatch):
    monkeypatch.setattr(machine, "PERIOD_S", 0.0)
    monkeypatch.setattr(machine.Watch.__init__, "__kwdefaults__",
                        {**machine.Watch.__init__.__kwdefaults__, "period_s": 0.0})
    found = pretend({"ms": {"S": 1.0}}, device=Warming(
        [state(False), state(False), state(True), state(False)]))
    assert any("throttled in mid-run" in notice for notice in found.notices)


def test_a_device_throttled_from_the_start_is_said_to():
    assert watched(state(True), state(True)).notices() == [
        "the device was throttled before the run began: its figures are too slow"]


def test_a_clock_that_falls_is_said_to_and_one_that_wavers_is_not():
    falls = watched(*(state(mhz=mhz) for mhz in (2400, 2400, 2000, 1800, 1500, 1500)))
    assert falls.notices() == ["the clock fell from 2400 to 1500 MHz during the run"]
    assert watched(*(state(mhz=m) for m in (2400, 600, 2400, 2400, 600, 2400))).notices() == []


def test_what_the_device_does_not_say_is_unknown():
    report = watched(state(), state()).report()
    assert report["during"] == {"n": 2, "temperature_c": None, "frequency_mhz": None,
                                "throttled": None}
    report = watched(state(celsius=40), state(celsius=55), state(celsius=50)).report()
    assert (report["before"]["temperature_c"], report["after"]["temperature_c"],
            report["during"]["temperature_c"]) == (40, 50, [40, 55])


def test_the_device_is_not_asked_more_often_than_its_period():
    now = iter([0.0, 0.3, 0.9, 1.1, 1.2])
    watch = machine.Watch(COOL, clock=lambda: next(now), period_s=1.0)
    for _ in range(4):
        watch.look()
    assert len(watch.moments) == 2
    watch.look(now=True)
    assert len(watch.moments) == 3


def test_clock_governors_are_read_from_every_core_and_unknown_without_files(tmp_path):
    assert machine.governors(tmp_path) is None
    for i, name in enumerate(("ondemand", "performance", "ondemand")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{i}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n")
    assert machine.governors(tmp_path) == ["ondemand", "performance"]


def test_a_counter_that_can_not_be_read_is_no_energy_and_a_notice(tmp_path, monkeypatch):
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.mkdir(parents=True)  # a folder: not even root reads it as a file
    assert machine.unreadable_counter(tmp_path) == counter
    monkeypatch.setattr(machine, "unreadable_counter", lambda: counter)
    found = pretend({"ms": {"S": 1.0}}, energy=True, meter=Meter(root=tmp_path))
    assert found.files[0].rows[0].energy_mj is None
    assert found.notices == (f"no energy: {counter} is there but can not be read",)


class Gauge:
    """A meter that says what it is told to."""

    source = "rapl package"

    def __init__(self, energy):
        self.energy = energy

    def start(self):
        pass

    def stop(self):
        return self.energy


def test_energy_is_that_of_one_call():
    from edge_sdk.energy import Energy

    found = pretend({"ms": {"S": 1.0}}, energy=True, meter=Gauge(Energy(500.0, "a counter", True)))
    row, = found.files[0].rows
    assert (row.energy_mj, row.energy_source) == (0.5, "a counter, mean of 1000")
    found = pretend({"ms": {"S": 1.0}}, energy=True,
                    meter=Gauge(Energy(None, "a counter: it stood still", False)))
    assert found.files[0].rows[0].energy_mj is None
    assert found.notices == ("energy unknown: a counter: it stood still",)


# ---- the measured process -----------------------------------------------------------------


def served(opened, *lines):
    """Return the answers of a child that has `opened`, in this process."""
    answers = io.StringIO()
    child.OPENERS["test"] = lambda request: opened
    try:
        child.serve({"kind": "test"}, io.StringIO("".join(f"{line}\n" for line in lines)), answers)
    finally:
        del child.OPENERS["test"]
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def opened(*rows, ram=None):
    return child.Opened("e", "1", 2.0, "none", list(rows),
                        ram or {"import_peak_mb": 9.0, "engine_mb": 5.0, "after_load_mb": 7.0})


def test_a_child_says_what_can_be_called_then_times_it_then_its_memory():
    calls = []
    rows = [child.Row(name, "granularity", lambda turn, name=name: calls.append((name, turn)))
            for name in ("S", "M")]
    first, turn, spin, end = served(opened(*rows), "turn 1 0", "spin 0 0", "end")
    assert [row["name"] for row in first["rows"]] == ["S", "M"]
    assert (first["load_ms"], first["engine"]) == (2.0, "e")
    # The first call of each row comes before the second of any.
    assert calls[:2] == [("S", 0), ("M", 0)]
    assert [turn for name, turn in calls if name == "S"] == list(
        range(len([name for name, _ in calls if name == "S"])))
    assert len(turn["ms"]) >= 1 <= spin["n"]
    assert end["ram"]["after_load_mb"] == 7.0


def test_a_turn_is_led_in_and_fast_calls_are_timed_several_at_a_time():
    now = [0.0]

    def call(turn):
        now[0] += 1e-6

    row = child.Row("S", "granularity", call, per_sample=20)
    samples = child.turn(row, 1e-3, clock=lambda: now[0], lead_s=3e-3)
    assert samples == pytest.approx([1e-3] * len(samples))
    assert 49 <= len(samples) <= 51
    assert row.turns == pytest.approx(3000 + 20 * len(samples), abs=2)


def test_a_slow_call_is_timed_once_a_turn():
    now = [0.0]

    def call(turn):
        now[0] += 1.0

    row = child.Row("S", "granularity", call)
    assert child.turn(row, 0.01, clock=lambda: now[0]) == [1000.0]
    assert row.turns == 2


def test_an_error_while_calling_is_the_childs_last_answer():
    def call(turn):
        if turn > 50:
            raise GranularityError("one of S", "'Q'", where="`granularity`", hint="S")

    answers = served(opened(child.Row("S", "granularity", call)), "turn 0 10")
    assert answers[-1]["error"]["kind"] == "GranularityError"


def test_without_the_right_to_reset_the_peak_only_the_whole_is_known(monkeypatch):
    real = child.resident_mb
    monkeypatch.setattr(child, "resident_mb",
                        lambda reset_peak=False: None if reset_peak else real())
    ram = child._imported()
    assert ram["engine_mb"] is None
    end = child.memory(ram)
    assert end["above_engine_mb"] is None
    assert end["peak_mb"] > 1
    found = pretend({"ms": {"S": 1.0}, "above": None})
    assert found.notices == (
        "memory above the engine is unknown: /proc/self/clear_refs is not writable",)


def test_the_peak_is_that_of_the_import_where_nothing_came_near_it(monkeypatch):
    monkeypatch.setattr(child, "peak_resident_mb", lambda: 60.0)
    ram = {"import_peak_mb": 80.0, "engine_mb": 50.0, "after_load_mb": 55.0}
    assert child.memory(ram) == {"peak_mb": 80.0, "above_engine_mb": 10.0, "engine_mb": 50.0,
                                 "after_load_mb": 55.0}
    monkeypatch.setattr(child, "peak_resident_mb", lambda: None)
    assert child.memory(ram)["peak_mb"] is None
