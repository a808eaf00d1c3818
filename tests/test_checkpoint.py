"""Weights files: what fits is loaded whole, what does not is named, tensor by tensor."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from edge_sdk.checkpoint import (  # noqa: E402
    load_weights,
    model_digest,
    read_metadata,
    save_weights,
)
from edge_sdk.errors import CheckpointError, OutputError  # noqa: E402


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def state(seed=1):
    return {name: tensor.clone() for name, tensor in model(seed).state_dict().items()}


def refusal(path, target=None):
    """Return the error of loading `path`, after checking that it changed nothing."""
    target = target or model()
    before = model_digest(target)
    with pytest.raises(CheckpointError) as caught:
        load_weights(target, path)
    assert model_digest(target) == before
    assert str(path) in str(caught.value)
    assert "hint: " in str(caught.value)
    return str(caught.value)


WRAPPED = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s, "optimizer": {"lr": 0.1}},
    "ddp": lambda s: {f"module.{name}": tensor for name, tensor in s.items()},
    "state_dict_ddp": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_torch_file_loads_in_every_wrapping(tmp_path, wrap):
    torch.save(wrap(state()), tmp_path / "w.pt")
    target = model()
    load_weights(target, tmp_path / "w.pt")
    assert model_digest(target) == model_digest(model(1))


def test_an_old_torch_file_without_a_zip_loads(tmp_path):
    torch.save(state(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    target = model()
    load_weights(target, tmp_path / "w.pt")
    assert model_digest(target) == model_digest(model(1))


def test_a_ddp_prefix_is_stripped_from_safetensors_too_and_the_file_name_tells_nothing(tmp_path):
    save_file(WRAPPED["ddp"](state()), tmp_path / "w.bin")
    target = model()
    load_weights(target, tmp_path / "w.bin")
    assert model_digest(target) == model_digest(model(1))


def test_a_model_whose_own_names_start_with_module_keeps_them(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.module = model(seed)

    torch.save(Wrapped(1).state_dict(), tmp_path / "w.pt")
    target = Wrapped(0)
    load_weights(target, tmp_path / "w.pt")
    assert model_digest(target.module) == model_digest(model(1))


def test_save_and_load_return_the_same_weights_digest_and_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    digest = save_weights(model(1), path, {"recipe": "x", "seed": 1})
    target = model()
    load_weights(target, path)
    assert model_digest(target) == digest
    assert read_metadata(path) == {"recipe": "x", "seed": "1", "weights_sha256": digest}
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]


def test_saving_to_a_missing_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError):
        save_weights(model(), tmp_path / "no" / "w.safetensors", {})


def test_half_precision_fills_a_float32_model(tmp_path):
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state().items()},
               tmp_path / "w.pt")
    target = model()
    load_weights(target, tmp_path / "w.pt")
    assert target[0].weight.dtype == torch.float32
    torch.testing.assert_close(target[0].weight, model(1)[0].weight, atol=1e-3, rtol=1e-3)


def test_a_tied_tensor_may_be_absent_when_its_twin_is_there(tmp_path):
    def tied(seed):
        torch.manual_seed(seed)
        pair = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
        pair["b"].weight = pair["a"].weight
        return pair

    weights = tied(1).state_dict()
    del weights["b.weight"]
    torch.save(weights, tmp_path / "w.pt")
    target = tied(0)
    load_weights(target, tmp_path / "w.pt")
    assert model_digest(target) == model_digest(tied(1))
    del weights["a.weight"]
    torch.save(weights, tmp_path / "w.pt")
    message = refusal(tmp_path / "w.pt", tied(0))
    assert "missing a.weight, missing b.weight" in message


def test_a_tensor_without_elements_is_missed_too(tmp_path):
    target = nn.Linear(0, 3)
    torch.save({"bias": torch.zeros(3)}, tmp_path / "w.pt")
    assert "missing weight" in refusal(tmp_path / "w.pt", target)


def test_missing_extra_and_misshaped_tensors_are_all_named_at_once(tmp_path):
    weights = state()
    del weights["2.bias"]
    weights["head.weight"] = torch.zeros(2)
    weights["0.weight"] = torch.zeros(4, 5)
    torch.save(weights, tmp_path / "w.pt")
    message = refusal(tmp_path / "w.pt")
    assert "missing 2.bias" in message
    assert "extra head.weight" in message
    assert "0.weight of shape [4, 5] instead of [4, 3]" in message


def test_a_tensor_of_integers_for_a_parameter_is_named(tmp_path):
    weights = state() | {"0.bias": torch.zeros(4, dtype=torch.int64)}
    torch.save(weights, tmp_path / "w.pt")
    assert "0.bias of torch.int64 instead of torch.float32" in refusal(tmp_path / "w.pt")


def test_a_value_that_is_no_tensor_is_named(tmp_path):
    torch.save(state() | {"0.bias": [1.0, 2.0]}, tmp_path / "w.pt")
    assert "0.bias is no tensor but list" in refusal(tmp_path / "w.pt")


def test_nan_and_infinity_are_named_and_counted(tmp_path):
    weights = state()
    weights["0.bias"][1] = float("nan")
    weights["1.running_var"][:2] = float("inf")
    torch.save(weights, tmp_path / "w.pt")
    message = refusal(tmp_path / "w.pt")
    assert "0.bias with 1 NaN and 0 infinite of 4 values" in message
    assert "1.running_var with 0 NaN and 2 infinite of 4 values" in message


def test_a_number_that_overflows_the_models_dtype_is_not_finite(tmp_path):
    weights = state()
    weights["0.bias"] = torch.full((4,), 1e300, dtype=torch.float64)
    torch.save(weights, tmp_path / "w.pt")
    assert "0.bias with 0 NaN and 4 infinite" in refusal(tmp_path / "w.pt")


def test_eight_faults_are_named_and_the_rest_counted(tmp_path):
    extra = {f"extra{i:02d}": torch.zeros(1) for i in range(11)}
    torch.save(state() | extra, tmp_path / "w.pt")
    message = refusal(tmp_path / "w.pt")
    assert "extra07, and 3 more" in message
    assert "extra08" not in message


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(state(), path)
    else:
        save_weights(model(1), path, {})
    whole = path.read_bytes()
    for size in (0, 1, 8, 9, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refusal(path)


def test_a_flipped_byte_in_our_own_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(model(1), path, {})
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    assert "weights of digest" in refusal(path)


def test_another_kind_of_file_a_folder_and_no_file_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"GGUF" + bytes(100))
    assert "a .safetensors or torch .pt file" in refusal(path)
    refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "absent.pt")


def test_a_pickled_model_is_refused_without_running_it(tmp_path):
    torch.save(model(), tmp_path / "w.pt")
    assert "save the state_dict, not the model" in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), {1: torch.zeros(2)}],
                         ids=["list", "tensor", "numbered"])
def test_a_torch_file_without_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    assert "expected tensors by name" in refusal(tmp_path / "w.pt")
