"""Measuring real engines in processes of their own, and the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import benchmarked
import bundles
import numpy as np
import pytest
from fastgrnn_models import features, weights
from pretenders import COOL, QUICK, Pretender

from edge_sdk.artifact import Artifact
from edge_sdk.bench import __main__ as bench
from edge_sdk.bench import child, generated_c, run
from edge_sdk.bench.process import Process
from edge_sdk.bench.result import Result
from edge_sdk.bench.subject import find
from edge_sdk.bundle import folder
from edge_sdk.compiler import host_compiler
from edge_sdk.errors import (
    EdgeError,
    EngineError,
    FormatError,
    MissingDependency,
    VersionError,
)
from edge_sdk.exporters import mlp_to_c, to_c
from edge_sdk.fastgrnn import FastGRNN

ROOT = Path(__file__).resolve().parent.parent

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
    # Linux counts pages for each processor and adds them up in batches of 32 or more; rusage
    # leaves out what was not added yet, /proc does not. It matters for a process this small.
    assert ram.peak_mb == pytest.approx(mb, abs=0.03 * mb + 0.75)
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


def test_a_bundle_has_a_subject_for_each_engine_or_for_the_one_asked_for(tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_bytes(b"of another engine")
    monkeypatch.setattr(folder, "open_artifact", lambda path: Artifact(
        Path(path), "", bundles.metadata(
            target="litert" if Path(path).suffix == ".tflite" else "onnx")))
    parts = bundles.parts(tmp_path)
    path = folder.pack(tmp_path / "b.edge", **{
        **parts, "models": [*parts["models"], tmp_path / "m.tflite"]}).path
    both = find([path])
    assert [(s.name, s.engine) for s in both] == [
        ("b.edge onnx", "onnx"), ("b.edge litert", "litert")]
    # Each counts its own model, and both what they share.
    assert both[0].n_bytes - both[1].n_bytes == (
        (path / "model.onnx").stat().st_size - len(b"of another engine"))
    assert [(s.name, s.engine) for s in find([path], "litert")] == [("b.edge", "litert")]
    with pytest.raises(FormatError, match="a model for one of onnx, litert"):
        find([path], "executorch")


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
    with pytest.raises(FormatError, match=r"its NAME\.h beside it"):
        find([tmp_path / "a.c"])
    (tmp_path / "a.h").write_text("int a_step(int *x);\n")
    with pytest.raises(FormatError, match=r"C that edge_sdk\.exporters wrote"):
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


def test_comparing_with_a_damaged_or_foreign_run_fails_before_anything_is_measured(
    grnn, run_command, tmp_path, monkeypatch,
):
    monkeypatch.setattr(run, "bench", lambda *a, **k: pytest.fail("it measured"))
    old = tmp_path / "old.json"
    for text, message in [
        ("{}", "FormatError: expected what `edge_sdk.bench --json` wrote"),
        (benchmarked.result().to_json(), "ComparisonError: expected the same machine"),
    ]:
        old.write_text(text)
        status, out, err = run_command(bench.app, grnn, "--compare", old)
        assert (status, out) == (1, "")
        assert err.startswith(message)


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
