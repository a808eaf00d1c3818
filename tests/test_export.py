"""From a model to a proved file: `edge_sdk.export`, its command, and those that follow it."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny  # noqa: E402

import edge_sdk  # noqa: E402
from edge_sdk import containers, inspect, selftest, source  # noqa: E402
from edge_sdk.artifact import SUFFIX, Golden, open_artifact, pack_array, unpack_array  # noqa: E402
from edge_sdk.bench import __main__ as bench  # noqa: E402
from edge_sdk.engines import process  # noqa: E402
from edge_sdk.errors import (  # noqa: E402
    CheckpointError,
    ComparisonError,
    EngineError,
    GranularityError,
    MissingDependency,
    OutputError,
    UnsupportedModel,
    UnsupportedPlatform,
)
from edge_sdk.export import app  # noqa: E402
from edge_sdk.nn.counting import count_macs, count_parameters  # noqa: E402
from edge_sdk.nn.matformer import extract  # noqa: E402

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden" / "export.txt"
TARGETS = ("executorch", "litert", "onnx")
TOOLCHAINS = {"executorch": "executorch.exir", "litert": "litert_torch", "onnx": "onnxscript"}

ONNX = ("--target", "onnx", "--model", "tiny:source")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def wordy(message):
    """Whether an error says what was expected and what to do."""
    return "expected " in message and "\nhint: " in message and "Traceback" not in message


@pytest.fixture
def need_onnx():
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)


# --- the function ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["single", "elastic"])
@pytest.mark.parametrize("target", TARGETS)
def test_an_export_says_what_the_file_holds_and_what_it_cost(artifact, target, kind):
    done = artifact(target, kind)
    assert done.n_bytes == done.path.stat().st_size
    assert names(done.path.parent).count(done.path.name) == 1
    assert set(done.measured.latency_ms) == set(done.metadata.granularities)
    assert all(latency > 0 for latency in done.measured.latency_ms.values())
    model = tiny.model()
    sample = tiny.cases(1, seed=1)[0]
    for info in done.metadata.granularities.values():
        small = extract(model, info.widths)
        assert info.parameters == count_parameters(small)
        assert info.macs == count_macs(small, sample)
        assert info.comparison.n == tiny.N_CASES
        assert info.comparison.max_difference <= 1e-4
        assert info.comparison.argmax_agreement == 1.0
        assert info.accuracy.top1 == info.accuracy.eager > 0.5
    packed = json.loads(json.dumps(done.to_dict()))
    assert packed["bytes"] == done.n_bytes
    assert "golden" not in packed["metadata"]


@pytest.mark.parametrize("target", TARGETS)
def test_an_elastic_file_is_smaller_than_its_granularities_apart(artifact, target):
    elastic = artifact(target, "elastic")
    weights = {name: 4 * info.parameters for name, info in elastic.metadata.granularities.items()}
    golden = len(json.dumps(elastic.metadata.golden.__dict__))
    # Its weights are those of XL once; what comes on top is graphs and metadata.
    assert elastic.n_bytes - golden < sum(weights.values()) + 65536
    assert elastic.n_bytes > weights["XL"]


def test_a_plain_model_and_its_sample_are_enough(need_onnx, tmp_path):
    model, sample = tiny.model_and_sample()
    done = edge_sdk.export(model, tmp_path / "m.onnx", sample=sample, target="onnx",
                           granularity="L,16")
    assert names(tmp_path) == ["m.onnx"]
    assert done.metadata.model == "MatViT"
    assert done.metadata.granularities["L+M"].widths == (32, 16)
    assert done.metadata.granularities["L+M"].comparison.n == len(sample)
    assert done.metadata.granularities["L+M"].accuracy is None


def test_exporting_leaves_the_model_as_it_was(need_onnx, tmp_path):
    made = tiny.source()
    before = made.weights_sha256()
    edge_sdk.export(made, tmp_path / "m.onnx", target="onnx", granularity="S", quantize="int8")
    assert made.weights_sha256() == before
    np.testing.assert_array_equal(
        made.model(torch.from_numpy(made.inputs["image"])).detach().numpy(),
        tiny.logits((64, 64), made.inputs["image"]))


@pytest.mark.parametrize("target", ["litert", "onnx"])  # a lowering more of ExecuTorch is dear
def test_the_same_export_twice_gives_the_same_file(artifact, tmp_path, target):
    once = artifact(target)
    again = edge_sdk.export(tiny.source(), tmp_path / once.path.name, target=target,
                            granularity="M")
    assert again.sha256 == once.sha256


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"sample": None}, UnsupportedModel, "sample inputs"),
    ({"target": "tpu"}, UnsupportedModel, "executorch, litert, onnx"),
    ({"out": "m.bin"}, UnsupportedModel, ".onnx"),
    ({"out": "missing/m.onnx"}, OutputError, "writable"),
    ({"granularity": "Q"}, GranularityError, "S, M, L, XL"),
    ({"granularity": "65"}, GranularityError, "1..64"),
    ({"granularity": "S,S,S"}, GranularityError, "2 layers"),
    ({"elastic": "S,Q"}, GranularityError, "S, M, L, XL"),
    ({"quantize": "int3"}, UnsupportedModel, "none or int8"),
], ids=str)
def test_a_wrong_argument_is_an_error_that_says_what_is_right(
    need_onnx, tmp_path, options, error, words,
):
    model, sample = tiny.model_and_sample()
    arguments = {"sample": sample, "target": "onnx", "out": "m.onnx", **options}
    out = tmp_path / arguments.pop("out")
    with pytest.raises(error) as raised:
        edge_sdk.export(model, out, **arguments)
    assert words in str(raised.value)
    assert wordy(str(raised.value))
    assert names(tmp_path) == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_missing_toolchain_names_the_extra_and_leaves_no_file(tmp_path, monkeypatch, target):
    for module in ("executorch", "litert_torch", "onnxscript"):
        pytest.importorskip(module)
    monkeypatch.setitem(sys.modules, TOOLCHAINS[target], None)
    with pytest.raises(MissingDependency) as error:
        edge_sdk.export(tiny.source(), tmp_path / f"m{SUFFIX[target]}", target=target)
    assert error.value.hint == "pip install 'edge-inference-sdk[export]'"
    assert names(tmp_path) == []


def test_litert_on_an_unsupported_platform_says_where_to_export(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Plan9")
    with pytest.raises(UnsupportedPlatform, match="Linux x86_64 or Darwin arm64, got Plan9"):
        edge_sdk.export(tiny.source(), tmp_path / "m.tflite", target="litert")
    assert names(tmp_path) == []


@pytest.mark.parametrize(("quantize", "harm"), [
    ("none", lambda out: out + 1e-2),
    ("none", lambda out: out * np.nan),
    ("none", lambda out: out[:, :9]),
    ("int8", lambda out: np.roll(out, 1, axis=-1)),
    ("int8", lambda out: out * np.inf),
], ids=["shifted", "nan", "too short", "int8 rolled", "int8 infinite"])
def test_a_file_that_computes_something_else_is_never_moved_into_place(
    need_onnx, tmp_path, monkeypatch, quantize, harm,
):
    honest = process.run

    def dishonest(*arguments, **options):
        outputs = honest(*arguments, **options)
        return {g: {name: harm(a) for name, a in by_name.items()}
                for g, by_name in outputs.items()}

    monkeypatch.setattr(process, "run", dishonest)
    (tmp_path / "m.onnx").write_text("the old file")
    with pytest.raises(ComparisonError, match="onnx, S"), np.errstate(invalid="ignore"):
        edge_sdk.export(tiny.source(), tmp_path / "m.onnx", target="onnx", granularity="S",
                        quantize=quantize)
    assert (tmp_path / "m.onnx").read_text() == "the old file"
    assert names(tmp_path) == ["m.onnx"]


@pytest.mark.parametrize(("end", "words"), [
    ("kill -9 $$", "SIGKILL"), ("kill -SEGV $$", "SIGSEGV: no word"),
    ("echo oh no >&2; exit 7", "exit status 7: oh no"), ("exit 0", "exit status 0: no word"),
])
def test_an_engine_process_that_dies_is_an_engine_error_with_its_last_word(
    artifact, tmp_path, monkeypatch, end, words,
):
    path = artifact("onnx").path
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{end}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(EngineError, match=words) as error:
        process.run(path, {"image": tiny.cases(1, seed=1)[0].numpy()}, ["M"])
    assert wordy(str(error.value))
    assert error.value.where == str(path)


def test_an_error_of_the_engine_process_arrives_as_it_was_raised(artifact):
    path = artifact("onnx").path
    with pytest.raises(GranularityError, match="one of M, got 'XL'"):
        process.run(path, {"image": tiny.cases(1, seed=1)[0].numpy()}, ["XL"])


# --- the command -----------------------------------------------------------------------


def masked(text, folder):
    """Return a command's output without what differs from run to run."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"\b[0-9a-f]{16}\b", "DIGEST", text)
    return re.sub(r"(?<=\s)-?\d+(\.\d+)?(e[-+]\d+)?", "N", text)


