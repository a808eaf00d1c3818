"""What a file says of itself, read without its toolchain, and what damage does to it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_sdk import containers
from edge_sdk.artifact import (
    SCHEMA_VERSION,
    Accuracy,
    Comparison,
    Golden,
    GranularityInfo,
    Metadata,
    TensorSpec,
    open_artifact,
    pack_array,
    publish,
    unpack_array,
    weights_digest,
)
from edge_sdk.errors import FormatError, OutputError, VersionError

TARGETS = ("executorch", "litert", "onnx")
N_LENGTHS = 60
N_FLIPS = 200
N_FUZZED = 300

HEAVY = ("torch", "onnx", "onnxruntime", "executorch", "ai_edge_litert", "flatbuffers")

METADATA = Metadata(
    model="tests", family="matformer", target="onnx", quantization="int8", elastic=True,
    trained={"S": (8, 8), "XL": (64, 64)}, boundaries=((8, 64), (8, 64)),
    granularities={
        "S": GranularityInfo((8, 8), 100, 2000, 0.5, Comparison(3, 1e-6, 1.0, "1e-4"),
                             Accuracy(3, 0.5, 0.75, "held out")),
        "XL": GranularityInfo((64, 64), None, None),
    },
    inputs=(TensorSpec("image", (1, 1, 8, 8), "float32"),),
    outputs=(TensorSpec("logits", (1, 10), "float32"), TensorSpec("µ", (1,), "int64")),
    dims=(4, 8), dim=8, preprocessing={"mean": 0.5, "in words": "x / 255"}, labels=("ä", "b"),
    toolchain={"torch": "2"}, weights_sha256="0" * 64,
    golden=Golden({"image": pack_array(np.ones((1, 1, 8, 8), np.float32))},
                  {"S": {"logits": pack_array(np.zeros((1, 10), np.float32))}}, 1e-4),
)


@pytest.fixture(params=TARGETS)
def exported(request, artifact):
    return artifact(request.param)


@pytest.fixture
def scratch(exported, tmp_path, monkeypatch):
    """A path with the exported file's suffix, to write damaged copies to."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return tmp_path / f"damaged{exported.path.suffix}"


# --- reading back ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["single", "elastic"])
@pytest.mark.parametrize("target", TARGETS)
def test_metadata_is_read_back_as_it_was_written(artifact, target, kind):
    exported = artifact(target, kind)
    opened = open_artifact(exported.path)
    assert opened.metadata == exported.metadata
    assert opened.sha256 == exported.sha256 == containers.verify(exported.path)
    assert opened.metadata.target == target
    assert opened.metadata.elastic == (kind == "elastic")
    assert containers.read_metadata(exported.path).decode() == exported.metadata.to_json()


def test_metadata_holds_what_an_export_knows_of_the_model(exported):
    metadata = exported.metadata
    assert metadata.schema_version == 1 < SCHEMA_VERSION  # what version 1 can read, it may
    assert metadata.trained == {"S": (8, 8), "M": (16, 16), "L": (32, 32), "XL": (64, 64)}
    assert metadata.labels == tuple("abcdefghij")
    assert len(metadata.weights_sha256) == 64
    assert {"torch", "python", "edge-inference-sdk"} < set(metadata.toolchain)
    info = metadata.granularities["M"]
    assert info.comparison.n == info.accuracy.n == 32
    assert 0.0 <= info.comparison.max_difference <= 1e-4
    assert set(metadata.golden.outputs) == {"M"}


def test_inspecting_a_file_loads_no_toolchain(exported):
    script = ("import sys; from edge_sdk.inspect import app\n"
              "try: app(sys.argv[1:])\nexcept SystemExit as end: assert not end.code\n"
              f"print([m for m in {HEAVY} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", script, exported.path], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"file    {exported.path.name}  {exported.n_bytes} B")
    assert lines[-1] == "[]"


