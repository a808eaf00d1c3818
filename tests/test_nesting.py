"""Models this project did not write, nested: equal at XL, masked at S, extracted, trained.

The mask is put on the original here, by zeroing columns of its last FFN weight, so that
nothing under test takes part in what is expected.
"""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_sdk.errors import GranularityError, NestingError
from edge_sdk.exporters.passes.blocks import to_blocks
from edge_sdk.nn.matformer import (
    Nested,
    NestedFFN,
    NestedGLU,
    extract,
    joint_loss,
    nested_ffns,
    trained_widths,
    use_widths,
)
from edge_sdk.nn.nesting import nest

torch.set_num_threads(1)
D, D_FF = 16, 32
CUTS = (4, 8, 16, 32)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- whole models ------------------------------------------------------------------------


def encoder(activation="relu", *, batch_first=True, norm_first=False, dropout=0.1):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        D, 4, D_FF, dropout=dropout, activation=activation, batch_first=batch_first,
        norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first and not norm_first)
    return SimpleNamespace(model=model.eval(), call=lambda m: m(randn(3, 5, D)),
                           down=["layers.0.linear2", "layers.1.linear2"], kind=NestedFFN)


def decoder(activation="relu"):
    torch.manual_seed(0)
    model = nn.TransformerDecoder(nn.TransformerDecoderLayer(D, 4, D_FF, batch_first=True), 2)
    for layer in model.layers:
        layer.activation = F.gelu if activation == "gelu" else F.relu
        if activation == "module":  # which torch's own copy of the layer loses
            del layer.activation
            layer.activation = nn.GELU()
    return SimpleNamespace(model=model.eval(),
                           call=lambda m: m(randn(3, 5, D), randn(3, 4, D, seed=1)),
                           down=["layers.0.linear2", "layers.1.linear2"], kind=NestedFFN)


def sequential():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.LayerNorm(D),
        nn.Linear(D, D_FF), nn.GELU(), nn.Dropout(0.2), nn.Linear(D_FF, D),
        nn.Sequential(OrderedDict(
            rise=nn.Linear(D, D_FF), bend=nn.Tanh(), fall=nn.Linear(D_FF, D), rest=nn.Dropout(0.1),
        )),
        nn.Linear(D, 3),
    )
    return SimpleNamespace(model=model.eval(), call=lambda m: m(randn(6, D)),
                           down=["4", "5.fall"], kind=NestedFFN)


def huggingface(kind):
    os.environ["HF_HUB_OFFLINE"] = "1"
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers import AutoModel, DistilBertConfig, LlamaConfig, ViTConfig

    torch.manual_seed(0)
    shape = {"hidden_size": D, "intermediate_size": D_FF, "num_hidden_layers": 2,
             "num_attention_heads": 2}
    tokens = torch.randint(3, 40, (2, 7), generator=torch.Generator().manual_seed(1))
    if kind == "llama":
        config = LlamaConfig(vocab_size=40, num_key_value_heads=1, **shape)
        down, sample = "layers.{}.mlp.down_proj", tokens
    elif kind == "distilbert":
        config = DistilBertConfig(vocab_size=40, dim=D, hidden_dim=D_FF, n_layers=2, n_heads=2)
        down, sample = "transformer.layer.{}.ffn.lin2", tokens
    else:
        config = ViTConfig(image_size=8, patch_size=4, **shape)
        down, sample = "{}.fc2", randn(2, 3, 8, 8)
    model = AutoModel.from_config(config).eval()
    if kind == "vit":
        found = [name for name, _ in model.named_modules() if name.endswith(".fc2")]
        if not found:
            pytest.skip("this version of transformers spreads ViT's FFN over two modules")
    else:
        found = [down.format(i) for i in range(2)]
    return SimpleNamespace(
        model=model, call=lambda m: m(sample).last_hidden_state, down=found,
        kind=NestedGLU if kind == "llama" else NestedFFN)


