"""Measuring: real engines in processes of their own, and processes that only pretend."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import bundles
import numpy as np
import pytest
from fastgrnn_models import features, weights

from edge_sdk.bench import __main__ as bench
from edge_sdk.bench import child, generated_c, machine, run
from edge_sdk.bench.process import Process
from edge_sdk.bench.result import Result
from edge_sdk.bench.subject import find
from edge_sdk.compiler import host_compiler
from edge_sdk.device import DeviceState, FixedDevice
from edge_sdk.energy import Meter
from edge_sdk.errors import (
    EdgeError,
    EngineError,
    FormatError,
    GranularityError,
    MissingDependency,
    ShapeError,
    VersionError,
)
from edge_sdk.exporters import mlp_to_c, to_c
from edge_sdk.fastgrnn import FastGRNN

ROOT = Path(__file__).resolve().parent.parent
QUICK = {"passes": 2, "rounds": 2, "seconds": 0.01}
COOL = FixedDevice(DeviceState(temperature_c=40.0, frequency_mhz=1000.0, throttled=False))

needs_compiler = pytest.mark.skipif(host_compiler() is None, reason="no C compiler")
needs_time = pytest.mark.skipif(shutil.which("time") is None, reason="no /usr/bin/time")


@pytest.fixture(scope="module")
def onnx_bundle(tmp_path_factory):
    for library in ("torch", "onnx", "onnxscript", "onnxruntime", "sklearn"):
        pytest.importorskip(library)
    return bundles.packed_digits(tmp_path_factory)


@pytest.fixture(scope="module")
def grnn(tmp_path_factory):
    path = tmp_path_factory.mktemp("grnn") / "kws.grnn"
    FastGRNN.build(weights(5)).save(path)
    return path


@pytest.fixture(scope="module", params=["none", "int8"])
def generated(request, tmp_path_factory):
    """A FastGRNN in C, in float32 and in integers."""
    w = weights(5)
    return to_c.to_c(w, tmp_path_factory.mktemp("c") / "kws.c", name="kws",
                     sequences=features(7, n=3, d=w.n_inputs), quantize=request.param).path


# ---- processes that only pretend ----------------------------------------------------------

PRETENDER = """
import json, os, signal, sys, time
facts = json.loads(sys.argv[1])
say = lambda answer: print(json.dumps(answer), flush=True)
if "error" in facts:
    say({"error": facts["error"]}); sys.exit()
say({"engine": "pretender", "engine_version": "1", "load_ms": 5.0, "inputs": "none", "rows": [
    {"name": name, "kind": "granularity", "frames": None, "first_ms": 9.0, "warm_calls": 1,
     "calls_per_sample": 1} for name in facts["ms"]]})
