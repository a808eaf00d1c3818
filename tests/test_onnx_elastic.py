"""Elastic ONNX files: widths chosen per call and layer, and one of them frozen without torch."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402

from edge_sdk import containers  # noqa: E402
from edge_sdk import freeze as freeze_module  # noqa: E402
from edge_sdk.artifact import (  # noqa: E402
    Golden,
    GranularityInfo,
    Metadata,
    TensorSpec,
    open_artifact,
    pack_array,
)
from edge_sdk.engines.onnx import OnnxEngine  # noqa: E402
from edge_sdk.errors import (  # noqa: E402
    ComparisonError,
    FormatError,
    GranularityError,
    UnsupportedModel,
)
from edge_sdk.exporters import to_onnx  # noqa: E402
from edge_sdk.exporters.request import Request, output_names  # noqa: E402
from edge_sdk.freeze import freeze  # noqa: E402
from edge_sdk.granularity import boundaries, parse_list, trained_names  # noqa: E402
from edge_sdk.nn.matformer import (  # noqa: E402
    MatViT,
    NestedFFN,
    NestedGLU,
    extract,
    nested_ffns,
    trained_widths,
)

D_MODEL, D_FF = 16, 64
WIDTHS = (8, 16, 32, 64)
MIXES = list(itertools.product(WIDTHS, repeat=2))
IMAGES = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)


def vit(kind="ffn"):
    torch.manual_seed(0)
    model = MatViT(image_size=8, channels=1, patch=2, d_model=D_MODEL, n_layers=2, n_heads=2,
                   d_ff=D_FF, head=nn.Linear(D_MODEL, 10))
    if kind == "glu":
        for block in model.blocks:
            block.ffn = NestedGLU(nn.Linear(D_MODEL, D_FF, bias=False), nn.Linear(D_MODEL, D_FF),
                                  nn.SiLU(), nn.Linear(D_FF, D_MODEL))
    if kind == "one block":
        for block in model.blocks:
            block.ffn = NestedFFN(block.ffn.up, nn.GELU(), block.ffn.down, widths=[D_FF])
    return model.eval()


def request_for(model, names, *, elastic=True, quantize="none"):
    sample = (torch.from_numpy(IMAGES[:1]),)
    granularities = parse_list(names, trained_names(trained_widths(model)))
    return Request(model, sample, ("image",), output_names(model, sample), granularities, elastic,
                   boundaries(granularities), quantize)


def write(path, model, names="S,M,L,XL", **options):
    """Lower `model`, and seal it with metadata and golden inputs."""
    request = request_for(model, names, **options)
    metadata = Metadata(
        model="tests", family="matformer", target="onnx", quantization=request.quantize,
        elastic=request.elastic, trained=trained_names(trained_widths(model)),
        boundaries=tuple(request.boundaries),
        granularities={g.name: GranularityInfo(g.widths, 0, 0) for g in request.granularities},
        inputs=(TensorSpec("image", (1, 1, 8, 8), "float32"),),
        outputs=(TensorSpec("logits", (1, 10), "float32"),),
        golden=Golden({"image": pack_array(IMAGES)}, {}, 1e-4),
    )
    lowered = to_onnx.lower(request)
    lowered.write(path, "{}")
    lowered.write(path, metadata.to_json())
    containers.seal(path)
    return path


def eager(model, widths, images=IMAGES[:1]):
    with torch.no_grad():
        return extract(model, widths)(torch.from_numpy(images)).numpy()


def plain(path):
    """Return a session as somebody without this package would open one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def text_of(widths):
    return "+".join(map(str, widths))