CASES = {
    "encoder_relu": encoder, "encoder_gelu": lambda: encoder("gelu"),
    "encoder_relu_prenorm": lambda: encoder(norm_first=True),
    "encoder_gelu_prenorm": lambda: encoder("gelu", norm_first=True),
    "encoder_relu_seq_first": lambda: encoder(batch_first=False),
    "encoder_gelu_seq_first": lambda: encoder("gelu", batch_first=False),
    "encoder_relu_seq_first_prenorm": lambda: encoder(batch_first=False, norm_first=True),
    "encoder_gelu_seq_first_prenorm": lambda: encoder("gelu", batch_first=False, norm_first=True),
    "encoder_lambda": lambda: encoder(lambda x: x * torch.sigmoid(x)),
    "encoder_module": lambda: encoder(nn.PReLU()),
    "decoder": decoder, "decoder_gelu": lambda: decoder("gelu"),
    "decoder_module": lambda: decoder("module"), "sequential": sequential,
    "llama": lambda: huggingface("llama"), "distilbert": lambda: huggingface("distilbert"),
    "vit": lambda: huggingface("vit"),
}


@pytest.fixture(scope="module")
def built():
    return {}


@pytest.fixture(params=CASES)
def case(request, built):
    """One model, nested once: SimpleNamespace(model, nested, call, down, kind)."""
    if request.param not in built:
        made = CASES[request.param]()
        made.nested = nest(made.model)
        built[request.param] = made
    return built[request.param]


def masked(case, width):
    """A copy of the original that ignores hidden units from `width` on."""
    model = copy.deepcopy(case.model)
    for ours, theirs in zip(model.modules(), case.model.modules(), strict=True):
        if isinstance(ours, nn.TransformerDecoderLayer):
            # torch's __setstate__ puts relu in front of an activation that is a module.
            ours.__dict__["activation"] = theirs.activation
    with torch.no_grad():
        for name in case.down:
            model.get_submodule(name).weight[:, width:] = 0
    return model


def assert_same(got, expected, limit=1e-5):
    torch.testing.assert_close(got, expected, rtol=limit, atol=limit)


def test_the_output_at_full_width_stays_the_same(case):
    with torch.no_grad():
        assert_same(case.call(case.nested), case.call(case.model), 1e-6)


def test_every_ffn_is_nested_with_the_trained_widths(case):
    assert {type(ffn) for ffn in nested_ffns(case.nested).values()} == {case.kind}
    assert trained_widths(case.nested) == [CUTS, CUTS]


def test_the_original_is_untouched_and_shares_nothing(case):
    assert not any(isinstance(m, Nested) for m in case.model.modules())
    theirs = {t.data_ptr() for t in case.model.parameters()}
    assert not theirs & {t.data_ptr() for t in case.nested.parameters()}
    assert (sum(p.numel() for p in case.nested.parameters())
            == sum(p.numel() for p in case.model.parameters()))


@pytest.mark.parametrize("width", [4, 11])
def test_a_width_gives_the_output_of_the_masked_original(case, width):
    with torch.no_grad():
        expected = case.call(masked(case, width))
        with use_widths(case.nested, [width] * 2):
            assert_same(case.call(case.nested), expected)
        assert (case.call(case.nested) - expected).abs().max() > 1e-4  # the mask did something


def test_an_extract_and_its_blocks_equal_the_masked_original(case):
    small = extract(case.nested, [4, 4])
    assert not any(isinstance(m, Nested) for m in small.modules())
    with torch.no_grad():
        expected = case.call(masked(case, 4))
        assert_same(case.call(small), expected)
        assert_same(case.call(to_blocks(case.nested, [4, 4], [CUTS] * 2)), expected)