def test_executorch_itself_finds_the_metadata(artifact):
    exported = artifact("executorch", "elastic")
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(exported.path)
    assert program.method_names == {"S", "S+XL", "XL", "edge_sdk_metadata"}
    answer = program.load_method("edge_sdk_metadata").execute([])
    assert answer == [exported.metadata.to_json()]


def test_onnx_runtime_itself_finds_the_metadata(artifact):
    exported = artifact("onnx", "elastic")
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["edge_sdk_metadata"] == exported.metadata.to_json()
    assert properties["edge_sdk_sha256"] == exported.sha256


def test_litert_itself_finds_the_metadata(artifact):
    exported = artifact("litert", "elastic")
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(exported.path))
    entry, = [entry for entry in model.metadata if entry.name == b"edge_sdk_metadata"]
    assert bytes(model.buffers[entry.buffer].data).decode() == exported.metadata.to_json()


# --- damage ----------------------------------------------------------------------------


def test_a_file_cut_short_at_any_length_is_a_format_error(exported, scratch):
    content = exported.path.read_bytes()
    n = len(content)
    seal = containers.SEAL_BYTES
    lengths = {0, 1, 2, seal - 1, seal, seal + 1, n - seal - 1, n - seal, n - seal + 1, n - 2,
               n - 1, *np.linspace(3, n - 3, N_LENGTHS - 11, dtype=int).tolist()}
    for length in sorted(lengths):
        scratch.write_bytes(content[:length])
        with pytest.raises(FormatError, match=r"(?s)expected .*hint: "):
            open_artifact(scratch)


def test_any_flipped_bit_is_a_format_error(exported, scratch):
    content = exported.path.read_bytes()
    rng = np.random.default_rng(0)
    n_bits = 8 * len(content)
    seal_bits = 8 * containers.SEAL_BYTES
    bits = [*rng.integers(0, n_bits, N_FLIPS), *rng.integers(n_bits - seal_bits, n_bits, 40)]
    for bit in map(int, bits):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        scratch.write_bytes(damaged)
        with pytest.raises(FormatError):
            open_artifact(scratch)


@pytest.mark.parametrize("more", [b"\0", b"\n", b"x" * containers.SEAL_BYTES])
def test_appended_bytes_are_a_format_error(exported, scratch, more):
    scratch.write_bytes(exported.path.read_bytes() + more)
    with pytest.raises(FormatError):
        open_artifact(scratch)


def test_a_file_sealed_twice_is_a_format_error_or_reads_the_same(exported, scratch):
    shutil.copyfile(exported.path, scratch)
    containers.seal(scratch)
    assert open_artifact(scratch).metadata == exported.metadata


def resealed(native: bytes, path: Path) -> Path:
    path.write_bytes(native)
    containers.seal(path)
    return path


def test_a_resealed_file_of_damaged_structure_raises_nothing_but_format_errors(exported, scratch):
    native = containers.unsealed_bytes(exported.path)
    assert open_artifact(resealed(native, scratch)).metadata == exported.metadata
    rng = np.random.default_rng(1)
    text = native.index(b'{"model"')
    places = [  # the root, all of it, around our JSON, within it, and the end
        lambda: rng.integers(0, min(512, len(native))),
        lambda: rng.integers(0, len(native)),
        lambda: text + rng.integers(-400, 400),
        lambda: text + rng.integers(0, 3000),
        lambda: rng.integers(len(native) - 512, len(native)),
    ]
    outcomes = {"read": 0, "refused": 0}
    for i in range(N_FUZZED):
        damaged = bytearray(native)
        for _ in range(rng.integers(1, 5)):
            at = int(np.clip(places[i % len(places)](), 0, len(native) - 1))
            damaged[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, damaged[at] ^ (1 << rng.integers(8)),
                                      rng.integers(256)])
        cut = int(rng.integers(len(damaged))) if i % 10 == 9 else len(damaged)
        try:
            open_artifact(resealed(bytes(damaged[:cut]), scratch))
            outcomes["read"] += 1
        except FormatError:  # VersionError is one
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.parametrize("native", [b"", b"\0" * 64, b"\xff" * 64, b"\x08" * 64, b"{}"],
                         ids=["empty", "zeros", "ones", "eights", "json"])
