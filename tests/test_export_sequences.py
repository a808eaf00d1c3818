"""FastGRNN to every engine and to C: the same answers, however the frames are cut."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny_sequence as tiny  # noqa: E402
from conftest import TOOLCHAINS  # noqa: E402

import edge_sdk  # noqa: E402
from edge_sdk import inspect, selftest  # noqa: E402
from edge_sdk.artifact import SUFFIX, Metadata, open_artifact, unpack_array  # noqa: E402
from edge_sdk.bench import __main__ as bench  # noqa: E402
from edge_sdk.engines import process  # noqa: E402
from edge_sdk.errors import (  # noqa: E402
    CheckpointError,
    ComparisonError,
    DataError,
    FormatError,
    MissingDependency,
    OutputError,
    ShapeError,
    UnsupportedModel,
)
from edge_sdk.export import app  # noqa: E402
from edge_sdk.sequence.export import export_sequences  # noqa: E402
from edge_sdk.sequence.source import SPEECH, SequenceSource, find  # noqa: E402

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden" / "export_sequences.txt"
FILES = {"executorch": ("m.pte", ["step", "scan"]), "litert": ("m.tflite", ["step", "chunk11"]),
         "onnx": ("m.onnx", ["scan"]), "onnx-step": ("m-step.onnx", ["step"])}
STANDARD = {"Add", "Clip", "Identity", "MatMul", "Mul", "Relu", "Reshape", "Scan", "Sigmoid",
            "Sub", "Tanh"}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def wordy(message):
    """Whether an error says what was expected and what to do."""
    return "expected " in message and "\nhint: " in message and "Traceback" not in message


@pytest.fixture(scope="module", params=FILES)
def done(request, sequence_file):
    return sequence_file(request.param)


@pytest.fixture
def need_onnx():
    for module in TOOLCHAINS["onnx"]:
        pytest.importorskip(module)


# --- forms of cells -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"rank_w": None, "rank_u": None}, {"rank_w": 3, "rank_u": None},
    *({"gate": gate, "update": update} for gate, update in zip(
        ("sigmoid", "quant_sigmoid", "quant_sigmoid4", "sigmoid", "quant_sigmoid"),
        ("quant_tanh", "relu", "tanh", "quant_sigmoid", "quant_sigmoid4"), strict=True)),
], ids=str)
def test_every_form_of_cell_runs_in_onnx_by_standard_operators(need_onnx, tmp_path, options):
    source = tiny.source(**options)
    done = export_sequences(source, {"onnx": tmp_path / "m.onnx"})
    assert max(c.max_difference / max(1.0, _largest(source)) for file in done
               for c in file.metadata.sequence.comparison.values()) <= 1e-5
    assert done[0].metadata.sequence.ranks == (source.model.cell.rank_w, source.model.cell.rank_u)
    for file in done:
        assert operators(file.path) <= STANDARD


def test_a_cell_that_diverges_is_refused(need_onnx, tmp_path):
    with pytest.raises(CheckpointError, match="whose state stays finite"):
        export_sequences(tiny.source(gate="relu", update="relu", zeta=4.0, nu=4.0),
                         {"onnx": tmp_path / "m.onnx"})
    assert names(tmp_path) == []


def _largest(source):
    return max(np.abs(tiny.answers(source.model, x)[1]).max() for x in source.sequences)


@pytest.mark.parametrize("kind", ["Scan", "Chunk", "Step"])
@pytest.mark.parametrize("options", [
    {}, {"rank_w": None, "rank_u": None}, {"gate": "quant_sigmoid4", "update": "relu"},
    {"gate": "quant_sigmoid", "update": "quant_tanh"},
], ids=str)
def test_what_executorch_and_litert_trace_is_the_model(kind, options):
    from edge_sdk.exporters.sequences import modules
    from edge_sdk.fastgrnn.weights import from_module

    made = tiny.model(**options)
    x, = tiny.sequences([1 if kind == "Step" else 11], seed=1)
    states, logits = tiny.answers(made, x)
    h, found = getattr(modules, kind)(from_module(made))(
        torch.from_numpy(x), torch.zeros(1, tiny.N_HIDDEN))
    np.testing.assert_allclose(h[0].numpy(), states[-1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.numpy(), logits, rtol=0,
                               atol=1e-5 * max(1.0, np.abs(logits).max()))


# --- ONNX --------------------------------------------------------------------------------


def operators(path):
    """Return the operators of a graph and of its loops, after a full check of the file."""
    import onnx

    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)]
    assert not proto.functions
    found, todo = set(), [proto.graph]
    while todo:
        graph = todo.pop()
        for node in graph.node:
            assert node.domain == ""
            found.add(node.op_type)
            todo += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return found


def test_onnx_has_standard_operators_only_and_one_loop(sequence_file):
    whole, step = operators(sequence_file("onnx").path), operators(sequence_file("onnx-step").path)
    assert whole <= STANDARD
    assert "Scan" in whole
    assert step <= {"Add", "MatMul", "Mul", "Sigmoid", "Sub", "Tanh"}


def test_onnx_says_the_shapes_of_what_it_takes_and_gives(sequence_file):
    import onnx

    graph = onnx.load(sequence_file("onnx").path).graph
    shapes = {value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
              for value in (*graph.input, *graph.output)}
    assert shapes == {"x": ["frames", 32], "h": [1, 24], "h_next": [1, 24],
                      "logits": ["frames", 10]}


# --- what the files say ------------------------------------------------------------------


def test_metadata_holds_what_the_export_knows(done):
    metadata = open_artifact(done.path).metadata
    assert metadata == done.metadata
    info = metadata.sequence
    made = tiny.model()
    assert metadata.family == "fastgrnn"
    assert metadata.schema_version == 2
    assert metadata.granularities == {}
    assert metadata.labels == tuple("abcdefghij")
    assert metadata.preprocessing == tiny.PREPROCESSING
    assert (info.n_inputs, info.n_hidden, info.n_classes) == (32, 24, 10)
    assert info.ranks == (6, 8)
    assert info.parameters == sum(p.numel() for p in made.parameters())
    assert info.macs == 32 * 6 + 6 * 24 + 24 * 8 + 8 * 24 + 24 * 10
    assert info.state == {"h": "h_next"}
    assert list(info.methods) == FILES[_file(done)][1]
    assert set(info.comparison) == {"whole", "step"}
    for comparison in info.comparison.values():
        assert comparison.n == len(tiny.LENGTHS)
        assert comparison.argmax_agreement == 1.0
    assert info.accuracy.n == len(tiny.LENGTHS)
    assert info.accuracy.top1 == info.accuracy.eager == (len(tiny.LENGTHS) - 1) / len(tiny.LENGTHS)
    assert list(done.measured.latency_ms) == list(info.methods) == list(done.measured.frames)
    assert all(latency > 0 for latency in done.measured.latency_ms.values())


def _file(done):
    return next(key for key, (name, _) in FILES.items() if name == done.path.name)


def test_golden_sequences_reach_a_second_chunk_and_single_frames(done):
    golden = done.metadata.golden
    lengths = unpack_array(golden.inputs["lengths"])
    assert lengths.tolist() == [34, 34]
    assert unpack_array(golden.inputs["x"]).shape == (68, 32)
    assert set(golden.outputs) == {"whole", "step"}
    assert unpack_array(golden.outputs["step"]["logits"]).shape == (2, 10)
    assert unpack_array(golden.outputs["step"]["state"]).shape == (2, 24)


def test_metadata_of_the_wrong_family_or_without_methods_is_a_format_error(done):
    raw = json.loads(done.metadata.to_json())
    assert Metadata.from_json(json.dumps(raw), where="here") == done.metadata
    for harm in ({"family": "matformer"}, {"sequence": None},
                 {"sequence": {**raw["sequence"], "methods": {}}},
                 {"sequence": {**raw["sequence"], "state": {}}},
                 {"sequence": {**raw["sequence"], "invented": 1}}, {"schema_version": 4}):
        with pytest.raises(FormatError):
            Metadata.from_json(json.dumps({**raw, **harm}), where="here")


# --- exporting ---------------------------------------------------------------------------


def test_a_model_and_its_sequences_are_enough_and_onnx_writes_two_files(need_onnx, tmp_path):
    made, some = tiny.model_and_sequences()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    done = edge_sdk.export(made, tmp_path / "kws.onnx", sample=[torch.from_numpy(x) for x in some],
                           target="onnx")
    assert done.path == tmp_path / "kws.onnx"
    assert names(tmp_path) == ["kws-step.onnx", "kws.onnx"]
    assert done.metadata.model == "FastGRNNClassifier"
    assert done.metadata.sequence.accuracy is None
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())
    packed = json.loads(json.dumps(done.to_dict()))
    assert packed["bytes"] == done.path.stat().st_size
    assert packed["metadata"]["sequence"]["comparison"]["step"]["n"] == 2
    assert "golden" not in packed["metadata"]
    one = edge_sdk.export(made, tmp_path / "one.onnx", sample=some[0], target="onnx")
    assert one.metadata.sequence.comparison["whole"].n == 1


def test_the_same_export_twice_gives_the_same_file(sequence_file, tmp_path):
    once = sequence_file("onnx")
    again = export_sequences(tiny.source(), {"onnx": tmp_path / "m.onnx"})
    assert again[0].sha256 == once.sha256
    assert again[1].sha256 == sequence_file("onnx-step").sha256


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_c_is_written_with_its_header(tmp_path, quantize):
    done = edge_sdk.export(tiny.source(), tmp_path / "kws.c", target="c", quantize=quantize)
    assert names(tmp_path) == ["kws.c", "kws.h"]
    assert (done.path, done.header) == (tmp_path / "kws.c", tmp_path / "kws.h")
    assert done.name == "kws"
    assert '#include "kws.h"' in done.path.read_text()
    # int8's ranges are chosen by calibration sequences, never by the held-out ones.
    assert done.rounding is None or done.rounding.n == 2
    if done.comparison is not None:
        assert done.comparison.n == (len(tiny.LENGTHS) if quantize == "none" else 2)


@pytest.mark.parametrize("factory", ["nan_weights", "an_empty_sequence", "nan_frames",
                                     "too_few_features"])
def test_a_model_or_sequence_that_can_prove_nothing_leaves_no_file(tmp_path, factory):
    wants = {"nan_weights": CheckpointError}.get(factory, ShapeError)
    made, some = getattr(tiny, factory)()
    for target, suffix in {**SUFFIX, "c": ".c"}.items():
        with pytest.raises(wants) as error:
            edge_sdk.export(made, tmp_path / f"m{suffix}", sample=some, target=target)
        assert wordy(str(error.value))
    assert names(tmp_path) == []


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"sample": None}, UnsupportedModel, "sample inputs"),
    ({"sample": []}, ShapeError, "one sequence or more"),
    ({"target": "tpu"}, UnsupportedModel, "executorch, litert, onnx, c"),
    ({"out": "m.bin"}, UnsupportedModel, ".onnx"),
    ({"out": "missing/m.onnx"}, OutputError, "writable"),
    ({"granularity": "S"}, UnsupportedModel, "no choice of size"),
    ({"elastic": "S,XL"}, UnsupportedModel, "no choice of size"),
    ({"quantize": "int3"}, UnsupportedModel, "none or int8"),
    ({"quantize": "int8"}, UnsupportedModel, "--target c --quantize int8"),
], ids=str)
def test_a_wrong_argument_is_an_error_that_says_what_is_right(
    need_onnx, tmp_path, options, error, words,
):
    model, some = tiny.model_and_sequences()
    arguments = {"sample": some, "target": "onnx", "out": "m.onnx", **options}
    out = tmp_path / arguments.pop("out")
    with pytest.raises(error) as raised:
        edge_sdk.export(model, out, **arguments)
    assert words in str(raised.value)
    assert wordy(str(raised.value))
    assert names(tmp_path) == []


@pytest.mark.parametrize("harm", [
    lambda way, name, a: a + 1e-2,
    lambda way, name, a: a * np.nan,
    lambda way, name, a: a + 1e-2 if (way, name) == ("step", "state") else a,
    lambda way, name, a: a + 1e-2 if (way, name) == ("whole", "frames") else a,
], ids=["shifted", "nan", "another state", "other frames"])
def test_a_file_that_computes_something_else_is_never_moved_into_place(
    need_onnx, tmp_path, monkeypatch, harm,
):
    honest = process.run_sequences

    def dishonest(*arguments, **options):
        outputs = honest(*arguments, **options)
        return {way: {name: harm(way, name, a) for name, a in by_name.items()}
                for way, by_name in outputs.items()}

    monkeypatch.setattr(process, "run_sequences", dishonest)
    (tmp_path / "m.onnx").write_text("the old file")
    with pytest.raises(ComparisonError, match="onnx"):
        export_sequences(tiny.source(), {"onnx": tmp_path / "m.onnx"})
    assert (tmp_path / "m.onnx").read_text() == "the old file"
    assert names(tmp_path) == ["m.onnx"]


def test_streaming_that_drifts_from_the_whole_is_refused(need_onnx, tmp_path, monkeypatch):
    honest = process.run_sequences

    def drifting(*arguments, **options):
        outputs = honest(*arguments, **options)
        scale = max(1.0, np.abs(outputs["whole"]["frames"]).max())
        # Each within the limit of the model, but not of one another.
        outputs["whole"]["logits"] += 0.8e-5 * scale
        outputs["step"]["logits"] -= 0.8e-5 * scale
        return outputs

    monkeypatch.setattr(process, "run_sequences", drifting)
    with pytest.raises(ComparisonError):
        export_sequences(tiny.source(), {"onnx": tmp_path / "m.onnx"})
    assert names(tmp_path) == []


def test_one_target_that_fails_leaves_none_of_the_others(need_onnx, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch.exir", None)
    outs = {"c": tmp_path / "m.c", "onnx": tmp_path / "m.onnx", "executorch": tmp_path / "m.pte"}
    with pytest.raises(MissingDependency, match="executorch"):
        export_sequences(tiny.source(), outs)
    assert names(tmp_path) == []


def test_int8_needs_real_sequences(tmp_path):
    source = replace(tiny.source(), synthetic=True)
    with pytest.raises(DataError, match="real inputs"):
        edge_sdk.export(source, tmp_path / "m.c", target="c", quantize="int8")
    assert names(tmp_path) == []


# --- the commands ------------------------------------------------------------------------


def masked(text, folder):
    """Return a command's output without what differs from run to run."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"\b[0-9a-f]{16}\b", "DIGEST", text)
    text = re.sub(r"tools   .*", "tools   VERSIONS", text)
    # Sizes and counts are the model's; times, bytes and differences are this run's.
    text = re.sub(r"\d+(\.\d+)?e[-+]\d+", "E", text)
    return re.sub(r"(?<=\s)\d+(\.\d+)?(?= (us|ms|MB|B)\b)", "N", text)