n = 0
for line in sys.stdin:
    what, *rest = line.split()
    if what == "end":
        say({"ram": {"peak_mb": 50.0, "above_engine_mb": facts.get("above"), "engine_mb": 30.0,
                     "after_load_mb": 40.0}})
        break
    n += 1
    if n == facts.get("dies_at"):
        print("the last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if n == facts.get("silent_at"):
        time.sleep(600)
    if what == "spin":
        say({"n": 1000})
    else:
        if "log" in facts:
            open(facts["log"], "a").write(facts["name"] + " " + rest[0] + chr(10))
        say({"ms": [list(facts["ms"].values())[int(rest[0])]] * 3})
"""


@dataclass
class Pretender:
    """Stands where a `Subject` would; its process says it takes `ms`."""

    facts: dict
    name: str = "a"
    kind: str = "artifact"
    engine: str = "pretender"
    path: Path = Path("a")
    sha256: str = "0" * 64
    n_bytes: int = 1

    def command(self, folder, threads):
        return [sys.executable, "-S", "-c", PRETENDER,
                json.dumps({"name": self.name, "above": 20.0, **self.facts})], None

    def threads(self, asked):
        return asked


def pretend(*facts, **options) -> Result:
    subjects = [Pretender(each, name=f"file {i}") for i, each in enumerate(facts)]
    plain = {**QUICK, "device": COOL, "energy": False}
    return run.bench(subjects, **{**plain, **options})


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


# ---- real engines -------------------------------------------------------------------------


def timed_mb(path, tmp_path):
    """Return the peak MB that a subject's own process says, and that /usr/bin/time says of it."""
    said = tmp_path / "time.txt"
    subject, = find([path])
    found = run.bench([subject], **{**QUICK, "passes": 1}, device=COOL, energy=False,
                      prefix=[shutil.which("time"), "-f", "%M", "-o", str(said)])
    assert found.files[0].error is None
    return found.files[0].ram, int(said.read_text().split()[-1]) / 1024


@needs_time
@pytest.mark.parametrize("target", ["onnx", "litert", "executorch"])
def test_peak_memory_is_that_of_usr_bin_time_within_3_percent(artifact, tmp_path, target):
    ballast = np.ones(40_000_000, np.float64)  # 305 MB here: ru_maxrss would inherit them
    ram, mb = timed_mb(artifact(target, "elastic").path, tmp_path)
    assert ram.peak_mb == pytest.approx(mb, rel=0.03)
    assert ram.peak_mb >= ram.after_load_mb > ram.engine_mb
    assert 0 < ram.above_engine_mb < ram.peak_mb
    assert ballast.size


@needs_time
@needs_compiler
def test_peak_memory_of_generated_c_is_its_own_small_programs(generated, tmp_path):
    ram, mb = timed_mb(generated, tmp_path)
    assert ram.peak_mb == pytest.approx(mb, abs=0.03 * mb + 0.1)  # the kernel counts in batches
    assert ram.peak_mb < 8
    assert (ram.above_engine_mb, ram.engine_mb) == (None, None)


def test_every_plan_of_a_bundle_has_a_row_cascades_and_their_levels_too(onnx_bundle):
    from edge_sdk.bundle import Bundle

    bundle = Bundle.open(onnx_bundle)
    subject, = find([onnx_bundle])
    found = run.bench([subject], **{**QUICK, "passes": 1}, device=COOL, energy=False)
    kinds = {row.name: row.kind for row in found.files[0].rows}
    assert [name for name, kind in kinds.items() if kind == "granularity"] == list(
        bundle.metadata().granularities)
    assert {name for name, kind in kinds.items() if kind == "cascade"} == set(bundle.cascades)
    assert {name for name, kind in kinds.items() if kind == "level"} == {
        str(level) for cascade in bundle.cascades.values() for level in cascade.levels}
    for row in found.files[0].rows:
        assert (row.answered is not None) == (row.kind == "cascade")
        if row.answered:
            assert sum(row.answered.values()) == pytest.approx(1)
    others = sum(entry.n_bytes for entry in bundle.manifest.files.values())
    assert found.files[0].n_bytes == others
    assert found.files[0].engine == "onnx"


def test_a_bundle_has_a_subject_for_each_engine_or_for_the_one_asked_for(tmp_path):
    parts = bundles.parts(tmp_path)
    second = bundles.write_artifact(tmp_path / "model.tflite", target="litert") \
        if False else None
    assert second is None
    from edge_sdk.bundle import pack

    path = pack(tmp_path / "b.edge", models=parts["models"], head=parts["head"]).path
    assert [(s.name, s.engine) for s in find([path])] == [("b.edge", "onnx")]
    with pytest.raises(FormatError, match="a model for one of onnx"):
        find([path], "litert")


def test_a_recurrent_model_has_a_row_for_each_method_with_its_frames(sequence_file, grnn):
    step = sequence_file("onnx-step").path
    found = run.bench(find([step, grnn]), **QUICK, device=COOL, energy=False)
    assert [(row.name, row.kind, row.frames) for row in found.files[0].rows] == [
        ("step", "method", 1)]
    assert [(row.name, row.frames) for row in found.files[1].rows] == [
        ("step", 1), ("whole", child.N_FRAMES)]
    assert found.files[1].engine == "core"
    assert [(r.file, r.row) for r in found.ratios] == [("kws.grnn", "step")]


@needs_compiler
def test_generated_c_is_compiled_proved_by_its_self_test_and_timed(generated, tmp_path):
    subject, = find([generated])
    assert subject.n_bytes == sum(generated.with_suffix(s).stat().st_size for s in (".c", ".h"))
    found = run.bench([subject], **QUICK, device=COOL, energy=False, threads=2)
    file, = found.files
    row, = file.rows
    assert (row.name, row.frames, row.kind) == ("step", 1, "method")
    assert (file.load_ms, file.threads) == (None, 1)
    assert row.min_ms > 0
    assert row.calls_per_sample > 1  # microseconds
    assert "-O2" in file.engine_version


@needs_compiler
@pytest.mark.parametrize("form", ["none", "int8"])
def test_a_generated_mlp_has_the_row_run(tmp_path, form):
    nn = pytest.importorskip("torch").nn
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    samples = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    done = mlp_to_c.export(model, tmp_path / "m.c", samples=samples, quantize=form)
    found = run.bench(find([done.path]), **QUICK, device=COOL, energy=False)
    assert found.files[0].error is None
    row, = found.files[0].rows
    assert (row.name, row.frames) == ("run", None)


@needs_compiler
def test_generated_c_that_fails_its_self_test_is_not_timed(generated, tmp_path):
    for suffix in (".c", ".h"):
        text = generated.with_suffix(suffix).read_text()
        if suffix == ".c":
            head, brace, rest = text.partition("int kws_selftest(void)\n{\n")
            text = f"{head}{brace}    if (sizeof(int) > 1)\n        return 1;\n{rest}"
            assert brace
        (tmp_path / f"kws{suffix}").write_text(text)
    found = run.bench(find([tmp_path / "kws.c"]), **QUICK, device=COOL, energy=False)
    assert found.files[0].error["got"] == "exit status 1: its self-test failed"


@needs_compiler
def test_generated_c_that_does_not_compile_is_an_engine_error(generated, tmp_path):
    shutil.copy(generated.with_suffix(".h"), tmp_path / "kws.h")
    (tmp_path / "kws.c").write_text("#error of another architecture\n")
    found = run.bench(find([tmp_path / "kws.c"]), **QUICK, device=COOL, energy=False)
    assert found.files[0].error["kind"] == "EngineError"
    assert "of another architecture" in found.files[0].error["got"]


def test_a_compiler_for_another_architecture_makes_no_program_of_this_machine(
    generated, tmp_path, monkeypatch,
):
    cross = tmp_path / "cross-cc"
    cross.write_text(textwrap.dedent("""\
        #!/bin/sh
        if [ "$1" = --version ]; then echo cross 1.0; exit; fi
        while [ "$1" != -o ]; do shift; done
        printf '\\177ELF of another machine' > "$2"; chmod +x "$2"
        """))
    cross.chmod(0o755)
    monkeypatch.setenv("CC", str(cross))
    found = run.bench(find([generated]), **QUICK, device=COOL, energy=False)
    assert found.files[0].error["expected"] == "a program that runs on this machine"


def test_without_a_compiler_generated_c_misses_a_dependency(generated, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_sdk.compiler.shutil.which", lambda command: None)
    with pytest.raises(MissingDependency, match="a C compiler"):
        generated_c.build(generated_c.read(generated), tmp_path)


def test_c_of_others_is_refused(generated, tmp_path):
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    with pytest.raises(FormatError, match="its NAME.h beside it"):
        find([tmp_path / "a.c"])
    (tmp_path / "a.h").write_text("int a_step(int *x);\n")
    with pytest.raises(FormatError, match="C that edge_sdk.exporters wrote"):
        find([tmp_path / "a.c"])


@pytest.mark.parametrize("name", ["libmodel.so", "model", "model.txt"])
def test_what_is_no_file_of_ours_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x7fELF")
    with pytest.raises(FormatError, match=r"one of \.pte, \.tflite, \.onnx, \.grnn, \.c"):
        find([tmp_path / name])


def test_a_missing_a_damaged_and_a_newer_file_are_refused_before_anything_is_measured(
    tmp_path, grnn, run_command,
):
    content = bytearray(grnn.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.grnn").write_bytes(content)
    newer = bundles.write_artifact(tmp_path / "newer.onnx", schema_version=99)
    for path, kind in [(tmp_path / "absent.onnx", FormatError), (newer, VersionError),
                       (tmp_path / "absent.grnn", FormatError), (tmp_path, FormatError),
                       (tmp_path / "damaged.grnn", FormatError)]:
        with pytest.raises(kind):
            find([grnn, path])
        status, out, err = run_command(bench.app, grnn, path)
        assert (status, out) == (1, "")
        assert err.startswith(kind.__name__)


def test_the_same_name_twice_is_told_apart(grnn, tmp_path):
    (tmp_path / "kws.grnn").write_bytes(grnn.read_bytes())
    assert [s.name for s in find([grnn, tmp_path / "kws.grnn", grnn])] == [
        "kws.grnn", "kws.grnn (2)", "kws.grnn (3)"]


# ---- the command --------------------------------------------------------------------------


def test_the_command_prints_a_table_and_nothing_on_stderr(grnn, run_command):
    status, out, err = run_command(bench.app, grnn, grnn, "--quick")
    assert (status, err) == (0, "")
    heads = [line.split()[:3] for line in out.splitlines()]
    assert [head[:1] for head in heads[:3]] == [["machine"], ["state"], ["run"]]
    assert [head[:2] for head in heads].count(["kws.grnn", "step"]) == 1
    assert ["kws.grnn", "(2)", "whole"] in heads


def test_json_and_csv_of_the_command_are_what_they_say(grnn, run_command, tmp_path):
    status, out, err = run_command(bench.app, grnn, "--quick", "--json")
    assert (status, err) == (0, "")
    found = Result.from_json(out, where="x")
    assert found.settings["passes"] == 3
    assert found.command.startswith("python -m edge_sdk.bench")
    status, out, err = run_command(bench.app, grnn, "--quick", "--csv")
    assert [line.split(",")[0] for line in out.splitlines()] == ["file", "kws.grnn", "kws.grnn"]
    assert run_command(bench.app, grnn, "--json", "--csv")[0] == 2
    assert run_command(bench.app)[0] == 2


def doctored(out, tmp_path, by):
    """Write a run that took `by` times as long, and return its path."""
    raw = json.loads(out)
    for file in raw["files"]:
        for row in file["rows"]:
            row["rounds_ms"] = [[ms * by for ms in each] for each in row["rounds_ms"]]
    (tmp_path / "old.json").write_text(json.dumps(raw))
    return tmp_path / "old.json"


def test_comparing_exits_1_on_a_regression_and_names_it(grnn, run_command, tmp_path):
    # A hundredth and a hundred times: no noise of any machine is that large.
    many = ("--passes", 5, "--rounds", 3, "--seconds", 0.05)
    _, out, _ = run_command(bench.app, grnn, *many, "--json")
    old = doctored(out, tmp_path, 1e-4)
    status, out, _ = run_command(bench.app, grnn, *many, "--compare", old)
    assert status == 1
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("slower")] == [
        ["slower", "kws.grnn", "step"], ["slower", "kws.grnn", "whole"]]
    status, out, _ = run_command(bench.app, grnn, *many, "--compare", old, "--json")
    assert (status, json.loads(out)["comparison"]["n_regressions"]) == (1, 2)
    old = doctored(out, tmp_path, 1e8)
    status, out, _ = run_command(bench.app, grnn, *many, "--compare", old)
    assert status == 0
    assert "verdict  0 of 3" in out


def test_comparing_with_a_damaged_run_fails_before_anything_is_measured(
    grnn, run_command, tmp_path, monkeypatch,
):
    monkeypatch.setattr(run, "bench", lambda *a, **k: pytest.fail("it measured"))
    (tmp_path / "old.json").write_text("{}")
    status, out, err = run_command(bench.app, grnn, "--compare", tmp_path / "old.json")
    assert (status, out) == (1, "")
    assert err.startswith("FormatError: expected what `edge_sdk.bench --json` wrote")


def test_plotting_without_matplotlib_fails_before_anything_is_measured(
    grnn, run_command, tmp_path, monkeypatch,
):
    monkeypatch.setattr(run, "bench", lambda *a, **k: pytest.fail("it measured"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run_command(bench.app, grnn, "--plot", tmp_path / "a.png")
    assert status == 1
    assert err.startswith("MissingDependency: expected matplotlib")


@pytest.mark.parametrize(("kind", "alone", "beside"), [
    ("MissingDependency", 1, 0), ("EngineError", 1, 1)])
def test_a_missing_engine_fails_the_command_only_where_nothing_else_was_measured(
    run_command, monkeypatch, grnn, kind, alone, beside,
):
    packed = {"kind": kind, "expected": "an engine", "got": "none", "where": "here",
              "hint": "install it"}
    broken = Pretender({"ms": {}, "error": packed}, name="broken.onnx")
    for others, status in (([], alone), ([Pretender({"ms": {"S": 1.0}}, name="good")], beside)):
        monkeypatch.setattr(bench, "find", lambda *a, others=others: [broken, *others])
        got, out, err = run_command(bench.app, grnn, "--quick")
        assert got == status
        if others:
            assert f"error    broken.onnx: {kind}: expected an engine, got none" in out
        else:
            assert (out, err.splitlines()[0]) == (
                "", f"{kind}: expected an engine, got none - at here")


BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "executorch", "litert_torch", "onnxscript",
                                      "matplotlib", "sklearn"):
            raise ImportError(f"{name} is not on this device")
sys.meta_path.insert(0, Blocker())
"""


def test_without_torch_onnx_and_litert_are_measured_and_executorch_is_said_to_miss(
    artifact, tmp_path,
):
    paths = [str(artifact(target).path) for target in ("onnx", "litert", "executorch")]
    # Every process, the measured ones too, loads it when it starts.
    (tmp_path / "usercustomize.py").write_text(BLOCKER)
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(
        [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)])])}
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.bench", *paths, "--quick", "--json"],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = Result.from_json(done.stdout, where="x")
    assert [file.error and file.error["kind"] for file in found.files] == [
        None, None, "MissingDependency"]
    assert "edge-inference-sdk[executorch]" in found.files[2].error["hint"]
    assert len(found.ratios) == 1


def test_a_measured_process_killed_from_outside_leaves_no_other_behind(grnn):
    with Process(find([grnn])[0].command(None, 1)[0], where="kws.grnn") as process:
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="SIGKILL"):
            process.turn(0, 0.01)
    deadline = time.monotonic() + 10
    while process._process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process._process.returncode == -signal.SIGKILL


def test_every_error_of_the_measured_process_is_one_of_ours(tmp_path):
    subject, = find([bundles.write_artifact(tmp_path / "empty.onnx")])
    pytest.importorskip("onnxruntime")
    found = run.bench([subject], **QUICK, device=COOL, energy=False)
    assert found.files[0].error["kind"] in {k.__name__ for k in EdgeError.__subclasses__()}
