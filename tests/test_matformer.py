"""Nested FFNs: a slice is a mask, an extract is a slice, and blocks sum to an extract.

`masked` below is the second, independent statement of what a width means: the whole
model with the units past the width zeroed by hooks.
"""

from __future__ import annotations

import contextlib
import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edge_sdk import reference
from edge_sdk.errors import GranularityError, NestingError, ShapeError
from edge_sdk.exporters.passes.blocks import to_blocks
from edge_sdk.nn.matformer import (
    GLU,
    RATIOS,
    MatMLP,
    MatViT,
    Nested,
    NestedFFN,
    NestedGLU,
    extract,
    joint_loss,
    nested_ffns,
    sample_widths,
    trained_widths,
    use_widths,
)

torch.set_num_threads(1)
ACTIVATIONS = {"relu": (nn.ReLU, reference.relu), "gelu": (nn.GELU, reference.gelu),
               "silu": (nn.SiLU, reference.silu)}
D_FF = 48
LAYERS = 3
S, M, L, XL = ([int(ratio * D_FF)] * LAYERS for ratio in RATIOS.values())


class GatedBlock(nn.Module):
    """A residual layer around a NestedGLU, so that gated models are tested as well."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.ffn = NestedGLU(nn.Linear(d_model, d_ff, bias=False), nn.Linear(d_model, d_ff),
                             nn.SiLU(), nn.Linear(d_ff, d_model))

    def forward(self, x):
        return x + self.ffn(self.norm(x))


def vit():
    torch.manual_seed(1)
    return MatViT(image_size=8, channels=1, patch=4, d_model=16, n_layers=LAYERS, n_heads=2,
                  d_ff=D_FF, head=nn.Linear(16, 5)).eval()


def gated():
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16),
                         *(GatedBlock(16, D_FF) for _ in range(LAYERS)), nn.Linear(16, 5)).eval()


MODELS = {"vit": vit(), "gated": gated()}
IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(5))
models = pytest.mark.parametrize("kind", MODELS)


@contextlib.contextmanager
def masked(model, widths):
    """Run `model` at full width, hidden units >= width zeroed after the activation."""
    hooks = []
    for ffn, width in zip(nested_ffns(model).values(), widths, strict=True):
        assert ffn.width == ffn.d_ff
        keep = (torch.arange(ffn.d_ff) < width).float()
        hooks.append(ffn.activation.register_forward_hook(lambda _m, _x, y, keep=keep: y * keep))
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


def random_mixes(n):
    draw = random.Random(0)
    return [[draw.choice([6, 12, 24, 48]) for _ in range(LAYERS)] for _ in range(n)]


WIDTHS = [S, M, L, XL, *random_mixes(3), [1, 7, 31], [9, 48, 6]]


# --- one FFN ---------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_nested_ffn_at_any_width_equals_the_masked_float64_oracle(data):
    d_in, d_ff, d_out = (data.draw(st.integers(1, n)) for n in (9, 20, 9))
    width = data.draw(st.integers(1, d_ff))
    make, activation = ACTIVATIONS[data.draw(st.sampled_from(sorted(ACTIVATIONS)))]
    up_bias, down_bias = data.draw(st.booleans()), data.draw(st.booleans())
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    ffn = NestedFFN(nn.Linear(d_in, d_ff, bias=up_bias), make(),
                    nn.Linear(d_ff, d_out, bias=down_bias)).double()
    x = torch.randn(2, 3, d_in, dtype=torch.float64)
    with torch.no_grad(), use_widths(ffn, [width]):
        got = ffn(x).numpy()
    expected = reference.masked_ffn(
        x.numpy(), ffn.up.weight.detach().numpy(),
        ffn.up.bias.detach().numpy() if up_bias else None,
        ffn.down.weight.detach().numpy(), ffn.down.bias.detach().numpy() if down_bias else None,
        width=width, activation=activation,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_nested_glu_at_any_width_equals_the_masked_float64_oracle(data):
    d_in, d_ff, d_out = (data.draw(st.integers(1, n)) for n in (9, 20, 9))
    width = data.draw(st.integers(1, d_ff))
    make, activation = ACTIVATIONS[data.draw(st.sampled_from(sorted(ACTIVATIONS)))]
    gate_bias, up_bias, down_bias = (data.draw(st.booleans()) for _ in range(3))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    glu = NestedGLU(nn.Linear(d_in, d_ff, bias=gate_bias), nn.Linear(d_in, d_ff, bias=up_bias),
                    make(), nn.Linear(d_ff, d_out, bias=down_bias)).double()
    x = torch.randn(2, 3, d_in, dtype=torch.float64)
    with torch.no_grad(), use_widths(glu, [width]):
        got = glu(x).numpy()
    weights = {f"{role}_{part}": None if p is None else p.detach().numpy()
               for role in ("gate", "up", "down")
               for part, p in (("weight", getattr(glu, role).weight),
                               ("bias", getattr(glu, role).bias))}
    expected = reference.masked_glu(x.numpy(), **weights, width=width, activation=activation)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_oracle_activations_are_torchs_in_float64(name):
    x = torch.linspace(-40, 40, 401, dtype=torch.float64)
    make, activation = ACTIVATIONS[name]
    np.testing.assert_allclose(activation(x.numpy()), make()(x).numpy(), rtol=1e-12, atol=1e-14)


def test_the_oracle_imports_no_torch():
    with open(reference.__file__, encoding="utf-8") as source:
        imports = [line for line in source if line.startswith(("import", "from"))]
    assert not any("torch" in line for line in imports)


def test_default_widths_are_an_eighth_a_quarter_a_half_and_all():
    assert [widths[0] for widths in (S, M, L, XL)] == [6, 12, 24, 48]
    assert trained_widths(MODELS["vit"]) == [(6, 12, 24, 48)] * LAYERS


@pytest.mark.parametrize("cuts", [(6,), (1, 2, 3), (6, 12, 24)])
def test_the_parts_of_a_partition_sum_to_the_whole_and_the_first_has_the_bias(cuts):
    x = torch.randn(3, 16)
    for model in MODELS.values():
        ffn = next(iter(nested_ffns(model).values()))
        ends = [*cuts, D_FF]
        parts = [ffn.part(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        with torch.no_grad():
            torch.testing.assert_close(sum(part(x) for part in parts), ffn(x))
        linears = [[m for m in part.modules() if isinstance(m, nn.Linear)] for part in parts]
        # In the order of the children, the last Linear is `down`.
        assert [linear[-1].bias is not None for linear in linears] == [True] + [False] * len(cuts)


def test_dropout_between_activation_and_down_works_in_training_only():
    torch.manual_seed(0)
    ffn = NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4), dropout=nn.Dropout(0.5))
    x = torch.randn(32, 4)
    assert not torch.equal(ffn(x), ffn(x))
    ffn.eval()
    assert torch.equal(ffn(x), ffn(x))


# --- extract ---------------------------------------------------------------------------


@models
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_an_extract_equals_the_masked_universal_model(kind, widths):
    model = MODELS[kind]
    small = extract(model, widths)
    with torch.no_grad():
        with masked(model, widths):
            expected = model(IMAGES)
        torch.testing.assert_close(small(IMAGES), expected, rtol=0, atol=1e-6)
        with use_widths(model, widths):
            torch.testing.assert_close(model(IMAGES), expected, rtol=0, atol=1e-6)
        if widths != XL:
            assert (model(IMAGES) - expected).abs().max() > 1e-3  # the mask did something


@models
@pytest.mark.parametrize("widths", [S, [9, 48, 6]], ids=str)
def test_an_extract_is_an_ordinary_small_model(kind, widths):
    model = MODELS[kind]
    small = extract(model, widths)
    assert not any(isinstance(m, Nested) for m in small.modules())
    ffns = [small.get_submodule(name) for name in nested_ffns(model)]
    assert {type(ffn) for ffn in ffns} == {nn.Sequential if kind == "vit" else GLU}
    inner = {type(m) for ffn in ffns for m in ffn.children()}
    assert inner <= {nn.Linear, nn.GELU, nn.SiLU}
    assert not small.training

    def n_ffn(m):
        return sum(p.numel() for name in nested_ffns(model)
                   for p in m.get_submodule(name).parameters())

    kept = sum(widths) / (LAYERS * D_FF)
    down_biases = LAYERS * 16
    assert n_ffn(small) - down_biases == pytest.approx(kept * (n_ffn(model) - down_biases))
    if widths == S:
        assert n_ffn(small) < n_ffn(model) / 6


@models
def test_the_universal_model_is_untouched_by_an_extract_and_by_training_it(kind):
    model = copy.deepcopy(MODELS[kind])
    model.train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    small = extract(model, M)
    with torch.no_grad():
        for p in small.parameters():
            p.fill_(7.0)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [ffn.width for ffn in nested_ffns(model).values()] == XL
    assert model.training


def test_one_ffn_alone_can_be_extracted():
    ffn = NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4))
    small = extract(ffn, [3])
    assert isinstance(small, nn.Sequential)
    assert small[0].out_features == 3


# --- blocks ----------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.data())
def test_blocks_sum_to_the_extract_for_any_boundaries(kind, data):
    model = MODELS[kind]
    boundaries = [sorted(data.draw(st.sets(st.integers(1, D_FF), min_size=1, max_size=5)))
                  for _ in range(LAYERS)]
    widths = [data.draw(st.sampled_from(cuts)) for cuts in boundaries]
    with torch.no_grad():
        torch.testing.assert_close(to_blocks(model, widths, boundaries)(IMAGES),
                                   extract(model, widths)(IMAGES), rtol=0, atol=1e-5)


@models
def test_the_blocks_of_s_are_byte_for_byte_the_first_blocks_of_xl(kind):
    model = MODELS[kind]
    boundaries = [(6, 12, 24, 48)] * LAYERS
    small, large = (to_blocks(model, widths, boundaries).state_dict() for widths in (S, XL))
    assert small.keys() < large.keys()
    for name, tensor in small.items():
        assert tensor.is_contiguous()
        assert tensor.numpy().tobytes() == large[name].numpy().tobytes()


def test_a_width_that_is_no_boundary_is_refused():
    with pytest.raises(GranularityError, match="among the block boundaries") as caught:
        to_blocks(MODELS["vit"], M, [(6, 48)] * LAYERS)
    assert caught.value.hint


# --- widths ----------------------------------------------------------------------------


@models
def test_use_widths_restores_the_widths_also_after_an_exception(kind):
    model = MODELS[kind]
    ffns = list(nested_ffns(model).values())

    def fail_at_s():
        with use_widths(model, S):
            assert [ffn.width for ffn in ffns] == S
            raise ZeroDivisionError

    with use_widths(model, L):
        with pytest.raises(ZeroDivisionError):
            fail_at_s()
        assert [ffn.width for ffn in ffns] == L
    assert [ffn.width for ffn in ffns] == XL


@pytest.mark.parametrize("run", [extract, lambda m, w: use_widths(m, w).__enter__(),
                                 lambda m, w: to_blocks(m, w, [w] * LAYERS)],
                         ids=["extract", "use_widths", "to_blocks"])
@pytest.mark.parametrize(("widths", "expected", "got"), [
    ([6, 6], "3 widths, one for each layer", "2"),
    ([6] * 4, "3 widths, one for each layer", "4"),
    ([], "3 widths, one for each layer", "0"),
    ([6, 0, 6], "a width in 1..48", "0"),
    ([6, 6, -1], "a width in 1..48", "-1"),
    ([49, 6, 6], "a width in 1..48", "49"),
])
def test_widths_that_do_not_fit_the_model_are_refused(run, widths, expected, got):
    model = MODELS["vit"]
    with pytest.raises(GranularityError) as caught:
        run(model, widths)
    assert (caught.value.expected, caught.value.got) == (expected, got)
    assert caught.value.hint
    assert [ffn.width for ffn in nested_ffns(model).values()] == XL


@pytest.mark.parametrize("widths", [(4, 2, 16), (2, 2, 16), (0, 16), (4, 8), (4, 16, 32)])
def test_trained_widths_that_do_not_grow_to_d_ff_are_refused(widths):
    with pytest.raises(GranularityError, match=r"grow from 1 up and end at d_ff=16") as caught:
        NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4), widths=widths)
    assert caught.value.where == "`widths`"


@pytest.mark.parametrize("run", [
    nested_ffns, trained_widths, lambda m: extract(m, [4]), lambda m: joint_loss(m, lambda: None),
    lambda m: sample_widths(m, torch.Generator()), lambda m: use_widths(m, [4]).__enter__(),
], ids=["nested_ffns", "trained_widths", "extract", "joint_loss", "sample_widths", "use_widths"])
def test_a_model_without_nested_ffns_is_refused_and_pointed_to_nest(run):
    with pytest.raises(NestingError, match="NestedFFN or NestedGLU") as caught:
        run(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)))
    assert "nest(model)" in caught.value.hint
    assert caught.value.where == "Sequential"


# --- training --------------------------------------------------------------------------


def loss_of(model):
    return F.cross_entropy(model(IMAGES), torch.tensor([0, 1, 2, 3]))


@models
@pytest.mark.parametrize("lambdas", [None, [0.1, 0.2, 0.3, 0.4]])
def test_the_joint_loss_is_the_sum_over_the_trained_sizes(kind, lambdas):
    model = copy.deepcopy(MODELS[kind])
    joint = joint_loss(model, lambda: loss_of(model), lambdas=lambdas)
    expected = 0.0
    for lambda_i, widths in zip(lambdas or [0.25] * 4, (S, M, L, XL), strict=True):
        with masked(model, widths):
            expected += lambda_i * loss_of(model).item()
    assert joint.item() == pytest.approx(expected, rel=1e-5)
    joint.backward()
    assert all(p.grad is not None for p in model.parameters())


@models
def test_the_joint_gradient_is_the_sum_of_the_gradients_of_masked_models(kind):
    model = copy.deepcopy(MODELS[kind])
    joint_loss(model, lambda: loss_of(model)).backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for widths in (S, M, L, XL):
        with masked(model, widths):
            (loss_of(model) / 4).backward()
    for p, grad in zip(model.parameters(), got, strict=True):
        torch.testing.assert_close(grad, p.grad, rtol=1e-4, atol=1e-6)


@models
def test_units_beyond_s_get_no_gradient_from_the_loss_of_s(kind):
    model = copy.deepcopy(MODELS[kind])
    joint_loss(model, lambda: loss_of(model), lambdas=[1, 0, 0, 0]).backward()
    for ffn in nested_ffns(model).values():
        for linear in [ffn.up, *([ffn.gate] if kind == "gated" else [])]:
            assert linear.weight.grad[:6].abs().amax(1).min() > 0
            assert linear.weight.grad[6:].abs().max() == 0
            if linear.bias is not None:
                assert linear.bias.grad[6:].abs().max() == 0
        assert ffn.down.weight.grad[:, :6].abs().amax(0).min() > 0
        assert ffn.down.weight.grad[:, 6:].abs().max() == 0
        assert ffn.down.bias.grad.abs().min() > 0


def test_lambdas_that_do_not_match_the_sizes_are_refused():
    with pytest.raises(ShapeError, match="4 lambdas") as caught:
        joint_loss(MODELS["vit"], lambda: torch.zeros(()), lambdas=[1, 2])
    assert (caught.value.got, caught.value.where) == ("2 lambdas", "`lambdas`")


def test_layers_of_unlike_sizes_have_no_joint_loss():
    model = nn.Sequential(
        NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4), widths=[8, 16]),
        NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4)))
    with pytest.raises(ShapeError, match="trained widths in every layer"):
        joint_loss(model, lambda: torch.zeros(()))


def draws(n=200, **options):
    generator = torch.Generator().manual_seed(11)
    return [tuple(sample_widths(MODELS["vit"], generator, **options)) for _ in range(n)]


def test_sampled_widths_are_the_trained_ones_alike_in_every_layer():
    assert set(draws()) == {tuple(widths) for widths in (S, M, L, XL)}


def test_sampled_widths_can_differ_between_layers():
    found = set(draws(per_layer=True))
    assert {width for widths in found for width in widths} == {6, 12, 24, 48}
    assert any(len(set(widths)) > 1 for widths in found)


def test_sampled_widths_keep_to_the_sizes_asked_for():
    assert {w for widths in draws(per_layer=True, indices=[1, 3]) for w in widths} == {12, 48}
    assert set(draws(indices=[0])) == {tuple(S)}


@pytest.mark.parametrize("per_layer", [False, True])
def test_sampled_widths_repeat_with_the_seed(per_layer):
    assert draws(per_layer=per_layer) == draws(per_layer=per_layer)


# --- MatViT ----------------------------------------------------------------------------


def test_matvit_in_training_and_in_eval_computes_the_same():
    model = copy.deepcopy(MODELS["vit"])
    with torch.no_grad():
        evaluated = model(IMAGES)
        trained = model.train()(IMAGES)
    torch.testing.assert_close(trained, evaluated, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("options", "where"), [({"n_heads": 3}, "`n_heads`"),
                                                ({"patch": 3}, "`patch`")])
def test_a_matvit_whose_parts_do_not_divide_is_refused(options, where):
    shape = {"image_size": 8, "channels": 1, "patch": 4, "d_model": 16, "n_layers": 1,
             "n_heads": 2, "d_ff": 16, "head": nn.Identity()}
    with pytest.raises(ShapeError) as caught:
        MatViT(**(shape | options))
    assert caught.value.where == where


def test_an_mlp_of_its_first_hidden_units_is_that_of_the_oracle():
    torch.manual_seed(0)
    model = MatMLP(image_size=4, channels=2, d_ff=16, d_embedding=5, head=nn.Linear(5, 3)).eval()
    image = torch.randn(6, 2, 4, 4)
    assert trained_widths(model) == [(2, 4, 8, 16)]
    up, down, head = model.ffn.up, model.ffn.down, model.head
    for width in model.ffn.widths:
        hidden = np.maximum(image.reshape(6, 32).numpy() @ up.weight[:width].detach().numpy().T
                            + up.bias[:width].detach().numpy(), 0)
        embedding = hidden @ down.weight[:, :width].detach().numpy().T + down.bias.detach().numpy()
        logits = embedding @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        with torch.no_grad(), use_widths(model, [width]):
            np.testing.assert_allclose(model.embed(image), embedding, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(model(image), logits, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(extract(model, [width])(image), logits, rtol=1e-5,
                                       atol=1e-5)


def test_a_model_with_hidden_sizes_that_do_not_meet_is_refused_when_it_is_built():
    with pytest.raises(ShapeError, match="8 hidden units"):
        NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(8, 4))
    with pytest.raises(ShapeError, match="8 hidden units"):
        NestedGLU(nn.Linear(4, 16), nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 4))


def test_no_trained_widths_are_refused():
    with pytest.raises(GranularityError, match="widths that grow"):
        NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4), widths=[])


@pytest.mark.parametrize("indices", [[], [4], [-1]])
def test_sampling_an_index_of_no_trained_width_is_refused(indices):
    model = nn.Sequential(NestedFFN(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4)))
    with pytest.raises(GranularityError, match="indices of trained widths"):
        sample_widths(model, torch.Generator(), indices=indices)