def test_one_step_of_fine_tuning_lowers_the_loss_of_s(case):
    model = copy.deepcopy(case.nested)
    ffns = nested_ffns(model).values()
    optimizer = torch.optim.SGD([p for f in ffns for p in f.parameters()], lr=1e-2)

    def loss():
        out = case.call(model)
        return ((out - randn(*out.shape, seed=9)) ** 2).mean()

    with use_widths(model, [4, 4]):
        before = loss()
        before.backward()
        assert all(f.up.weight.grad[:4].abs().max() > 0 for f in ffns)
        assert all(f.up.weight.grad[4:].abs().max() == 0 for f in ffns)
        optimizer.step()
        assert loss() < before
    assert joint_loss(model, loss).isfinite()


def test_the_copy_keeps_each_modules_mode_and_frozen_weights():
    made = encoder()
    made.model.train()
    made.model.layers[0].eval()
    made.model.layers[1].linear1.weight.requires_grad_(False)
    nested = nest(made.model, sample=randn(2, 5, D))
    assert [layer.linear1.training for layer in nested.layers] == [False, True]
    assert [layer.linear1.up.weight.requires_grad for layer in nested.layers] == [True, False]
    assert [layer.training for layer in made.model.layers] == [False, True]


# --- torch's fused encoder path --------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_fused_path_is_off_so_widths_count_under_no_grad_with_padding(activation, norm_first):
    made = encoder(activation, norm_first=norm_first)
    nested = nest(made.model)
    x = randn(3, 5, D)
    padding = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 1, 1]], dtype=torch.bool)
    with torch.no_grad():
        whole = made.model(x, src_key_padding_mask=padding)
        # At padded positions the fused path writes zeros: nothing to compare there.
        assert_same(nested(x, src_key_padding_mask=padding)[~padding], whole[~padding])
        with use_widths(nested, [4, 4]):
            got = nested(x, src_key_padding_mask=padding)
        expected = masked(made, 4)(x, src_key_padding_mask=padding)
    assert_same(got[~padding], expected[~padding])
    assert not torch.allclose(got[~padding], whole[~padding], atol=1e-3)


def test_an_encoder_with_padding_passes_the_sample_check():
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    sample = {"src": randn(2, 5, D), "src_key_padding_mask": padding}
    assert len(nested_ffns(nest(encoder().model, sample=sample))) == 2
    assert torch.backends.mha.get_fastpath_enabled()


def test_dropout_in_a_transformer_layer_stays_between_activation_and_down():
    layer = nest(encoder(dropout=0.25).model).layers[0]
    assert (layer.linear1.dropout.p, type(layer.dropout)) == (0.25, nn.Identity)
    assert layer.dropout2.p == 0.25


# --- nn.Sequential ---------------------------------------------------------------------------


def test_positions_and_names_in_a_sequential_stay_valid():
    model = sequential().model
    nested = nest(model)
    assert len(nested) == len(model)
    assert list(nested[5]._modules) == list(model[5]._modules)
    assert isinstance(nested[1], NestedFFN)
    assert isinstance(nested[5].rise, NestedFFN)
    assert (nested[1].dropout.p, nested[5].rest.p) == (0.2, 0.1)
    assert [type(nested[i]) for i in (2, 3, 4)] == [nn.Identity] * 3
    assert torch.equal(nested[6].weight, model[6].weight)


def test_a_linear_is_in_one_ffn_only():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8),
                          nn.ReLU(), nn.Linear(8, 2))
    nested = nest(model, sample=randn(3, 4))
    assert list(nested_ffns(nested)) == ["0", "4"]


@pytest.mark.parametrize("between", [
    [nn.ReLU(inplace=True)], [nn.Hardtanh(), nn.ELU()], [nn.Identity(), nn.SiLU()],
    [nn.Dropout(0.1), nn.ReLU(), nn.Dropout(0.2), nn.Dropout(0.3)],
], ids=str)
def test_activations_and_dropouts_in_a_row_are_nested_together(between):
    model = nn.Sequential(nn.Linear(4, 8), *between, nn.Linear(8, 2)).eval()
    nested = nest(model)
    x = randn(3, 4)
    assert_same(nested(x), model(x), 1e-6)
    model[-1].weight.data[:, 3:] = 0
    with use_widths(nested, [3]):
        assert_same(nested(x), model(x), 1e-6)