@pytest.mark.parametrize("suffix", containers.SUFFIXES)
def test_sealed_nonsense_is_a_format_error(tmp_path, suffix, native):
    with pytest.raises(FormatError):
        open_artifact(resealed(native, tmp_path / f"nonsense{suffix}"))


@pytest.mark.parametrize("name", ["no-such.pte", "folder.pte", "empty.pte", "sealed.bin", "sealed"])
def test_what_is_no_artifact_is_a_format_error(tmp_path, name):
    path = tmp_path / name
    if name.startswith("folder"):
        path.mkdir()
    elif name.startswith("empty"):
        path.touch()
    elif name.startswith("sealed"):
        resealed(b"native bytes", path)
    with pytest.raises(FormatError, match=r"(?s)expected .*hint: ") as error:
        open_artifact(path)
    assert str(path) in str(error.value)


# --- the schema ------------------------------------------------------------------------


def test_metadata_survives_json():
    assert Metadata.from_json(METADATA.to_json(), where="here") == METADATA
    assert Metadata.from_json(METADATA.to_json().encode(), where="here") == METADATA
    assert "\n" not in METADATA.to_json()


def test_metadata_of_a_newer_version_is_a_version_error():
    newer = replace(METADATA, schema_version=SCHEMA_VERSION + 1).to_json()
    with pytest.raises(VersionError, match="pip install --upgrade") as error:
        Metadata.from_json(newer, where="new.pte")
    assert "new.pte" in str(error.value)


def test_a_whole_file_of_a_newer_version_is_a_version_error(exported, scratch):
    native = containers.unsealed_bytes(exported.path)
    assert native.count(b'"schema_version":1') == 1
    with pytest.raises(VersionError):
        open_artifact(resealed(native.replace(b'"schema_version":1', b'"schema_version":9'),
                               scratch))


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", "7", '"text"', "{}", '{"schema_version": 1}',
    '{"schema_version": "1"}', '{"schema_version": null}', b"\xff\xfe", b"\x80abc",
])
def test_text_that_is_not_our_metadata_is_a_format_error(text):
    with pytest.raises(FormatError):
        Metadata.from_json(text, where="here")


@pytest.mark.parametrize("field", [*json.loads(METADATA.to_json())])
def test_metadata_without_a_field_is_a_format_error_or_has_its_default(field):
    raw = json.loads(METADATA.to_json())
    del raw[field]
    has_default = {"preprocessing", "toolchain", "weights_sha256", "dim"}
    if field in has_default:
        assert getattr(Metadata.from_json(json.dumps(raw), where="here"), field) is not None \
            or field == "dim"
    else:
        with pytest.raises(FormatError):
            Metadata.from_json(json.dumps(raw), where="here")


@pytest.mark.parametrize(("field", "value"), [
    *itertools.product(["trained", "boundaries", "granularities", "inputs", "outputs", "golden"],
                       [None, 1.5, [3]]),
    *itertools.product(["dims", "labels"], [None, 1.5]),
    ("schema_version", None), ("schema_version", [3]), ("schema_version", "1"),
], ids=str)
def test_a_structured_field_of_another_kind_is_a_format_error(field, value):
    raw = {**json.loads(METADATA.to_json()), field: value}
    with pytest.raises(FormatError):
        Metadata.from_json(json.dumps(raw), where="here")


def test_an_unknown_field_of_the_same_version_is_a_format_error():
    with pytest.raises(FormatError, match="surprise"):
        Metadata.from_json(json.dumps({**json.loads(METADATA.to_json()), "surprise": 1}),
                           where="here")


# --- arrays ----------------------------------------------------------------------------

DTYPES = st.sampled_from(["float16", "float32", "float64", "int8", "int16", "int32", "int64",
                          "uint8", "uint16", "uint32", "uint64", "bool"])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@settings(deadline=None)
