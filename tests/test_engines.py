"""One conformance test for all engines: the same file contents, the same answers, the same errors.

Every test runs for each engine, for single and elastic files, in fp32 and int8.
"""

from __future__ import annotations

import subprocess
import sys

import conformance
import numpy as np
import pytest

from edge_sdk.engines import engine_class, load
from edge_sdk.errors import FormatError, GranularityError, MissingDependency, ShapeError

if conformance.folder() is None:
    pytest.importorskip("torch")

TARGETS = ("executorch", "litert", "onnx")
HELD = {"single": ("M",), "elastic": ("S", "S+XL", "XL")}
SPELLINGS = {
    "S": ("s", "8", "8,8", "S*2", "8*2", "S+8"),
    "M": ("m", "16", "M+M", "M,16", "16*2"),
    "S+XL": ("8+64", "S,XL", "s , 64", "S*1+XL*1"),
    "XL": ("xl", "64", "64*2", "XL,XL", "XL + 64"),
}
LIBRARIES = {"executorch": ("executorch.runtime",), "litert": ("ai_edge_litert", "tflite_runtime"),
             "onnx": ("onnxruntime",)}

ENGINES = [(target, kind, quantize) for target in TARGETS for kind in HELD
           for quantize in ("none", "int8")]


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def exported(request, artifact):
    return artifact(*request.param)


@pytest.fixture(scope="module")
def kind(exported):
    return "elastic" if exported.metadata.elastic else "single"


@pytest.fixture(scope="module")
def engine(exported):
    return load(exported.path)


@pytest.fixture(scope="module")
def images():
    return conformance.images()


def logits(engine, image, *granularity):
    return engine.run({"image": image[None]}, *granularity)["logits"]


def test_outputs_match_eager_mode_at_every_granularity(engine, kind, images):
    assert engine.granularities == HELD[kind]
    for name in HELD[kind]:
        want = conformance.logits(engine.metadata.granularities[name].widths, images)
        got = np.concatenate([logits(engine, image, name) for image in images])
        if engine.metadata.quantization == "none":
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
        else:
            assert np.abs(got - want).max() < 0.1 * np.abs(want).max()
            assert (got.argmax(-1) == want.argmax(-1)).mean() >= 0.9


def test_the_granularities_of_one_file_answer_differently(engine, kind, images):
    answers = [logits(engine, images[0], name) for name in HELD[kind]]
    for i, one in enumerate(answers):
        for other in answers[i + 1:]:
            assert np.abs(one - other).max() > 1e-2


def test_names_shapes_and_dtypes_are_those_of_the_metadata(engine, kind, images):
    assert [spec.name for spec in engine.metadata.inputs] == ["image"]
    assert engine.metadata.inputs[0].shape == (1, 1, 8, 8)
    for name in HELD[kind]:
        outputs = engine.run({"image": images[:1]}, name)
        assert list(outputs) == [spec.name for spec in engine.metadata.outputs] == ["logits"]
        for spec in engine.metadata.outputs:
            assert outputs[spec.name].shape == spec.shape == (1, 10)
            assert outputs[spec.name].dtype == np.dtype(spec.dtype) == np.float32


def test_the_default_granularity_is_the_largest(engine, images):
    infos = engine.metadata.granularities
    largest = max(infos, key=lambda name: sum(infos[name].widths))
    np.testing.assert_array_equal(logits(engine, images[0]), logits(engine, images[0], largest))


def test_every_spelling_of_a_granularity_gives_the_same_answer(engine, kind, images):
    for name in HELD[kind]:
        want = logits(engine, images[0], name)
        for spelling in SPELLINGS[name]:
            np.testing.assert_array_equal(logits(engine, images[0], spelling), want, spelling)


def test_running_another_granularity_or_case_between_leaves_no_trace(engine, kind, images):
    small, large = HELD[kind][0], HELD[kind][-1]
    before = logits(engine, images[0], small), logits(engine, images[1], large)
    for _ in range(3):
        np.testing.assert_array_equal(logits(engine, images[0], small), before[0])
        np.testing.assert_array_equal(logits(engine, images[1], large), before[1])


def test_two_engines_on_one_file_agree(engine, exported, kind, images):
    other = load(exported.path)
    for name in HELD[kind]:
        np.testing.assert_array_equal(logits(other, images[0], name),
                                      logits(engine, images[0], name))


def test_two_threads_answer_as_one(engine, exported, images):
    if exported.metadata.target == "executorch":
        pytest.skip("its thread pool is the process's: see the test of its own below")
    other = load(exported.path, threads=2)
    np.testing.assert_allclose(logits(other, images[0]), logits(engine, images[0]),
                               rtol=0, atol=1e-5)