@pytest.mark.parametrize(("between", "n_out"), [
    ([nn.Softmax(-1)], 8), ([nn.GLU()], 4), ([nn.LayerNorm(8), nn.GELU()], 8),
    ([nn.GELU(), nn.LayerNorm(8)], 8), ([nn.BatchNorm1d(8), nn.ReLU()], 8), ([nn.PReLU(8)], 8),
], ids=str)
def test_a_sequential_that_looks_across_hidden_units_is_refused(between, n_out):
    model = nn.ModuleDict(
        {"body": nn.Sequential(nn.Linear(4, 8), *between, nn.Linear(n_out, 2))})
    with pytest.raises(NestingError, match="elementwise activation") as caught:
        nest(model)
    assert caught.value.where == "body (Sequential)"
    assert "ReLU" in caught.value.hint


def test_a_pipeline_of_other_modules_between_linears_is_no_ffn():
    block = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), block, nn.Linear(8, 2), nn.Flatten(),
                          nn.Linear(2, 2))
    assert list(nested_ffns(nest(model))) == ["2.0"]


# --- modules known by name -------------------------------------------------------------------


class FFN(nn.Module):
    """An FFN with child names of choice; `form` is what its forward computes."""

    def __init__(self, up="fc1", down="fc2", form="plain", activation=None, **children):
        super().__init__()
        self.names, self.form = (up, down), form
        self.add_module(up, nn.Linear(D, D_FF))
        self.add_module(down, nn.Linear(D_FF, D))
        if activation is not None:
            self.act = activation
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x):
        up, down = (getattr(self, name) for name in self.names)
        act = getattr(self, "act", F.gelu)
        if self.form == "plain":
            return down(act(up(x)))
        if self.form == "residual":
            return x + down(act(up(x)))
        if self.form == "norm between":
            return down(F.layer_norm(act(up(x)), (D_FF,)))
        if self.form == "dropouts":
            return self.after(down(self.between(act(up(self.before(x))))))
        if self.form == "dropout function":
            return down(F.dropout(act(up(x)), 0.5, self.training))
        raise AssertionError(self.form)