@given(st.data(), st.sampled_from("<>="))
def test_a_packed_array_unpacks_to_itself(data, order):
    dtype = np.dtype(data.draw(DTYPES)).newbyteorder(order)
    array = data.draw(arrays.arrays(dtype, data.draw(SHAPES)))
    back = unpack_array(json.loads(json.dumps(pack_array(array))))
    assert back.dtype == dtype.newbyteorder("=")
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    back[...] = 0  # and may be written to


def test_a_packed_view_unpacks_to_what_it_shows():
    view = np.arange(24).reshape(4, 6)[::2, ::-3]
    np.testing.assert_array_equal(unpack_array(pack_array(view)), view)


def test_a_weights_digest_depends_on_names_values_shapes_and_dtypes_but_not_on_order():
    a, b = np.arange(6, dtype=np.float32), np.ones(2, np.float32)
    digest = weights_digest({"a": a, "b": b})
    assert digest == weights_digest({"b": b, "a": a}) == weights_digest({"a": a.astype(">f4"),
                                                                         "b": b})
    others = [{"a": b, "b": a}, {"a": a.reshape(2, 3), "b": b}, {"a": a.view(np.int32), "b": b},
              {"a": a + 1, "b": b}, {"a": a}]
    assert len({digest, *map(weights_digest, others)}) == 6


# --- publishing ------------------------------------------------------------------------


def publish_new(outs, error=None):
    with publish(*outs) as partials:
        for partial in partials:
            partial.write_text("new")
        if error is not None:
            raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_published_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    out = tmp_path / "out.pte"
    out.write_text("old")
    with publish(out) as (partial,):
        partial.write_text("new")
        assert out.read_text() == "old"
        assert partial.parent.parent == out.parent  # one file system, or the move is no move
    assert out.read_text() == "new"
    assert names(tmp_path) == ["out.pte"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(3)],
                         ids=lambda error: type(error).__name__)
def test_whatever_ends_a_publication_early_leaves_the_old_file(tmp_path, error):
    outs = [tmp_path / "a.pte", tmp_path / "b.onnx"]
    outs[0].write_text("old")
    with pytest.raises(type(error)):
        publish_new(outs, error)
    assert outs[0].read_text() == "old"
    assert names(tmp_path) == ["a.pte"]


def test_of_several_files_all_are_published_or_none(tmp_path):
    outs = [tmp_path / "a.pte", tmp_path / "b.onnx"]
    with pytest.raises(OutputError), publish(*outs) as partials:
        partials[0].write_text("new")  # the second was forgotten
    assert names(tmp_path) == []


def test_a_folder_at_the_place_of_an_output_leaves_the_others_as_they_were(tmp_path):
    outs = [tmp_path / "a.pte", tmp_path / "b.onnx"]
    outs[0].write_text("old")
    outs[1].mkdir()
    with pytest.raises(OutputError):
        publish_new(outs)
    assert outs[0].read_text() == "old"
    assert names(tmp_path) == ["a.pte", "b.onnx"]


def test_a_missing_folder_is_an_output_error_before_any_work(tmp_path):
    entered = []
    with pytest.raises(OutputError, match="missing") as error, \
            publish(tmp_path / "a.pte", tmp_path / "missing" / "b.pte") as partials:
        entered.append(partials)
    assert error.value.hint
    assert entered == []
    assert names(tmp_path) == []


def test_a_folder_that_can_not_be_written_to_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")  # root ignores permissions
    with pytest.raises(OutputError, match="file"), publish(tmp_path / "file" / "a.pte"):
        pass
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_an_output_error_and_leaves_the_old_file(tmp_path):
    script = """
import resource, sys
from edge_sdk.artifact import publish
from edge_sdk.errors import OutputError

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with publish(sys.argv[1]) as (partial,):
        partial.write_bytes(bytes(5000))
except OutputError as error:
    print(error)
"""
    out = tmp_path / "a.pte"
    out.write_text("old")
    done = subprocess.run([sys.executable, "-c", script, out], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert "expected a writable output folder with space" in done.stdout
    assert out.read_text() == "old"
    assert names(tmp_path) == ["a.pte"]
