"""`CoreFFN`: a MatFormer FFN on the core gives what PyTorch gives, at every granularity."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk import _native
from edge_sdk.cascade import CoreFFN, Head
from edge_sdk.errors import (
    CheckpointError,
    CodeError,
    FormatError,
    GranularityError,
    OutputError,
    ShapeError,
    VersionError,
)

FOLDER = Path(__file__).resolve().parent / "vectors"
NAMES = ("S", "M", "L", "XL")
WIDTHS = (3, 8, 20, 64)
N_INPUTS, DIM = 30, 7


def matrices(seed=0, n_inputs=N_INPUTS, dim=DIM, d_ff=WIDTHS[-1]):
    rng = np.random.default_rng(seed)
    shapes = ((d_ff, n_inputs), (d_ff,), (dim, d_ff), (dim,))
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def oracle(parts, x, width):
    """The FFN of the first `width` hidden units, slow and obvious, float64."""
    up, up_bias, down, down_bias = (part.astype(np.float64) for part in parts)
    hidden = np.maximum(x.astype(np.float64) @ up[:width].T + up_bias[:width], 0)
    return hidden @ down[:, :width].T + down_bias


def inputs(n=5, n_inputs=N_INPUTS, seed=1):
    return np.random.default_rng(seed).normal(size=(n, n_inputs)).astype(np.float32)


@pytest.fixture
def ffn():
    return CoreFFN.build(*matrices(), widths=WIDTHS, weights_sha256="ab")


@pytest.fixture
def folder(ffn, tmp_path):
    ffn.save(tmp_path / "layers")
    return tmp_path / "layers"


def reseal(folder, change):
    """Change the manifest and seal it as the writer does."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text("utf-8"))
    del content["seal"]
    change(content)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    content["seal"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(content), "utf-8")


