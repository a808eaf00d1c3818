"""The importer of EdgeML's FastGRNN: nothing dropped, nothing guessed, and their numbers."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import reference
from edge_sdk.errors import CheckpointError, ShapeError, UnsupportedModel
from edge_sdk.fastgrnn import Weights
from edge_sdk.fastgrnn.weights import from_module
from edge_sdk.importers.edgeml import NONLINEARITIES, load_edgeml, state_dict, to_module

torch = pytest.importorskip("torch")

D, H, C, RANK_W, RANK_U = 5, 7, 3, 2, 4
MATRICES = ("W", "W1", "W2", "U", "U1", "U2")


def classifier(d=D, h=H, c=C, rank_w=RANK_W, rank_u=RANK_U, seed=0, **cell):
    from edge_sdk.nn.fastgrnn import FastGRNNCell, FastGRNNClassifier

    torch.manual_seed(seed)
    module = FastGRNNClassifier(
        FastGRNNCell(d, h, rank_w=rank_w, rank_u=rank_u, **cell), c)
    for parameter in module.parameters():
        parameter.data.normal_()
    return module


def edgeml_dict(module, layout="cpu", prefix="rnn_list.0.cell.", head="hidden2keyword.") -> dict:
    """The state_dict that EdgeML's classifier would have."""
    tensors = {}
    for name, tensor in module.cell.state_dict().items():
        turned = layout == "cuda" and name in MATRICES
        tensors[prefix + name] = tensor.T.contiguous() if turned else tensor.clone()
    return tensors | {f"{head}{name}": t.clone() for name, t in module.head.state_dict().items()}


def edgeml_folder(path: Path, module, layout="cpu") -> Path:
    """The folder that EdgeML's trainer would write."""
    path.mkdir()
    files = {"bias_gate": "Bg", "bias_update": "Bh"}
    for name, tensor in edgeml_dict(module, layout, prefix="").items():
        if not name.startswith("hidden"):
            np.save(path / f"{files.get(name, name)}.npy", tensor.numpy())
    np.save(path / "FC.npy", module.head.weight.detach().numpy().T)
    np.save(path / "FCbias.npy", module.head.bias.detach().numpy())
    return path


def same(found: Weights, wanted: Weights) -> bool:
    """Every field; zeta and nu to the rounding of a float32 sigmoid."""
    arrays, others = found.arrays(), wanted.arrays()
    others = {name: array for name, array in others.items() if name not in ("mean", "scale")}
    return (arrays.keys() == others.keys()
            and all(np.array_equal(arrays[name], others[name]) for name in arrays)
            and (found.gate, found.update) == (wanted.gate, wanted.update)
            and found.zeta == pytest.approx(wanted.zeta, abs=1e-7)
            and found.nu == pytest.approx(wanted.nu, abs=1e-7))


# ---- round trips ---------------------------------------------------------------------------

@given(d=st.integers(1, 9), h=st.integers(1, 9), c=st.integers(1, 5), low=st.booleans(),
       low_u=st.booleans(), layout=st.sampled_from(["cpu", "cuda"]), seed=st.integers(0, 99),
       gate=st.sampled_from(sorted(NONLINEARITIES)))