class Gated(nn.Module):
    """A gated FFN whose activation is a function call, as in llama's first code."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.w1, self.w2, self.w3 = (nn.Linear(*shape, bias=False)
                                     for shape in ((D, D_FF), (D_FF, D), (D, D_FF)))
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        return self.w2(self.drop(F.silu(self.w1(x)) * self.w3(x)))


class Residual(nn.Module):
    def __init__(self, ffn):
        super().__init__()
        self.ffn = ffn

    def forward(self, x):
        return x + self.ffn(x)


@pytest.mark.parametrize(("up", "down"), [
    ("fc1", "fc2"), ("linear1", "linear2"), ("lin1", "lin2"), ("c_fc", "c_proj"),
    ("up_proj", "down_proj")])
def test_the_usual_names_are_found_anywhere(up, down):
    nested = nest(nn.Sequential(Residual(FFN(up, down, activation=nn.Mish()))),
                  sample=randn(2, D))
    (name, ffn), = nested_ffns(nested).items()
    assert (name, type(ffn.activation)) == ("0.ffn", nn.Mish)


def test_gate_and_up_of_llamas_names_are_not_swapped_and_silu_is_recognized():
    model = Residual(Gated()).eval()
    nested = nest(model)
    assert torch.equal(nested.ffn.gate.weight, model.ffn.w1.weight)
    assert torch.equal(nested.ffn.up.weight, model.ffn.w3.weight)
    assert isinstance(nested.ffn.activation, nn.SiLU)
    assert_same(nested(randn(4, D)), model(randn(4, D)), 1e-6)


def test_the_activation_of_an_ffn_of_zeros_is_still_recognized():
    model = Residual(Gated())
    with torch.no_grad():
        model.ffn.w2.weight.zero_()
    assert isinstance(nest(model).ffn.activation, nn.SiLU)


@pytest.mark.parametrize("activation", [F.relu, lambda x: x.relu(), nn.ReLU()],
                         ids=["function", "lambda", "module"])
def test_an_activation_is_taken_from_the_attribute_whatever_callable_it_is(activation):
    ffn = nest(Residual(FFN(activation=activation))).ffn
    assert torch.equal(ffn.activation(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))
    copy.deepcopy(ffn)


def test_dropouts_stay_where_they_were_called():
    model = Residual(FFN(form="dropouts", activation=nn.ReLU(), after=nn.Dropout(0.3),
                         between=nn.Dropout(0.2), before=nn.Dropout(0.1)))
    ffn = nest(model).ffn
    assert [type(m) for m in ffn] == [nn.Dropout, NestedFFN, nn.Dropout]
    assert (ffn[0].p, ffn[1].dropout.p, ffn[2].p) == (0.1, 0.2, 0.3)


def test_the_dropout_of_a_gated_ffn_still_works_in_training():
    nested = nest(Residual(Gated(dropout=0.5)))
    x = randn(4, D)
    assert not torch.equal(nested(x), nested(x))
    nested.eval()
    assert torch.equal(nested(x), nested(x))


@pytest.mark.parametrize("form", ["residual", "norm between", "dropout function"])
def test_a_module_of_another_form_is_refused_by_pattern_and_skipped_without(form):
    model = nn.ModuleDict({"odd": FFN(form=form), "plain": FFN()})
    with pytest.raises(NestingError, match="the output of an FFN") as caught:
        nest(model, pattern="odd")
    assert caught.value.where == "odd (FFN)"
    assert "down(act(up(x)))" in caught.value.hint
    assert list(nested_ffns(nest(model))) == ["plain"]


def test_a_named_ffn_with_an_activation_across_units_is_refused():
    with pytest.raises(NestingError, match="elementwise activation, got Softmax"):
        nest(Residual(FFN(activation=nn.Softmax(-1))))


def test_a_transformer_layer_with_an_activation_across_units_is_refused():
    layer = nn.TransformerEncoderLayer(D, 2, D_FF, activation=nn.Softmax(-1))
    with pytest.raises(NestingError, match="elementwise activation, got Softmax"):
        nest(layer)


def test_a_transformer_layer_whose_subclass_has_another_ffn_is_refused():
    class Scaled(nn.TransformerEncoderLayer):
        def _ff_block(self, x):
            return self.linear2(torch.cumsum(self.activation(self.linear1(x)), -1))

    with pytest.raises(NestingError, match="something else - at the model itself"):
        nest(Scaled(D, 2, D_FF))


@pytest.mark.parametrize("pattern", [None, "*.mlp"])
def test_a_fused_gate_and_up_projection_is_refused_with_the_advice_to_split_it(pattern):
    mlp = nn.Module()
    mlp.gate_up_proj, mlp.down_proj = nn.Linear(D, 2 * D_FF), nn.Linear(D_FF, D)
    model = nn.ModuleDict({"a": nn.ModuleDict({"mlp": mlp})})
    with pytest.raises(NestingError, match="`gate_up_proj`, which fuses them") as caught:
        nest(model, pattern=pattern)
    assert "split it" in caught.value.hint


def test_a_transformer_layer_without_plain_linears_is_refused():
    layer = nn.TransformerEncoderLayer(D, 2, D_FF)
    layer.linear1 = nn.Sequential(layer.linear1, nn.Identity())
    with pytest.raises(NestingError, match="got Sequential and Linear"):
        nest(layer)


def test_a_fused_projection_under_another_name_is_known_by_its_width():
    model = Residual(FFN())
    model.ffn.fc1 = nn.Linear(D, 2 * D_FF)
    with pytest.raises(NestingError, match="fuses gate and up"):
        nest(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None], ids=str)
def test_weights_that_are_not_finite_or_absent_are_refused_by_name(value):
    model = Residual(FFN())
    if value is None:
        model = model.to("meta")
    else:
        model.ffn.fc2.bias.data[3] = value
    with pytest.raises(NestingError, match="finite weights") as caught:
        nest(model)
    assert caught.value.where == ("ffn.fc1.weight" if value is None else "ffn.fc2.bias")


def test_linears_with_hooks_are_refused_because_the_hooks_would_never_run():
    model = Residual(FFN())
    model.ffn.fc1.register_forward_hook(lambda *_: None)
    with pytest.raises(NestingError, match="without forward hooks") as caught:
        nest(model)
    assert "remove" in caught.value.hint


# --- choosing --------------------------------------------------------------------------------


def test_a_pattern_nests_only_what_it_names():
    model = nn.ModuleDict({"a": FFN(), "b": nn.Sequential(nn.Linear(4, 8), nn.ReLU(),
                                                          nn.Linear(8, 4)),
                           "c": nn.TransformerEncoderLayer(D, 2, D_FF)})
    for name in model:
        assert [n.split(".")[0] for n in nested_ffns(nest(model, pattern=name))] == [name]
    # fnmatch's star passes dots: what lies inside a match is not looked at again.
    assert len(nested_ffns(nest(model, pattern="[bc]*"))) == 2


def test_a_pattern_finds_a_shared_module_by_any_of_its_names():
    ffn = FFN()
    nested = nest(nn.ModuleDict({"first": ffn, "second": ffn}), pattern="second")
    assert nested["first"] is nested["second"]
    assert isinstance(nested["second"], NestedFFN)


def test_a_pattern_that_names_nothing_is_refused_and_shows_names():
    with pytest.raises(NestingError, match=r"pattern '\*\.mlp'") as caught:
        nest(Residual(FFN()), pattern="*.mlp")
    assert "ffn.fc1" in caught.value.hint


def test_a_pattern_that_names_something_else_is_refused():
    with pytest.raises(NestingError, match="a feed-forward network, got no children") as caught:
        nest(Residual(FFN()), pattern="ffn.fc1")
    assert caught.value.where == "ffn.fc1 (Linear)"


def test_names_of_the_users_own_are_looked_for_first():
    model = Residual(FFN("wide", "narrow"))
    with pytest.raises(NestingError):
        nest(model)
    nested = nest(model, names={"up": "wide", "down": "narrow"}, sample=randn(2, D))
    assert isinstance(nested.ffn, NestedFFN)


def test_a_module_with_the_users_names_that_is_no_ffn_is_refused_not_skipped():
    with pytest.raises(NestingError, match="the output of an FFN"):
        nest(Residual(FFN("wide", "narrow", form="residual")),
             names={"up": "wide", "down": "narrow"})


@pytest.mark.parametrize("names", [{"up": "a"}, {"up": "a", "down": "b", "gat": "c"}])
def test_names_must_say_up_and_down(names):
    with pytest.raises(NestingError, match="`names`"):
        nest(Residual(FFN()), names=names)


def test_a_model_with_nothing_to_nest_is_told_what_was_looked_for():
    with pytest.raises(NestingError) as caught:
        nest(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)))
    for word in ("transformer layer", "nn.Sequential", "gate_proj", "fc1", "c_fc"):
        assert word in caught.value.expected


def test_modules_skipped_for_their_form_are_named_when_nothing_else_is_found():
    with pytest.raises(NestingError, match=r"ffn \(FFN\) has fc1, fc2 but is no FFN"):
        nest(Residual(FFN(form="residual")))


def test_ratios_choose_the_trained_widths():
    assert trained_widths(nest(FFN(), ratios=(0.25, 0.75, 1.0))) == [(8, 24, 32)]


@pytest.mark.parametrize("ratios", [(0.5, 0.25, 1.0), (0.25, 0.5), (0.5, 2.0)])
def test_ratios_that_do_not_grow_to_one_are_refused(ratios):
    with pytest.raises(GranularityError, match="end at d_ff=32"):
        nest(FFN(), ratios=ratios)


def test_no_ratios_at_all_are_refused():
    with pytest.raises(GranularityError, match="at least one ratio"):
        nest(FFN(), ratios=())


def test_a_module_used_twice_is_nested_once_and_stays_shared():
    ffn = FFN()
    model = nn.Sequential(Residual(ffn), Residual(ffn))
    model.unregistered = [ffn]
    nested = nest(model, sample=randn(2, D))
    assert nested[0].ffn is nested[1].ffn is nested.unregistered[0]
    assert list(nested_ffns(nested)) == ["0.ffn"]


def test_a_layer_used_twice_in_a_sequential_is_nested_once():
    mlp = nn.Sequential(nn.Linear(D, D_FF), nn.ReLU(), nn.Linear(D_FF, D))
    nested = nest(nn.Sequential(mlp, nn.Tanh(), mlp), sample=randn(2, D))
    assert nested[0] is nested[2]
    assert list(nested_ffns(nested)) == ["0.0"]


def test_weights_tied_to_something_outside_stay_tied():
    model = nn.ModuleDict({"ffn": FFN(), "head": nn.Linear(D, D_FF)})
    model["head"].weight = model["ffn"].fc1.weight
    nested = nest(model)
    assert nested["head"].weight is nested["ffn"].up.weight


def test_what_is_nested_already_stays_as_it_is():
    once = nest(nn.ModuleDict({"a": FFN(), "b": encoder().model}), ratios=(0.5, 1.0))
    twice = nest(once)
    assert trained_widths(twice) == trained_widths(once) == [(16, 32)] * 3
    assert str(twice) == str(once)
    for pattern in ("a", "b.layers.?"):
        assert str(nest(once, pattern=pattern)) == str(once)


def test_an_ffn_alone_is_nested_itself():
    assert isinstance(nest(FFN()), NestedFFN)


# --- sample ----------------------------------------------------------------------------------


def test_a_model_that_reads_a_replaced_module_fails_the_sample_check():
    class Nosy(Residual):
        def forward(self, x):
            return super().forward(x.to(self.ffn.fc1.weight.dtype))

    model = Nosy(FFN())
    nest(model)
    with pytest.raises(NestingError, match="a model that runs on `sample`") as caught:
        nest(model, sample=randn(2, D))
    assert "leave it out with `pattern`" in caught.value.hint


def test_a_model_whose_output_changes_fails_the_sample_check():
    class Fickle(Residual):
        def forward(self, x):
            return super().forward(x) + isinstance(self.ffn, Nested)

    with pytest.raises(NestingError, match="the same output on `sample`"):
        nest(Fickle(FFN()), sample=randn(2, D))


@pytest.mark.parametrize("sample", [randn(2, D), (randn(2, D),), {"x": randn(2, D)}],
                         ids=["tensor", "tuple", "mapping"])
def test_a_sample_is_a_tensor_a_tuple_or_a_mapping(sample):
    model = Residual(FFN(form="dropouts", activation=nn.ReLU(), after=nn.Dropout(0.3),
                         between=nn.Dropout(0.2), before=nn.Dropout(0.1)))
    assert nest(model, sample=sample).training
    assert all(m.training for m in model.modules())


def test_a_model_of_transformers_conv1d_is_refused_by_name():
    os.environ["HF_HUB_OFFLINE"] = "1"
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers import AutoModel, GPT2Config

    model = AutoModel.from_config(GPT2Config(
        vocab_size=40, n_embd=D, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2))
    with pytest.raises(NestingError, match="c_fc: Conv1D") as caught:
        nest(model, pattern="*.mlp")
    assert "not Conv1D" in caught.value.hint