def weight_bytes(path):
    return sum(len(onnx.numpy_helper.to_array(t).tobytes())
               for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def elastic_files(folder):
    return {kind: write(folder / f"{kind}.onnx", vit(kind)) for kind in ("ffn", "glu")}


@pytest.fixture(scope="module")
def elastic(elastic_files):
    return elastic_files["ffn"]


@pytest.fixture(scope="module")
def int8(folder):
    return write(folder / "int8.onnx", vit(), quantize="int8")


@pytest.mark.parametrize("kind", ["ffn", "glu"])
def test_every_mix_of_boundaries_equals_the_extracted_model(elastic_files, kind):
    model, engine = vit(kind), OnnxEngine.load(elastic_files[kind])
    for mix in MIXES:
        got = engine.run({"image": IMAGES[:1]}, text_of(mix))["logits"]
        np.testing.assert_allclose(got, eager(model, mix), atol=1e-4, err_msg=str(mix))


def test_without_widths_all_blocks_run(elastic):
    got, = plain(elastic).run(None, {"image": IMAGES[:1]})
    np.testing.assert_allclose(got, eager(vit(), (64, 64)), atol=1e-4)


def test_the_default_granularity_is_the_largest_exported(folder):
    engine = OnnxEngine.load(write(folder / "small.onnx", vit(), "S,M"))
    assert engine.granularities == ("S", "M")
    got = engine.run({"image": IMAGES[:1]})["logits"]
    np.testing.assert_allclose(got, eager(vit(), (16, 16)), atol=1e-4)


def test_each_weight_is_stored_once(elastic, folder):
    single = write(folder / "xl.onnx", vit(), "XL", elastic=False)
    assert weight_bytes(elastic) <= 1.03 * weight_bytes(single)


def test_a_single_file_equals_the_extracted_model_and_has_no_widths(folder):
    path = write(folder / "mix.onnx", vit(), "S+L", elastic=False)
    got = OnnxEngine.load(path).run({"image": IMAGES[:1]}, "S+L")["logits"]
    np.testing.assert_allclose(got, eager(vit(), (8, 32)), atol=1e-4)
    assert not plain(path).get_overridable_initializers()
    with pytest.raises(GranularityError):
        OnnxEngine.load(path).run({"image": IMAGES[:1]}, "M")


def test_a_model_of_one_block_takes_widths_too(folder):
    model = vit("one block")
    engine = OnnxEngine.load(write(folder / "one.onnx", model, "XL"))
    got = engine.run({"image": IMAGES[:1]}, "XL")["logits"]
    np.testing.assert_allclose(got, eager(model, (64, 64)), atol=1e-4)


def test_a_sealed_file_passes_the_checker_and_shows_its_metadata_to_others(elastic):
    onnx.checker.check_model(elastic, full_check=True)
    shown = plain(elastic).get_modelmeta().custom_metadata_map
    assert shown[containers.KEY].encode() == containers.read_metadata(elastic)


def test_a_file_names_no_folder_of_the_machine_that_wrote_it(elastic):
    assert str(Path(__file__).parent.parent).encode() not in elastic.read_bytes()
    assert b"site-packages" not in elastic.read_bytes()


def test_lowering_prints_nothing_and_says_what_it_used(capfd):
    lowered = to_onnx.lower(request_for(vit(), "XL", elastic=False))
    assert capfd.readouterr().out == ""
    assert lowered.coverage == {"XL": None}
    assert set(lowered.toolchain) == {"onnx", "onnxscript", "onnxruntime", "torch"}


def test_weights_beyond_one_protobuf_are_refused(monkeypatch):
    monkeypatch.setattr(to_onnx, "PROTOBUF_BYTES", 1000)
    with pytest.raises(UnsupportedModel, match="2 GiB"):
        to_onnx.lower(request_for(vit(), "XL", elastic=False))


def test_a_width_that_is_no_boundary_names_the_boundaries(elastic, tmp_path):
    with pytest.raises(GranularityError, match=r"\[8, 16, 32, 64\].*12.*layer 1"):
        OnnxEngine.load(elastic).run({"image": IMAGES[:1]}, "S+12")
    with pytest.raises(GranularityError, match=r"\[8, 16, 32, 64\].*12.*layer 1"):
        freeze(elastic, "S+12", tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_threads_with_different_widths_share_one_session(elastic):
    engine = OnnxEngine.load(elastic)
    wanted = {mix: engine.run({"image": IMAGES[:1]}, text_of(mix))["logits"] for mix in MIXES}

    def agrees(mix):
        return all(np.array_equal(engine.run({"image": IMAGES[:1]}, text_of(mix))["logits"],
                                  wanted[mix]) for _ in range(50))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(agrees, MIXES))


@pytest.mark.parametrize("widths", [(8, 8), (64, 64), (32, 8)])
def test_a_frozen_file_equals_the_elastic_one_and_lacks_the_input(elastic, tmp_path, widths):
    artifact = freeze(elastic, text_of(widths), tmp_path / "frozen.onnx")
    session = plain(artifact.path)
    names = [v.name for v in session.get_inputs() + session.get_overridable_initializers()]
    assert names == ["image"]
    got, = session.run(None, {"image": IMAGES[:1]})
    wanted = OnnxEngine.load(elastic).run({"image": IMAGES[:1]}, text_of(widths))["logits"]
    np.testing.assert_array_equal(got, wanted)
    n_weights = sum(p.numel() for p in extract(vit(), widths).parameters())
    assert weight_bytes(artifact.path) <= 1.03 * 4 * n_weights
    onnx.checker.check_model(artifact.path, full_check=True)


def test_a_frozen_file_says_what_it_is(elastic, tmp_path):
    returned = freeze(elastic, "S", tmp_path / "s.onnx")
    opened = open_artifact(tmp_path / "s.onnx")
    assert opened == returned
    assert not opened.metadata.elastic
    assert opened.metadata.boundaries == ((8,), (8,))
    assert opened.metadata.granularities == {"S": GranularityInfo((8, 8), 0, 0)}
    assert list(opened.metadata.golden.outputs) == ["S"]
    with pytest.raises(FormatError, match="elastic"):
        freeze(opened.path, "S", tmp_path / "again.onnx")


def test_of_a_mix_that_was_not_exported_costs_stay_unknown(elastic, tmp_path):
    info = freeze(elastic, "S+L", tmp_path / "mix.onnx").metadata.granularities["S+L"]
    assert info == GranularityInfo((8, 32), None, None)


def test_a_frozen_file_that_answers_otherwise_is_not_written(elastic, tmp_path, monkeypatch):
    monkeypatch.setattr(freeze_module, "block_counts", lambda *_: np.array([1, 1]))
    with pytest.raises(ComparisonError):
        freeze(elastic, "XL", tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


def test_freezing_loads_no_torch(elastic, tmp_path):
    code = ("import sys; from edge_sdk.freeze import freeze; freeze(*sys.argv[1:]); "
            "sys.exit('torch' in sys.modules)")
    subprocess.run([sys.executable, "-c", code, elastic, "M", tmp_path / "m.onnx"], check=True)


def test_the_command_ends_with_1_on_an_error_and_with_2_on_wrong_usage(elastic, tmp_path):
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "edge_sdk.freeze", *arguments],
                              capture_output=True, text=True, check=False)

    out = tmp_path / "out.onnx"
    done = run(elastic, "--granularity", "12", "--out", out)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("GranularityError: expected")
    assert run(elastic).returncode == 2
    assert not out.exists()
    done = run(elastic, "--granularity", "M", "--out", out)
    assert done.returncode == 0
    assert done.stdout.endswith("ok\n")