def test_the_printed_lines_of_all_commands_are_those_of_the_golden_file(
    need_onnx, run_command, tmp_path,
):
    text = ""
    steps = [
        (app, ["--model", "tiny_sequence:source", "--target", "onnx", "--out", tmp_path]),
        (inspect.app, [tmp_path / "tiny_sequence-source.onnx"]),
        (selftest.app, [tmp_path / "tiny_sequence-source.onnx"]),
    ]
    for command, arguments in steps:
        status, out, err = run_command(command, *arguments)
        assert status == 0, err
        text += masked(out, tmp_path)
    if os.environ.get("EDGE_SDK_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    assert names(tmp_path) == ["tiny_sequence-source-step.onnx", "tiny_sequence-source.onnx"]


def test_the_commands_work_on_the_files_of_every_engine(done, run_command):
    status, out, err = run_command(selftest.app, done.path)
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [["check", "whole"],
                                                               ["check", "step"]]
    assert all(line.endswith("  ok") and " 2 golden " in line for line in out.splitlines())
    if done.path.suffix != ".pte":  # a process of ExecuTorch takes seconds; exporting measured it
        status, out, err = run_command(bench.app, done.path, "--quick", "--json")
        assert (status, err) == (0, "")
        measured, = json.loads(out)["files"]
        assert [row["name"] for row in measured["rows"]] == FILES[_file(done)][1]
    status, out, err = run_command(inspect.app, done.path, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"sha256": done.sha256, **json.loads(done.metadata.to_json())}


def test_selftest_fails_where_an_engine_answers_otherwise(sequence_file, monkeypatch):
    honest = process.run_sequences

    def other(*arguments):
        outputs = honest(*arguments)
        outputs["step"]["state"][0, 3] += 0.01
        return outputs

    monkeypatch.setattr(process, "run_sequences", other)
    with pytest.raises(ComparisonError, match="golden outputs within"):
        selftest.selftest(sequence_file("onnx").path)


def test_json_names_every_file_of_c_and_onnx(need_onnx, run_command, tmp_path):
    for target, count in (("onnx", 2), ("c", 1)):
        status, out, err = run_command(app, "--model", "tiny_sequence:model_and_sequences",
                                       "--target", target, "--out", tmp_path, "--json", "--quiet")
        assert (status, err) == (0, "")
        files = json.loads(out)["files"]
        assert len(files) == count
        assert all(Path(file["path"]).is_file() for file in files)
    assert files[0]["target"] == "c"
    assert names(tmp_path) == [
        "tiny_sequence-model_and_sequences-step.onnx", "tiny_sequence-model_and_sequences.onnx",
        "tiny_sequence_model_and_sequences.c", "tiny_sequence_model_and_sequences.h"]


@pytest.mark.parametrize(("arguments", "words"), [
    (["--granularity", "S"], "UnsupportedModel: expected no choice of size"),
    (["--elastic", "S,XL"], "UnsupportedModel: expected no choice of size"),
    (["--fit-bytes", "9000"], "UnsupportedModel: expected no choice of size"),
    (["--fit-macs", "9000"], "UnsupportedModel: expected no choice of size"),
    (["--fit-latency-ms", "1.5"], "UnsupportedModel: expected no choice of size"),
    (["--dim", "8"], "UnsupportedModel: expected a model with a Matryoshka head for --dim"),
    (["--quantize", "int8"], "UnsupportedModel: expected quantize none"),
    (["--quantize", "int4"], "UnsupportedModel: expected quantize none or int8"),
    (["--target", "tpu"], "UnsupportedModel: expected one of the targets executorch, litert, "
                          "onnx, c"),
    (["--target", "all", "--out", "m.c"], "UnsupportedModel: expected a folder"),
    (["--out", "m.c"], "UnsupportedModel: expected a file ending in .onnx"),
    (["--out", "missing"], "OutputError: expected a writable output folder"),
    (["--checkpoint", "missing.pt"], "CheckpointError: expected a weights file"),
    (["--model", "tiny_sequence:nan_weights"], "CheckpointError: expected finite weights"),
    (["--model", "tiny_sequence:an_empty_sequence"], "ShapeError: expected frames (T >= 1, 32)"),
    (["--model", "tiny_sequence:nan_frames"], "ShapeError: expected frames"),
    (["--model", "tiny_sequence:too_few_features"], "ShapeError: expected frames"),
    (["--model", "tiny:source", "--target", "c"], "UnsupportedModel: expected a fastgrnn model, or "
                                                  "an MLP as one nn.Sequential, got"),
], ids=" ".join)
def test_a_wrong_command_line_ends_with_status_1_and_no_file(
    need_onnx, run_command, tmp_path, monkeypatch, arguments, words,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    status, out, err = run_command(
        app, *(["--target", "onnx"] if "--target" not in arguments else []),
        *(["--model", "tiny_sequence:source"] if "--model" not in arguments else []), *arguments)
    assert (status, out) == (1, "")
    assert words in err
    assert wordy(err)
    assert names(tmp_path) == []


def test_a_checkpoint_replaces_the_weights(tmp_path):
    from edge_sdk.checkpoint import save_weights

    other = tiny.model()
    with torch.no_grad():
        other.head.bias += 1.0
    save_weights(other, tmp_path / "w.safetensors", {})
    found = find("tiny_sequence:source", checkpoint=tmp_path / "w.safetensors")
    assert isinstance(found, SequenceSource)
    assert torch.equal(found.model.head.bias, other.head.bias)
    assert not torch.equal(found.model.head.bias, tiny.model().head.bias)


def test_a_model_with_granularities_is_found_as_before():
    assert find("tiny:source").name == "tiny"
    assert find("tiny:model_and_sample").inputs_are == "4 given case(s)"
    with pytest.raises(UnsupportedModel, match=r"matvit-digits, .* fastgrnn-digits-speech, or"):
        find("no-such-model")


def test_the_words_of_spoken_digits_are_its_official_split(data_root, monkeypatch):
    monkeypatch.setattr("edge_sdk.zoo.fastgrnn.load", lambda path: tiny.model())
    found = find(SPEECH, data=data_root, n_cases=20)
    assert isinstance(found, SequenceSource)
    assert len(found.sequences) == len(found.targets) == 20
    assert set(found.targets) <= set(range(10))
    assert len(found.calibration) == 256
    assert all(x.shape[1] == 32 and x.dtype == np.float32 for x in found.sequences)
    monkeypatch.delenv("EDGE_SDK_DATA", raising=False)
    noise = find(SPEECH)
    assert noise.synthetic
    assert noise.targets is None
    assert {len(x) for x in noise.sequences} <= set(range(14, 131))