@settings(max_examples=60, deadline=None)
def test_what_a_module_holds_comes_back_from_its_edgeml_dict(
        d, h, c, low, low_u, layout, seed, gate):
    module = classifier(d, h, c, max(1, min(d, h) // 2) if low else None,
                        max(1, h // 2) if low_u else None, seed, gate=NONLINEARITIES[gate])
    found = load_edgeml(edgeml_dict(module, layout), layout=layout, gate=gate)
    assert same(found.weights, from_module(module))
    assert found.layout == layout
    assert (found.zeta, found.nu) == (float(module.cell.zeta), float(module.cell.nu))


@given(d=st.integers(1, 9), h=st.integers(1, 9), layout=st.sampled_from(["cpu", "cuda"]))
@settings(max_examples=40, deadline=None)
def test_a_layout_found_by_shapes_is_the_right_one(d, h, layout):
    module = classifier(d, h, 2, None, None)
    try:
        found = load_edgeml(edgeml_dict(module, layout))
    except CheckpointError:
        assert d == h  # nothing to tell by
    else:
        assert d != h
        assert found.layout == layout
        assert same(found.weights, from_module(module))


@pytest.mark.parametrize("layout", ["cpu", "cuda"])
def test_an_imported_module_computes_what_the_first_one_did(layout):
    module = classifier(update="quant_tanh" if layout == "cpu" else "tanh")
    found = load_edgeml(edgeml_dict(module, layout),
                        update="quantTanh" if layout == "cpu" else "tanh")
    x = torch.randn(4, 11, D)
    assert torch.equal(found.module()(x), module(x))


def test_a_cell_without_head_becomes_a_cell():
    module = classifier().cell
    found = load_edgeml(state_dict(from_module(module), prefix="cell."))
    assert found.weights.n_classes == 0
    assert found.prefix == "cell."
    x, h = torch.randn(2, D), torch.randn(2, H)
    assert torch.allclose(found.module()(x, h), module(x, h), atol=1e-6)


@pytest.mark.parametrize("raw", [100.0, -100.0])
def test_scalars_that_saturate_come_back_as_they_were_stored(raw):
    module = classifier()
    module.cell.zeta.data.fill_(raw)
    found = load_edgeml(edgeml_dict(module))
    assert found.weights.zeta == pytest.approx(float(raw > 0))
    assert float(found.module().cell.zeta) == raw
    # From the weights alone it is lost, but finite and of the same effect.
    again = float(torch.sigmoid(to_module(found.weights).cell.zeta))
    assert again == pytest.approx(float(raw > 0), abs=1e-12)


def test_normalization_and_labels_go_into_the_weights_and_the_module():
    module = classifier()
    mean, std = np.arange(D) / 4, np.arange(D) + 0.5
    found = load_edgeml(edgeml_dict(module), mean=mean, std=std, labels=["a", "b", "c"],
                        preprocessing={"log_mel": {}})
    assert found.weights.labels == ("a", "b", "c")
    assert found.module().preprocessing == {"log_mel": {}}
    x = torch.randn(2, 6, D)
    normal = (x - torch.tensor(mean, dtype=torch.float32)) / torch.tensor(std).float()
    assert torch.allclose(found.module()(x), module(normal), atol=1e-5)
    with pytest.raises(UnsupportedModel, match="bare cell"):
        to_module(found.weights.without_head())


# ---- names ---------------------------------------------------------------------------------

@pytest.mark.parametrize("prefix", ["", "cell.", "rnn.", "rnn.cell.", "unrollRNN.RNNCell.",
                                    "module.rnn_list.0.cell.", "unrollRNN._RNNCell."])
def test_every_prefix_in_use_is_found_and_said(prefix):
    module = classifier()
    tensors = edgeml_dict(module, prefix=prefix,
                          head="module.hidden2keyword." if "module" in prefix else "head.")
    found = load_edgeml(tensors)
    assert found.prefix == prefix.removeprefix("module.")
    assert same(found.weights, from_module(module))


def test_the_cell_that_edgeml_saves_under_two_names_is_read_once(tmp_path):
    module = classifier()
    tensors = edgeml_dict(module) | {
        name: t for name, t in edgeml_dict(
            module, prefix="rnn_list.0.unrollRNN.RNNCell.").items() if "rnn" in name}
    torch.save({"state_dict": tensors}, tmp_path / "kws.pt")
    found = load_edgeml(tmp_path / "kws.pt")
    assert found.prefix == "rnn_list.0.cell."
    assert same(found.weights, from_module(module))
    tensors["rnn_list.0.unrollRNN.RNNCell.U1"][0, 0] += 1
    with pytest.raises(CheckpointError, match=r"one cell.*'rnn_list\.0\.cell\.'"):
        load_edgeml(tensors)


def test_two_layers_are_refused_until_one_is_named_and_then_the_rest_is_kept():
    first, second = classifier(), classifier(H, 6, seed=1, rank_w=None)
    tensors = edgeml_dict(second, prefix="rnn_list.1.cell.") | {
        name: t for name, t in edgeml_dict(first).items() if "rnn" in name}
    with pytest.raises(CheckpointError, match="prefix"):
        load_edgeml(tensors)
    found = load_edgeml(tensors, prefix="rnn_list.1.cell")
    assert same(found.weights, from_module(second).without_head())
    assert sorted(found.rest) == sorted(
        name for name in tensors if not name.startswith("rnn_list.1."))
    with pytest.raises(CheckpointError, match=r"rnn_list\.2"):
        load_edgeml(tensors, prefix="rnn_list.2.cell")


def test_the_trainers_own_head_is_not_transposed():
    module = classifier()
    tensors = {name: t for name, t in edgeml_dict(module).items() if "hidden" not in name}
    tensors |= {"FC": module.head.weight.detach().T.contiguous(),
                "FCbias": module.head.bias.detach()}
    assert same(load_edgeml(tensors).weights, from_module(module))


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: t.pop("rnn_list.0.cell.zeta"), "missing zeta"),
    (lambda t: t.pop("rnn_list.0.cell.W2"), "missing W2"),
    (lambda t: [t.pop(f"rnn_list.0.cell.{n}") for n in ("W1", "W2")],
     r"missing W \(or W1 and W2\)"),
    (lambda t: t.pop("rnn_list.0.cell.bias_update"), r"missing bias_update"),
    (lambda t: t.pop("hidden2keyword.bias"), r"missing hidden2keyword\.bias"),
    (lambda t: t.update({"conv.weight": torch.zeros(3)}), r"extra conv\.weight"),
    (lambda t: t.update({"head.weight": torch.zeros(C, H)}), "one linear layer"),
    (lambda t: t.update({"rnn_list.0.cell.W": torch.zeros(D, H)}), "W and W1, W2"),
    (lambda t: t.update({"rnn_list.0.cell.W1": torch.zeros(D, RANK_W + 1)}), r"W1 \[5, 3\]"),
    (lambda t: t.update({"rnn_list.0.cell.U2": torch.zeros(RANK_U, H + 1)}), r"U2 \[4, 8\]"),
    (lambda t: t.update({"rnn_list.0.cell.W1": torch.zeros(D, 6),
                         "rnn_list.0.cell.W2": torch.zeros(6, H)}), "ranks at most"),
    (lambda t: t.update({"rnn_list.0.cell.W1": torch.zeros(D)}), "W1 as a matrix"),
    (lambda t: t.update({"rnn_list.0.cell.W1": torch.zeros(0, RANK_W)}), "W1 as a matrix"),
    (lambda t: t.update({"rnn_list.0.cell.bias_gate": torch.zeros(2, H)}), r"shape \(1, H\)"),
    (lambda t: t.update({"rnn_list.0.cell.bias_update": torch.zeros(1, H + 2)}), "bias_update"),
    (lambda t: t.update({"rnn_list.0.cell.zeta": torch.zeros(1, H)}), "zeta of one number"),
    (lambda t: t["rnn_list.0.cell.U1"].fill_(float("nan")), "NaN or infinity in U1"),
    (lambda t: t["hidden2keyword.weight"].fill_(float("inf")), "infinity in hidden2keyword"),
    (lambda t: t.update({"rnn_list.0.cell.U1": torch.zeros(H, RANK_U, dtype=torch.int8)}),
     "U1 of floats"),
    (lambda t: t.update({"hidden2keyword.weight": torch.zeros(C, H + 1)}), "head"),
    (lambda t: t.clear(), "tensors of a FastGRNN"),
])
def test_what_is_no_fastgrnn_of_edgeml_is_refused_in_words(change, words):
    tensors = edgeml_dict(classifier())
    change(tensors)
    with pytest.raises(CheckpointError, match=words):
        load_edgeml(tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read_as_float32(dtype):
    module = classifier()
    found = load_edgeml({name: t.to(dtype) for name, t in edgeml_dict(module).items()})
    wanted = module.cell.W1.detach().to(dtype).float().numpy()
    assert np.array_equal(found.weights.w[0], wanted)


def test_a_number_too_large_for_float32_is_refused():
    tensors = edgeml_dict(classifier())
    tensors["rnn_list.0.cell.W1"] = torch.full((D, RANK_W), 1e300, dtype=torch.float64)
    with pytest.raises(CheckpointError, match="infinity in W1"):
        load_edgeml(tensors)


# ---- layouts -------------------------------------------------------------------------------

@pytest.mark.parametrize(("written", "asked"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_layout_that_the_shapes_contradict_is_refused(written, asked):
    with pytest.raises(CheckpointError, match=f"(?s)shapes of layout {asked}.*layout='{written}'"):
        load_edgeml(edgeml_dict(classifier(), written), layout=asked)


def test_square_matrices_alone_need_to_be_told_and_the_answer_is_kept():
    module = classifier(H, H, C, None, None)
    with pytest.raises(CheckpointError, match="all matrices are square"):
        load_edgeml(edgeml_dict(module, "cuda"))
    found = load_edgeml(edgeml_dict(module, "cuda"), layout="cuda")
    assert same(found.weights, from_module(module))
    assert found.notices == ("all matrices are square: nothing but `layout` says they are of cuda",)
    # The other answer is another model: nothing could have told.
    other = load_edgeml(edgeml_dict(module, "cuda"), layout="cpu")
    assert not same(other.weights, from_module(module))


@pytest.mark.parametrize("layout", ["cpu", "cuda"])
def test_a_square_u_follows_w_and_that_is_said(layout):
    module = classifier(rank_u=None)
    found = load_edgeml(edgeml_dict(module, layout))
    assert same(found.weights, from_module(module))
    assert found.notices == (f"U is square: taken as {layout}, as the other matrix is",)


def test_factors_of_w_and_u_in_two_layouts_fit_nowhere():
    tensors = edgeml_dict(classifier())
    for name in ("U1", "U2"):
        tensors[f"rnn_list.0.cell.{name}"] = tensors[f"rnn_list.0.cell.{name}"].T
    with pytest.raises(CheckpointError, match="transposes"):
        load_edgeml(tensors)


def test_the_cuda_cell_has_no_update_but_tanh():
    with pytest.raises(CheckpointError, match="CUDA cell computes"):
        load_edgeml(edgeml_dict(classifier(), "cuda"), update="quantTanh")


@pytest.mark.parametrize("argument", [
    {"gate": "swish"}, {"update": "quant_tanh"}, {"layout": "gpu"}, {"scalars": "log"}])
def test_arguments_that_edgeml_does_not_know_are_refused(argument):
    (name, _), = argument.items()
    with pytest.raises(CheckpointError, match=f"`{name}`" if name != "scalars" else "scalars"):
        load_edgeml(edgeml_dict(classifier()), **argument)


def test_the_names_of_non_linearities_are_the_functions_of_those_names():
    x = np.linspace(-3, 3, 13)
    theirs = {"quantTanh": np.clip(x, -1, 1), "quantSigm": np.clip((x + 1) / 2, 0, 1),
              "quantSigm4": np.clip((x + 2) / 4, 0, 1), "relu": np.maximum(x, 0),
              "tanh": np.tanh(x), "sigmoid": 1 / (1 + np.exp(-x))}
    from edge_sdk.nn.fastgrnn import NONLINEARITIES as TORCH

    assert theirs.keys() == NONLINEARITIES.keys()
    for name, wanted in theirs.items():
        ours = NONLINEARITIES[name]
        assert np.allclose(reference.NONLINEARITIES[ours](x), wanted, atol=1e-12)
        assert np.allclose(TORCH[ours](torch.from_numpy(x)).numpy(), wanted, atol=1e-12)


# ---- folders of .npy -----------------------------------------------------------------------

@pytest.mark.parametrize("layout", ["cpu", "cuda"])
@pytest.mark.parametrize("ranks", [(RANK_W, RANK_U), (None, None)])
def test_a_folder_of_the_trainer_gives_the_model(tmp_path, layout, ranks):
    module = classifier(rank_w=ranks[0], rank_u=ranks[1])
    found = load_edgeml(edgeml_folder(tmp_path / "model", module, layout), layout=layout)
    assert same(found.weights, from_module(module))
    assert found.rest == {}


def test_scalars_after_the_sigmoid_are_taken_for_that_only_when_told(tmp_path):
    path = edgeml_folder(tmp_path / "model", classifier())
    np.save(path / "zeta.npy", np.float32(0.75))
    np.save(path / "nu.npy", np.full((1, 1), 0.25, np.float32))
    found = load_edgeml(path, scalars="sigmoid")
    assert (found.weights.zeta, found.weights.nu) == (0.75, 0.25)
    assert found.zeta == pytest.approx(np.log(3))
    assert load_edgeml(path).weights.zeta == pytest.approx(1 / (1 + np.exp(-0.75)))
    np.save(path / "nu.npy", np.float32(-4.0))
    with pytest.raises(CheckpointError, match="after the sigmoid"):
        load_edgeml(path, scalars="sigmoid")


@pytest.mark.parametrize(("change", "words"), [
    (lambda p: (p / "Bg.npy").unlink(), r"missing bias_gate \(Bg\.npy\)"),
    (lambda p: (p / "FCbias.npy").unlink(), r"missing head_bias \(FCbias\.npy\)"),
    (lambda p: (p / "U1.npy").unlink(), "missing U1"),
    (lambda p: np.save(p / "W3.npy", np.zeros((2, 2))), r"extra W3\.npy"),
    (lambda p: np.save(p / "alpha.npy", np.zeros(1)), r"extra alpha\.npy"),
    (lambda p: np.save(p / "qBg.npy", np.zeros(1, np.int8)), "quantizeFastModels"),
    (lambda p: np.save(p / "Bg.npy", np.zeros((1, H), np.int8)), "floats"),
    (lambda p: np.save(p / "Bg.npy", np.array([None] * H), allow_pickle=True), "pickle"),
    (lambda p: (p / "FC.npy").write_bytes((p / "FC.npy").read_bytes()[:-5]), r"FC\.npy"),
    (lambda p: (p / "FC.npy").write_bytes(b""), r"FC\.npy"),
    (lambda p: np.save(p / "mean.npy", np.zeros(D)), r"missing std"),
    (lambda p: [np.save(p / f"{n}.npy", np.ones(D + 1)) for n in ("mean", "std")], "mean and std"),
    (lambda p: [np.save(p / f"{n}.npy", np.zeros(D)) for n in ("mean", "std")], "above 0"),
    (lambda p: [file.unlink() for file in p.glob("*.npy")], "missing"),
])
def test_a_folder_that_is_no_model_is_refused_in_words(tmp_path, change, words):
    path = edgeml_folder(tmp_path / "model", classifier())
    change(path)
    with pytest.raises(CheckpointError, match=words):
        load_edgeml(path)


def test_a_path_to_nothing_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="weights file"):
        load_edgeml(tmp_path / "nothing.pt")


def test_a_mean_of_every_feature_is_part_of_the_weights(tmp_path):
    module = classifier()
    path = edgeml_folder(tmp_path / "model", module)
    np.save(path / "mean.npy", np.arange(D, dtype=np.float64))
    np.save(path / "std.npy", np.full(D, 4.0))
    found = load_edgeml(path)
    assert np.array_equal(found.weights.scale, np.full(D, 0.25, np.float32))
    assert np.array_equal(found.weights.mean, np.arange(D, dtype=np.float32))
    x = np.ones((2, 9, D))
    assert np.array_equal(found.normalize(x), x)


def test_a_mean_of_every_frame_is_applied_before(tmp_path):
    path = edgeml_folder(tmp_path / "model", classifier())
    mean, std = np.arange(3.0 * D), np.arange(3.0 * D) + 1
    np.save(path / "mean.npy", mean)
    np.save(path / "std.npy", std)
    found = load_edgeml(path)
    assert found.weights.mean is None
    x = np.random.default_rng(0).normal(size=(2, 3, D))
    wanted = ((x.reshape(2, -1) - mean) / std).reshape(2, 3, D)
    assert np.allclose(found.normalize(x), wanted, atol=1e-5)
    with pytest.raises(ShapeError, match="frame by frame"):
        found.normalize(x[:, :2])


# ---- a trained model of EdgeML: every state of its C implementation -------------------------

STATES_WITHIN = 2e-6


@pytest.fixture(scope="module")
def usps(data_root) -> dict:
    folder = data_root / "conformance" / "edgeml"
    model = json.loads((folder / "usps_fastgrnn_lr.json").read_text())
    oracle = json.loads((folder / "usps_fastgrnn_lr_oracle.json").read_text())
    sizes = model["defines"]
    d, h, c, t = (sizes[key] for key in
                  ("INPUT_DIMS", "HIDDEN_DIMS", "NUM_CLASSES", "TIME_STEPS"))
    # The C code multiplies matrix by vector: its arrays are the transposes.
    arrays = {"W1": (sizes["USPS_WRANK"], d), "W2": (h, sizes["USPS_WRANK"]),
              "U1": (sizes["USPS_URANK"], h), "U2": (h, sizes["USPS_URANK"])}
    tensors = {name: np.array(model[f"USPS_{name}"], np.float32).reshape(shape)
               for name, shape in arrays.items()}
    return {
        "tensors": tensors, "Bg": np.array(model["USPS_Bg"], np.float32)[None],
        "Bh": np.array(model["USPS_Bh"], np.float32)[None],
        "zeta": np.full((1, 1), model["USPS_sigmoid_zeta"], np.float32),
        "nu": np.full((1, 1), model["USPS_sigmoid_nu"], np.float32),
        "FC": np.array(model["FC_weights"], np.float32).reshape(c, h),
        "FCbias": np.array(model["FCbias"], np.float32),
        "mean": np.array(model["USPS_mean"]), "std": np.array(model["USPS_stdDev"]),
        "frames": np.array(model["input"], np.float32).reshape(-1, t, d),
        "states": np.array(oracle["hidden"]), "scores": np.array(oracle["scores"]),
        "labels": oracle["labels"],
    }


@pytest.fixture(scope="module", params=["state_dict", "folder"])
def trained(request, usps, tmp_path_factory):
    """The USPS model through the importer, as each of the two forms."""
    if request.param == "state_dict":
        tensors = usps["tensors"] | {
            "bias_gate": usps["Bg"], "bias_update": usps["Bh"],
            # A state_dict has them before the sigmoid.
            "zeta": np.log(usps["zeta"] / (1 - usps["zeta"])),
            "nu": np.log(usps["nu"] / (1 - usps["nu"]))}
        state = {f"rnn_list.0.cell.{name}": torch.from_numpy(a) for name, a in tensors.items()}
        state |= {"hidden2keyword.weight": torch.from_numpy(usps["FC"]),
                  "hidden2keyword.bias": torch.from_numpy(usps["FCbias"])}
        return load_edgeml(state, mean=usps["mean"], std=usps["std"])
    path = tmp_path_factory.mktemp("usps")
    arrays = {name: array.T for name, array in usps["tensors"].items()}
    arrays |= {name: usps[name] for name in ("Bg", "Bh", "zeta", "nu", "FCbias", "mean", "std")}
    for name, array in (arrays | {"FC": usps["FC"].T}).items():
        np.save(path / f"{name}.npy", array)
    return load_edgeml(path, scalars="sigmoid")


def test_the_usps_model_is_found_with_its_layout_ranks_and_frame_means(trained):
    assert trained.weights.ranks == (5, 5)
    assert (trained.weights.n_inputs, trained.weights.n_hidden, trained.weights.n_classes) == (
        16, 32, 10)
    assert trained.frame_mean.shape == (16, 16)
    assert trained.weights.zeta == pytest.approx(0.8710977, abs=1e-6)


def test_the_usps_model_has_every_state_of_the_c_code_in_torch(trained, usps):
    x = torch.from_numpy(trained.normalize(usps["frames"]))
    module = trained.module()
    with torch.no_grad():
        states, logits = module.states(x).numpy(), module(x).numpy()
    assert np.abs(states - usps["states"]).max() <= STATES_WITHIN
    assert np.abs(logits - usps["scores"]).max() <= 1e-5
    assert logits.argmax(1).tolist() == usps["labels"]


def test_the_usps_model_has_every_state_of_the_c_code_in_the_oracle(trained, usps):
    for x, states, scores, label in zip(trained.normalize(usps["frames"]), usps["states"],
                                        usps["scores"], usps["labels"], strict=True):
        found, logits = oracle(trained.weights, x)
        assert np.abs(found - states).max() <= STATES_WITHIN
        assert np.abs(logits[-1] - scores).max() <= 1e-5
        assert logits[-1].argmax() == label


def test_the_usps_model_has_every_state_of_the_c_code_in_the_core(trained, usps):
    from edge_sdk.fastgrnn.model import FastGRNN

    core = FastGRNN.build(trained.weights)
    for x, states, scores, label in zip(trained.normalize(usps["frames"]), usps["states"],
                                        usps["scores"], usps["labels"], strict=True):
        assert np.abs(core.states(x) - states).max() <= STATES_WITHIN
        logits = core.run(x)
        assert np.abs(logits - scores).max() <= 1e-5
        assert logits.argmax() == label


def test_without_its_mean_of_every_frame_the_usps_model_is_wrong(trained, usps):
    # Or the test above would not notice that normalization is missing.
    found, _ = oracle(trained.weights, usps["frames"][0])
    assert np.abs(found - usps["states"][0]).max() > 0.1


def oracle(weights: Weights, frames):
    names = {f.name for f in fields(weights)} - {"labels", "preprocessing"}
    return reference.fastgrnn(frames, **{name: getattr(weights, name) for name in names})


# ---- the oracle itself ---------------------------------------------------------------------

@pytest.mark.parametrize("ranks", [(None, None), (2, None), (None, 3), (1, 7)])
@pytest.mark.parametrize(("gate", "update"), [("sigmoid", "tanh"), ("quant_sigmoid4", "relu"),
                                              ("quant_sigmoid", "quant_tanh")])
def test_the_oracle_is_the_torch_module(ranks, gate, update):
    module = classifier(rank_w=ranks[0], rank_u=ranks[1], gate=gate, update=update).double()
    for parameter in module.parameters():
        parameter.data = parameter.data.mul(0.3).float().double()
    module.mean.uniform_()
    module.scale.uniform_(0.5, 2)
    module.mean, module.scale = module.mean.float().double(), module.scale.float().double()
    weights = replace(from_module(module.float()),
                      zeta=float(torch.sigmoid(module.cell.zeta.double())),
                      nu=float(torch.sigmoid(module.cell.nu.double())))
    module = module.double()
    x = torch.randn(13, D, dtype=torch.float64)
    states, logits = oracle(weights, x.numpy())
    with torch.no_grad():
        assert np.allclose(states, module.states(x[None])[0].numpy(), atol=1e-12)
        assert np.allclose(logits[-1], module(x[None])[0].numpy(), atol=1e-12)
        assert np.allclose(logits[4], module(x[None, :5])[0].numpy(), atol=1e-12)


def test_the_oracle_goes_on_from_a_state():
    weights = from_module(classifier())
    x = np.random.default_rng(0).normal(size=(9, D))
    whole, _ = oracle(weights, x)
    names = {f.name for f in fields(weights)} - {"labels", "preprocessing"}
    rest, _ = reference.fastgrnn(x[4:], state=whole[3],
                                 **{name: getattr(weights, name) for name in names})
    assert np.array_equal(rest, whole[4:])