def test_the_printed_lines_are_those_of_the_golden_file(need_onnx, run_command, tmp_path):
    status, out, err = run_command(app, *ONNX, "--elastic", "S,XL,S*1+L", "--out", tmp_path)
    assert status == 0, err
    assert names(tmp_path) == ["tiny-source-elastic.onnx"]
    text = masked(out, tmp_path)
    if os.environ.get("EDGE_SDK_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    assert "onnx: tracing and translating to ONNX" in err.splitlines()


def test_json_of_the_executorch_command_is_all_there_is_on_stdout_and_stderr(tmp_path):
    pytest.importorskip("executorch")
    out = tmp_path / "m.pte"
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.export", "--model", "tiny:source", "--granularity", "S",
         "--json", "--quiet", "--out", out],
        cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["fit"] is None
    file, = answer["files"]
    assert file["path"] == str(out)
    assert file["bytes"] == out.stat().st_size
    assert file["sha256"] == open_artifact(out).sha256
    info = file["metadata"]["granularities"]["S"]
    assert info["parameters"] == count_parameters(extract(tiny.model(), (8, 8)))
    assert info["macs"] > 0
    assert info["comparison"]["n"] == tiny.N_CASES
    assert info["comparison"]["max_difference"] <= 1e-4
    assert file["measured"]["latency_ms"]["S"] > 0
    assert names(tmp_path) == ["m.pte"]