def test_outputs_are_copies_that_the_next_call_does_not_overwrite(engine, images):
    first = logits(engine, images[0])
    kept = first.copy()
    second = logits(engine, images[1])
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(second, kept)
    first[:] = 0  # and the caller may write to them
    np.testing.assert_array_equal(logits(engine, images[0]), kept)


def test_inputs_are_left_as_they_were_and_may_be_read_only(engine, images):
    image = images[:1].copy()
    image.flags.writeable = False
    first = engine.run({"image": image})["logits"]
    np.testing.assert_array_equal(image, images[:1])
    np.testing.assert_array_equal(first, logits(engine, images[0]))


def test_an_input_that_is_a_strided_view_is_read_as_what_it_shows(engine, images):
    view = np.ascontiguousarray(images[:1].transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert not view.flags.c_contiguous
    np.testing.assert_array_equal(engine.run({"image": view})["logits"],
                                  logits(engine, images[0]))


@pytest.mark.parametrize("wrong", [
    pytest.param(lambda x: {"image": x[:, :, :7]}, id="one row too few"),
    pytest.param(lambda x: {"image": x.tolist()}, id="a list"),
    pytest.param(lambda x: {"image": None}, id="nothing"),
    pytest.param(lambda x: {"image": x[0]}, id="no batch axis"),
    pytest.param(lambda x: {"image": np.concatenate([x, x])}, id="two cases"),
    pytest.param(lambda x: {"image": x[:0]}, id="no case"),
    pytest.param(lambda x: {"image": x.reshape(1, 1, 64)}, id="as many values, another shape"),
    pytest.param(lambda x: {"image": x.astype(np.float64)}, id="float64"),
    pytest.param(lambda x: {"image": x.astype(np.uint8)}, id="uint8"),
    pytest.param(lambda x: {"image": x.astype(">f4")}, id="another byte order"),
    pytest.param(lambda x: {}, id="missing"),
    pytest.param(lambda x: {"picture": x}, id="another name"),
    pytest.param(lambda x: {"image": x, "widths": np.array([1, 1])}, id="extra"),
])
def test_an_input_that_is_not_as_the_metadata_says_is_a_shape_error(engine, images, wrong):
    with pytest.raises(ShapeError, match=r"(?s)expected .*hint: "):
        engine.run(wrong(images[:1]))
    assert np.isfinite(logits(engine, images[0])).all()  # and the engine still answers


@pytest.mark.parametrize("name", ["", "XXL", "S+S+S", "S*3", "0", "65", "-8", "17+64", "S+", "8.0"])
def test_a_granularity_that_does_not_exist_is_a_granularity_error(engine, images, name):
    with pytest.raises(GranularityError, match=r"(?s)expected .*hint: "):
        logits(engine, images[0], name)


def test_a_granularity_of_the_model_that_the_file_does_not_hold_is_a_granularity_error(
    engine, kind, images,
):
    # Of an elastic .onnx any mix of trained widths runs, see test_onnx_elastic.py.
    absent = {"single": "XL", "elastic": "M+9"}[kind]
    with pytest.raises(GranularityError, match="--elastic"):
        logits(engine, images[0], absent)


def test_a_file_for_another_engine_is_refused_by_name(exported):
    for target in TARGETS:
        if target != exported.metadata.target:
            with pytest.raises(FormatError, match=f"for {target}, got {exported.metadata.target}"):
                engine_class(target).load(exported.path)


@pytest.mark.parametrize("target", TARGETS)
def test_an_engine_that_is_not_installed_names_the_extra(artifact, monkeypatch, target):
    path = artifact(target).path
    for module in LIBRARIES[target]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency) as error:
        load(path)
    assert error.value.hint == f"pip install 'edge-inference-sdk[{target}]'"


def test_there_is_no_engine_for_an_unknown_target():
    with pytest.raises(FormatError, match="executorch, litert, onnx, got 'tpu'"):
        engine_class("tpu")


def test_executorch_engines_of_several_thread_counts_run_or_are_refused(artifact):
    script = """
import sys
import numpy as np
from edge_sdk.engines import load
from edge_sdk.errors import EdgeError

image = {"image": np.ones((1, 1, 8, 8), np.float32)}
engines = [load(sys.argv[1])]
want = engines[0].run(image)["logits"]
for i in range(30):
    try:
        engines.append(load(sys.argv[1], threads=2 - i % 2))
    except EdgeError:
        continue
    for engine in engines:
        np.testing.assert_allclose(engine.run(image)["logits"], want, rtol=0, atol=1e-5)
"""
    done = subprocess.run([sys.executable, "-c", script, artifact("executorch").path],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