def replace_layer(folder, name, head):
    """Put another layer into the folder, with the digest that belongs to it."""
    head.save(folder / name)
    data = (folder / name).read_bytes()
    entry = {"n_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    reseal(folder, lambda content: content["files"].update({name: entry}))


# --- what it computes ----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_granularity_is_that_of_the_oracle_in_float64(ffn, name):
    assert ffn.granularities == dict(zip(NAMES, WIDTHS, strict=True))
    assert (ffn.n_inputs, ffn.dim, ffn.widths) == (N_INPUTS, DIM, WIDTHS)
    wanted = oracle(matrices(), inputs(), ffn.granularities[name])
    np.testing.assert_allclose(ffn.embed(inputs(), name), wanted, rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(ffn.embed(inputs()[2], name), ffn.embed(inputs(), name)[2:3])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_ffn_is_that_of_the_oracle_and_of_every_instruction_set(data):
    widths = sorted(data.draw(st.sets(st.integers(1, 90), min_size=1, max_size=4)))
    n_inputs, dim = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    seed = data.draw(st.integers(0, 2**32 - 1))
    parts = matrices(seed, n_inputs, dim, widths[-1])
    made, x = CoreFFN.build(*parts, widths=widths), inputs(2, n_inputs, seed)
    assert list(made.granularities) == list(NAMES[-len(widths):])
    best = _native.isa()
    for name, width in made.granularities.items():
        found = made.embed(x, name)
        np.testing.assert_allclose(found, oracle(parts, x, width), rtol=1e-4, atol=1e-4)
        for isa in _native.isas():
            _native.use_isa(isa)
            again = made.embed(x, name)
            _native.use_isa(best)
            assert again.tobytes() == found.tobytes(), isa


def test_hidden_units_beyond_a_granularity_play_no_part():
    parts, x = matrices(), inputs()
    small = CoreFFN.build(*parts, widths=WIDTHS).embed(x, "M")
    for part, rows in zip(parts, (slice(8, None), slice(8, None), (slice(None), slice(8, None))),
                          strict=False):
        part[rows] = 1e9
    np.testing.assert_array_equal(CoreFFN.build(*parts, widths=WIDTHS).embed(x, "M"), small)


def test_a_unit_below_zero_adds_nothing():
    ffn = CoreFFN.build([[1.0], [-1.0]], [0, 0], [[2.0, 5.0]], [0.5], widths=(1, 2))
    assert ffn.granularities == {"L": 1, "XL": 2}
    found = [ffn.embed(np.array([x], np.float32), name).item()
             for x in (3.0, -3.0) for name in ("L", "XL")]
    assert found == [6.5, 6.5, 0.5, 15.5]


def test_a_module_of_torch_is_the_same_at_every_granularity():
    torch = pytest.importorskip("torch")
    from edge_sdk.nn.matformer import NestedFFN, use_widths

    torch.manual_seed(0)
    module = NestedFFN(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
    ffn = CoreFFN.from_module(module)
    assert ffn.granularities == {"S": 32, "M": 64, "L": 128, "XL": 256}
    x = torch.rand(20, 784)
    for name, width in ffn.granularities.items():
        with torch.no_grad(), use_widths(module, [width]):
            wanted = module(x).numpy()
        np.testing.assert_allclose(ffn.embed(x.numpy(), name), wanted, rtol=0, atol=1e-5)


def test_modules_that_are_no_such_ffn_are_refused():
    torch = pytest.importorskip("torch")
    from edge_sdk.nn.matformer import NestedFFN

    gelu = NestedFFN(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    with pytest.raises(ShapeError, match="NestedFFN with GELU"):
        CoreFFN.from_module(gelu)
    bare = NestedFFN(torch.nn.Linear(4, 8, bias=False), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    with pytest.raises(ShapeError, match=r"up\.bias"):
        CoreFFN.from_module(bare)
    with pytest.raises(ShapeError, match="Linear with NoneType"):
        CoreFFN.from_module(torch.nn.Linear(2, 2))


# --- vectors that C, Python and Java share ---------------------------------------------


def load_generator():
    spec = importlib.util.spec_from_file_location("make_ffn", FOLDER / "make_ffn.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


make_ffn = load_generator()


def test_the_committed_vectors_are_those_that_numpy_makes():
    (text,) = make_ffn.files().values()
    assert (FOLDER / "ffn.txt").read_text(encoding="ascii") == text, "run make_ffn.py"
    assert len(text) < 60_000


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("case", list(make_ffn.cases()), ids=lambda case: case.name)
def test_the_core_gives_the_bytes_of_the_vectors(case, isa):
    best, ffn = _native.isa(), CoreFFN.build(*case.matrices(), widths=case.widths)
    for name, width in ffn.granularities.items():
        wanted = np.stack([case.embed(x, width) for x in case.inputs()])
        _native.use_isa(isa)
        found = ffn.embed(case.inputs(), name)
        _native.use_isa(best)
        assert found.tobytes() == wanted.tobytes()


# --- bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(("x", "error"), [
    (np.zeros((2, N_INPUTS - 1), np.float32), ShapeError),
    (np.zeros((2, N_INPUTS)), ShapeError),
    (np.zeros((2, 3, N_INPUTS), np.float32), ShapeError),
    ([0.0] * N_INPUTS, ShapeError),
    (np.full((1, N_INPUTS), np.nan, np.float32), CodeError),
    (np.full((1, N_INPUTS), 1e20, np.float32), CodeError),
])
def test_pixels_of_another_form_and_without_a_value_are_refused(ffn, x, error):
    with pytest.raises(error):
        ffn.embed(x)


@pytest.mark.parametrize("name", ["s", "", "XXL", 32])
def test_an_unknown_granularity_is_refused_in_words(ffn, name):
    with pytest.raises(GranularityError, match="one of S, M, L, XL"):
        ffn.embed(inputs(), name)


@pytest.mark.parametrize("widths", [(), (0, 64), (8, 8, 64), (64, 8), (3, 8, 20), (65,),
                                    (1, 2, 3, 4, 64)])
def test_widths_that_do_not_end_at_all_hidden_units_are_refused(widths):
    with pytest.raises(GranularityError):
        CoreFFN.build(*matrices(), widths=widths)


def test_matrices_that_do_not_fit_and_weights_without_a_value_are_refused():
    up, up_bias, down, down_bias = matrices()
    for bad in ((up, up_bias[:-1], down, down_bias), (up[0], up_bias, down, down_bias),
                (up, up_bias, down[:, :-1], down_bias), (up, up_bias, down, down_bias[:-1])):
        with pytest.raises(ShapeError):
            CoreFFN.build(*bad, widths=WIDTHS)
    up[1, 2] = np.inf
    with pytest.raises(CheckpointError, match="finite"):
        CoreFFN.build(up, up_bias, down, down_bias, widths=WIDTHS)


# --- files ---------------------------------------------------------------------------


def test_what_is_opened_is_what_was_saved(ffn, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "down.mrl", "manifest.json", "up-0.mrl", "up-1.mrl", "up-2.mrl", "up-3.mrl"]
    opened = CoreFFN.open(folder)
    assert (opened.granularities, opened.weights_sha256) == (ffn.granularities, "ab")
    for name in NAMES:
        assert opened.embed(inputs(), name).tobytes() == ffn.embed(inputs(), name).tobytes()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    opened.save(folder)  # over itself
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_manifest_says_what_a_reader_needs(folder):
    content = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert content["granularities"] == dict(zip(NAMES, WIDTHS, strict=True))
    assert (content["n_inputs"], content["dim"], content["activation"]) == (N_INPUTS, DIM, "relu")
    assert content["up"] == [f"up-{i}.mrl" for i in range(4)]
    for name in (*content["up"], content["down"]):
        data = (folder / name).read_bytes()
        assert content["files"][name] == {"n_bytes": len(data),
                                          "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("name", ["down.mrl", "up-0.mrl", "up-3.mrl", "manifest.json"])
def test_a_missing_cut_or_flipped_file_is_refused(folder, tmp_path, name):
    def broken(change):
        bad = tmp_path / "bad"
        shutil.copytree(folder, bad, dirs_exist_ok=True)
        change(bad / name)
        with pytest.raises(FormatError):
            CoreFFN.open(bad)
        shutil.rmtree(bad)

    data = (folder / name).read_bytes()
    broken(lambda path: path.unlink())
    broken(lambda path: path.write_bytes(b""))
    broken(lambda path: path.write_bytes(data[:-2]))  # the last byte may be a line end
    for at in range(0, len(data), max(1, len(data) // 60)):
        # In the manifest some bits are white space or case of no meaning: digits always count.
        if name == "manifest.json" and not chr(data[at]).isdigit():
            continue
        flipped = bytearray(data)
        flipped[at] ^= 1
        broken(lambda path, flipped=flipped: path.write_bytes(bytes(flipped)))


@pytest.mark.parametrize("change", [
    lambda content: content.update(up=["../up-0.mrl"]),
    lambda content: content.update(up=[]),
    lambda content: content.update(up=content["up"][:-1]),
    lambda content: content.update(up=content["up"][::-1]),
    lambda content: content.update(down="up-0.mrl"),
    lambda content: content.update(activation="gelu"),
    lambda content: content.update(n_inputs=31),
    lambda content: content["granularities"].update(S=4),
    lambda content: content.update(files=[]),
    lambda content: content.update(files={}),
    lambda content: content.pop("dim"),
    lambda content: content.update(schema_version="1"),
    lambda content: content.update(down=None),
])
def test_a_sealed_manifest_that_says_something_else_is_refused(folder, change):
    reseal(folder, change)
    with pytest.raises(FormatError):
        CoreFFN.open(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, "\udcff"])
def test_what_is_no_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError):
        CoreFFN.open(folder)


def test_layers_that_do_not_fit_one_another_are_refused(folder):
    up, up_bias, _, _ = matrices()
    replace_layer(folder, "up-1.mrl", Head.build([up[3:9]], [up_bias[3:9]]))
    with pytest.raises(FormatError, match="blocks of hidden units"):
        CoreFFN.open(folder)


def test_a_newer_version_and_an_impossible_folder_are_named(ffn, folder, tmp_path):
    reseal(folder, lambda content: content.update(schema_version=2))
    with pytest.raises(VersionError, match="version 2"):
        CoreFFN.open(folder)
    with pytest.raises(OutputError):
        ffn.save(tmp_path / "absent" / "layers")
    with pytest.raises(FormatError):
        CoreFFN.open(tmp_path / "absent")