def test_int8_leaves_no_ffn_weight_in_fp32(int8):
    engine = OnnxEngine.load(int8)
    for mix in [(8, 8), (16, 32), (64, 64)]:
        wanted = eager(vit(), mix)
        got = engine.run({"image": IMAGES[:1]}, text_of(mix))["logits"]
        assert np.abs(got - wanted).max() <= 0.05 * np.abs(wanted).max()
    shapes = {tuple(p.shape) for ffn in nested_ffns(vit()).values()
              for start, stop in itertools.pairwise((0, *WIDTHS))
              for p in ffn.part(start, stop).parameters() if p.dim() == 2}
    shapes |= {shape[::-1] for shape in shapes}
    fp32 = [t.name for t in onnx.load(int8).graph.initializer
            if t.data_type == onnx.TensorProto.FLOAT and tuple(t.dims) in shapes]
    assert fp32 == []


def test_an_ffn_weight_left_in_fp32_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(to_onnx, "_quantize", lambda proto: proto)
    with pytest.raises(UnsupportedModel, match=r"ffn, block 0"):
        to_onnx.lower(request_for(vit(), "S,XL", quantize="int8"))


def test_freezing_int8_is_bit_equal(int8, tmp_path):
    for name in ("S", "M+XL", "XL"):
        artifact = freeze(int8, name, tmp_path / "frozen.onnx")
        for image in IMAGES[:, None]:
            got = OnnxEngine.load(artifact.path).run({"image": image}, name)["logits"]
            wanted = OnnxEngine.load(int8).run({"image": image}, name)["logits"]
            np.testing.assert_array_equal(got, wanted)


def test_other_quantizations_are_refused():
    with pytest.raises(UnsupportedModel, match="int4"):
        to_onnx.lower(request_for(vit(), "XL", quantize="int4"))