def test_a_fitted_mix_is_printed_with_its_reason(need_onnx, run_command, tmp_path):
    budget = 200_000
    status, out, err = run_command(app, *ONNX, "--fit-macs", budget, "--json", "--quiet",
                                   "--out", tmp_path)
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert answer["fit"]["cost"] <= budget
    assert answer["fit"]["divergence"] <= answer["fit"]["uniform_divergence"]
    assert len(answer["files"]) == len(names(tmp_path)) == 1


@pytest.mark.parametrize(("arguments", "words"), [
    (["--granularity", "Q"], "GranularityError: expected one of S, M, L, XL"),
    (["--granularity", "S,S,S"], "GranularityError: expected 2 layers, got 3"),
    (["--granularity", "S,65"], "GranularityError: expected a width in 1..64, got 65"),
    (["--granularity", "0"], "GranularityError: expected a width in 1..64, got 0"),
    (["--elastic", "S,XXL"], "GranularityError: "),
    (["--target", "tpu"], "UnsupportedModel: expected one of the targets executorch, litert, onnx"),
    (["--target", "tpu", "--out", "m.onnx"], "UnsupportedModel: expected one of the targets"),
    (["--target", "all", "--out", "m.onnx"], "UnsupportedModel: expected a folder"),
    (["--quantize", "int4"], "UnsupportedModel: expected quantize none or int8, got 'int4'"),
    (["--model", "nope"], "UnsupportedModel: expected one of matvit-digits"),
    (["--model", "nope:source"], "UnsupportedModel: expected an importable module:factory"),
    (["--model", "tiny:nope"], "UnsupportedModel: expected an importable module:factory"),
    (["--model", "tiny:nothing"], "UnsupportedModel: expected a factory that returns"),
    (["--model", "tiny:N_CASES"], "UnsupportedModel: expected a factory that returns"),
    (["--model", "tiny:nan_source"], "CheckpointError: expected finite weights, got NaN or "
                                     "infinity in blocks.1.ffn.up.weight - at tiny"),
    (["--out", "m.tflite"], "UnsupportedModel: expected a file ending in .onnx, got 'm.tflite'"),
    (["--out", "missing/m.onnx"], "OutputError: expected a writable output folder"),
    (["--out", "missing"], "OutputError: expected a writable output folder"),
    (["--dim", "8"], "UnsupportedModel: expected a model with a Matryoshka head for --dim"),
    (["--model", "matvit-digits", "--dim", "8"], "UnsupportedModel: expected a model with a "
                                                 "Matryoshka head for --dim, got matvit-digits"),
    (["--checkpoint", "missing.pt"], "CheckpointError: expected a weights file, got no such"),
    (["--fit-macs", "10"], "BudgetError: expected a budget of "),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_wrong_option_ends_with_status_1_a_hint_and_no_file(
    need_onnx, run_command, tmp_path, monkeypatch, arguments, words,
):
    monkeypatch.chdir(tmp_path)
    status, out, err = run_command(app, *ONNX, "--quiet", *arguments)
    assert status == 1, err
    assert out == ""
    assert err.startswith(words), err
    assert wordy(err), err
    assert names(tmp_path) == []


@pytest.mark.parametrize(("arguments", "words"), [
    (["--elastic", "S,XL", "--fit-macs", "1000"], "leave --elastic out"),
    (["--fit-bytes", "1", "--fit-macs", "1000"], "one --fit-... at a time"),
    (["--fit-macs", "many"], "--fit-macs"),
    (["--samples", "0"], "--samples"),
    (["--granularit", "S"], "No such option"),
    (["extra"], "extra"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_usage_ends_with_status_2(run_command, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, out, err = run_command(app, *ONNX, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert names(tmp_path) == []


def test_a_comparison_that_fails_ends_with_status_1_and_no_file(
    need_onnx, run_command, tmp_path, monkeypatch,
):
    honest = process.run
    monkeypatch.setattr(process, "run", lambda *a, **o: {
        g: {name: array + 1 for name, array in by_name.items()}
        for g, by_name in honest(*a, **o).items()})
    status, out, err = run_command(app, *ONNX, "--quiet", "--granularity", "S", "--out",
                                   tmp_path / "m.onnx")
    assert (status, out) == (1, "")
    assert err.startswith("ComparisonError: expected a max difference of ")
    assert wordy(err)
    assert names(tmp_path) == []


def test_a_checkpoint_that_does_not_fit_names_each_tensor(run_command, tmp_path):
    state = tiny.model().state_dict()
    state["surprise"] = state.pop("head.bias")
    state["position"] = state["position"][:, :3]
    torch.save(state, tmp_path / "w.pt")
    status, out, err = run_command(app, *ONNX, "--quiet", "--checkpoint", tmp_path / "w.pt",
                                   "--out", tmp_path / "m.onnx")
    assert (status, out) == (1, "")
    assert err.startswith("CheckpointError: expected the ")
    for words in ("missing head.bias", "extra surprise", "position of shape [1, 3, 16]"):
        assert words in err
    assert wordy(err)
    assert names(tmp_path) == ["w.pt"]


def test_a_checkpoint_that_fits_is_what_is_exported(need_onnx, run_command, tmp_path):
    torch.save(tiny.untrained().state_dict(), tmp_path / "w.pt")
    status, out, err = run_command(
        app, *ONNX, "--quiet", "--json", "--checkpoint", tmp_path / "w.pt", "--granularity", "S",
        "--out", tmp_path / "m.onnx")
    assert (status, err) == (0, "")
    trained = tiny.source()
    untrained = replace(trained, model=tiny.untrained())
    digest = json.loads(out)["files"][0]["metadata"]["weights_sha256"]
    assert digest == untrained.weights_sha256() != trained.weights_sha256()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX")
def test_ctrl_c_during_lowering_ends_with_130_and_leaves_nothing(tmp_path):
    pytest.importorskip("executorch")
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_sdk.export", "--model", "tiny:source", "--elastic", "S,M,L,XL",
         "--out", out], cwd=HERE, env={**os.environ, "TMPDIR": str(scratch)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        for line in child.stderr:
            if "tracing" in line:
                break
        assert any(name.startswith(".edge_sdk-") for name in names(out))
        time.sleep(0.2)
        os.killpg(child.pid, signal.SIGINT)
        stdout, stderr = child.communicate(timeout=120)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert child.returncode == 130, stderr
    assert stdout == ""
    assert stderr.endswith("Interrupted\nhint: nothing was written; run it again\n"), stderr
    assert names(out) == []
    assert [name for name in names(scratch) if "edge_sdk" in name] == []


# --- importing -------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [
    "import edge_sdk",
    "import edge_sdk.export",
    "from edge_sdk import export",
    "from edge_sdk.export import export as function; import edge_sdk",
    "import edge_sdk; edge_sdk.export; import edge_sdk.export",
    "import edge_sdk.fit; import edge_sdk",
])
def test_export_is_callable_whatever_was_imported_before(lines):
    call = "export" if lines.startswith("from edge_sdk import") else "edge_sdk.export"
    script = (f"{lines}\nfrom edge_sdk.errors import UnsupportedModel\n"
              f"try: {call}(object(), 'm.pte')\n"
              "except UnsupportedModel as error: print(error.where)\n"
              "import edge_sdk as e; assert e.export.export_all")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=False)
    assert (done.stdout, done.stderr) == ("`sample`\n", "")


@pytest.mark.parametrize("lines", [
    "import edge_sdk",
    "import edge_sdk; edge_sdk.Artifact; edge_sdk.open_artifact; edge_sdk.load; edge_sdk.export",
    "import edge_sdk.engines, edge_sdk.selftest, edge_sdk.bench.__main__, edge_sdk.inspect",
])
def test_importing_the_package_loads_no_torch_no_toolchain_and_no_exporter(lines):
    heavy = ("torch", "onnx", "onnxruntime", "onnxscript", "executorch", "torchao",
             "ai_edge_litert", "litert_torch", "sklearn", "flatbuffers", "edge_sdk.exporters")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{lines}\nprint([m for m in {heavy} "
                               "if m in sys.modules])"],
        capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- what follows an export --------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_selftest_passes_on_a_good_file_at_every_granularity(artifact, run_command, target):
    done = artifact(target, "elastic")
    status, out, err = run_command(selftest.app, done.path)
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["check", name] for name in ("S", "S+XL", "XL")]
    assert all(line.endswith("  ok") and " 3 golden " in line for line in out.splitlines())
    status, out, _ = run_command(selftest.app, done.path, "--json")
    result = json.loads(out)
    assert all(result["max_difference"][name] <= result["allowed"][name] for name in
               ("S", "S+XL", "XL"))


@pytest.mark.parametrize("harm", [lambda a: a + 0.01, lambda a: a * np.nan],
                         ids=["shifted", "nan"])
def test_selftest_fails_on_a_file_whose_golden_outputs_are_others(
    artifact, run_command, tmp_path, harm,
):
    done = artifact("onnx")
    import onnx

    golden = done.metadata.golden
    altered = Golden(golden.inputs, {
        g: {name: pack_array(harm(unpack_array(packed))) for name, packed in by_name.items()}
        for g, by_name in golden.outputs.items()}, golden.limit)
    model = onnx.load(done.path)
    onnx.helper.set_model_props(
        model, {containers.KEY: replace(done.metadata, golden=altered).to_json()})
    path = tmp_path / "altered.onnx"
    path.write_bytes(model.SerializeToString())
    containers.seal(path)
    with pytest.raises(ComparisonError):
        selftest.selftest(path)
    status, out, err = run_command(selftest.app, path)
    assert (status, out) == (1, "")
    assert err.startswith("ComparisonError: expected golden outputs within ")
    assert wordy(err)


@pytest.mark.parametrize("command", [selftest, bench, inspect], ids=lambda m: m.__name__)
def test_a_damaged_file_ends_every_command_with_status_1(artifact, run_command, tmp_path, command):
    content = bytearray(artifact("onnx").path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "m.onnx").write_bytes(content)
    status, out, err = run_command(command.app, tmp_path / "m.onnx")
    assert (status, out) == (1, "")
    assert err.startswith("FormatError: expected bytes as they were sealed")
    assert wordy(err)


def test_inspect_prints_what_the_file_says_and_json_all_of_it(artifact, run_command):
    done = artifact("litert", "elastic", "int8")
    status, out, err = run_command(inspect.app, done.path)
    assert (status, err) == (0, "")
    assert "model   tiny  matformer  litert  elastic  quantize int8" in out.splitlines()
    assert "input   image  float32 [1, 1, 8, 8]" in out.splitlines()
    status, out, _ = run_command(inspect.app, done.path, "--json")
    answer = json.loads(out)
    assert answer.pop("sha256") == done.sha256
    assert answer == json.loads(done.metadata.to_json())


# --- sources ---------------------------------------------------------------------------


def test_a_factory_may_return_a_model_with_a_sample():
    made = source.find_source("tiny:model_and_sample")
    assert made.inputs["input"].shape == (4, 1, 8, 8)
    assert not made.model.training
    assert source.trained(made) == tiny.TRAINED


def test_a_checkpoint_with_nan_is_refused_and_named(tmp_path):
    torch.save(tiny.nan_source().model.state_dict(), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.ffn\.up\.weight with 1 NaN"):
        source.find_source("tiny:source", checkpoint=tmp_path / "w.pt")


@pytest.mark.parametrize(("model", "dim"), [("matvit-omniglot", 16), ("matvit-cifar10", None),
                                             ("matmlp-mnist", 8)])
def test_a_zoo_model_takes_its_cases_from_the_data_folder(data_root, tmp_path, model, dim):
    pytest.importorskip("sklearn")
    pytest.importorskip("PIL")
    from edge_sdk.zoo.recipes import RECIPES

    checkpoint = tmp_path / "w.pt"  # the weights play no part here
    torch.save(RECIPES[model].build().state_dict(), checkpoint)
    made = source.find_source(model, checkpoint=checkpoint, data=data_root, dim=dim, n_cases=8)
    (images,) = made.inputs.values()
    assert len(images) == len(made.targets) == 8
    assert made.inputs_are.startswith("held-out ")
    assert len(made.labels) > max(made.targets)
    assert made.dim == (dim or made.dims[-1])
    with torch.no_grad():
        assert made.model(torch.from_numpy(images))["embedding"].shape == (8, made.dim)
