"""Turn the feed-forward networks of somebody else's model into nested ones.

    model = nest(model, sample=tokens)       # a copy; equal at XL, until it is trained
    joint_loss(model, lambda: ...)           # then fine-tune, extract, export as any other

Found are torch's transformer layers, `nn.Sequential` runs of Linear, activation,
Linear, and modules whose children bear the names in `FFN_NAMES`. What is nested is
proved to compute the same on random input; what can not be nested is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edge_sdk.errors import GranularityError, NestingError
from edge_sdk.nn.matformer import RATIOS, Nested, NestedFFN, NestedGLU

FFN_NAMES: Sequence[Mapping[str, str]] = (
    {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"},
    {"gate": "w1", "up": "w3", "down": "w2"},  # llama's order
    {"up": "up_proj", "down": "down_proj"},
    {"up": "fc1", "down": "fc2"},
    {"up": "linear1", "down": "linear2"},
    {"up": "lin1", "down": "lin2"},
    {"up": "c_fc", "down": "c_proj"},
)
"""Children by which a feed-forward network is known; gated sets come first."""

ACTIVATION_NAMES = ("act", "act_fn", "activation", "activation_fn", "activation_function", "act1",
                    "act_layer", "nonlinearity", "non_linearity")
"""Children or attributes that hold a feed-forward network's activation."""

FUSED_NAMES = ("gate_up_proj", "gate_up", "w12", "weights_in")
"""Children that compute gate and up in one matrix."""

SPLIT_HINT = ("split it into two nn.Linear, `gate_proj` and `up_proj`, first: a prefix of the "
              "fused rows would pair the wrong halves")
HOOK_HINT = ("remove them first, for example with torch.nn.utils.remove_weight_norm or "
             "torch.nn.utils.prune.remove: a nested FFN slices weights without calling the module")
FORM_HINT = ("only down(act(up(x))) and down(act(gate(x)) * up(x)) can be nested, with nothing but "
             "dropout between and around; name others yourself with `pattern` and `names`, or "
             "build NestedFFN or NestedGLU in the model's code")

TransformerLayer = nn.TransformerEncoderLayer | nn.TransformerDecoderLayer


class Activation(nn.Module):
    """A function (F.relu, a lambda, any callable) as a module; copies with its model."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return function(x)."""
        return self.function(x)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


# Tried where a forward calls its activation as a function, so that no attribute holds it.
_GUESSES: Sequence[nn.Module] = (
    nn.GELU(), nn.ReLU(), nn.SiLU(), nn.GELU("tanh"), nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(),
    nn.ELU(), nn.Hardswish(), nn.Mish(),
)


def nest(
    model: nn.Module, *, pattern: str | None = None,
    ratios: Sequence[float] = tuple(RATIOS.values()), names: Mapping[str, str] | None = None,
    sample: object = None,
) -> nn.Module:
    """Return a copy of `model` whose feed-forward networks are nested, equal at full width.

    The copy shares no weight with `model`, which is untouched. Modules that are
    replaced whole lose their own parameter names (`mlp.fc1.weight` becomes
    `mlp.up.weight`), so load checkpoints before. A module used in several places is
    nested once; what is nested already stays as it is. Torch's encoder layers lose
    their fused inference path, which knows no width; it also zeroed the outputs at
    padded positions, which are unspecified now, as they are in training.

    Args:
        model: Any torch model.
        pattern: Nest only modules whose dotted name matches, in fnmatch's sense (`*.mlp`);
            each must be nestable. By default whatever is found is nested, and modules
            that merely have the usual child names but compute something else are skipped.
        ratios: Trained widths as fractions of d_ff, growing, ending at 1.
        names: More child names to look for: {"up": ..., "down": ...} and perhaps "gate";
            dots reach grandchildren. A module that has them must be nestable.
        sample: Input to prove the whole model on: a tensor, a tuple of arguments, or a
            mapping of keyword arguments.

    Raises:
        NestingError: Nothing to nest; a matching module that is no feed-forward network;
            an activation that looks across hidden units; a fused gate-and-up projection;
            weights that are not finite; or an output on `sample` that changed.
        GranularityError: `ratios` do not grow, or do not end at 1.
    """
    if names is not None and not {"up", "down"} <= set(names) <= {"up", "down", "gate"}:
        raise NestingError('names for "up" and "down", and perhaps "gate"', str(dict(names)),
                           where="`names`", hint='for example names={"up": "wi", "down": "wo"}')
    if not ratios:
        raise GranularityError("at least one ratio", "none", where="`ratios`",
                               hint="leave `ratios` out for 1/8, 1/4, 1/2 and 1")
    _check_weights(model)
    search = _Search(pattern, ratios, names)
    search.walk(model)
    # Replacements go in through the memo, so that every reference to a module, even
    # one in a plain list, sees the same nested network.
    nested: nn.Module = copy.deepcopy(model, search.memo)
    for where, module in search.surgery:
        target = search.memo[id(module)]
        if isinstance(module, TransformerLayer):
            _nest_layer(target, module, where, ratios, search.memo)
        else:
            _nest_runs(target, where, ratios)
    for encoder in nested.modules():
        if (isinstance(encoder, nn.TransformerEncoder)
                and any(isinstance(m, Nested) for m in encoder.modules())):
            encoder.use_nested_tensor = False
    if sample is not None:
        _check_sample(model, nested, sample)
    return nested


class _Search:
    """What to nest: `memo` maps modules to replacements, `surgery` lists those to change."""

    def __init__(self, pattern: str | None, ratios: Sequence[float],
                 names: Mapping[str, str] | None) -> None:
        self.pattern, self.ratios, self.names = pattern, ratios, names
        self.memo: dict[int, Any] = {}
        self.surgery: list[tuple[str, nn.Module]] = []
        self.skipped: list[str] = []
        self.seen: set[int] = set()

    def walk(self, model: nn.Module) -> None:
        """Find everything in `model`; raise if that is nothing."""
        n_matching = n_nested = 0
        for name, module in model.named_modules(remove_duplicate=False):
            if id(module) in self.seen:
                continue
            if isinstance(module, Nested):
                n_nested += 1
                self._close(module)
            elif self.pattern is None or fnmatchcase(name, self.pattern):
                n_matching += 1
                self._visit(module, f"{name or 'the model itself'} ({type(module).__name__})")
        if not self.surgery and not self.memo and not n_nested:
            _refuse_nothing(model, self.pattern, self.names, n_matching, self.skipped)

    def _close(self, module: nn.Module) -> None:
        self.seen.update(id(inner) for inner in module.modules())

    def _visit(self, module: nn.Module, where: str) -> None:
        if isinstance(module, TransformerLayer):
            if isinstance(module.linear1, Nested):
                return
            if not all(isinstance(m, nn.Linear) for m in (module.linear1, module.linear2)):
                raise NestingError("nn.Linear as linear1 and linear2",
                                   f"{type(module.linear1).__name__} and "
                                   f"{type(module.linear2).__name__}", where=where, hint=FORM_HINT)
            _check_hooks((module.linear1, module.linear2), where)
            self.surgery.append((where, module))
        elif _is_sequential(module) and _runs(module, where):
            self.surgery.append((where, module))
            self.seen.add(id(module))
            if self.pattern is None:
                return  # its other entries may hold networks of their own
        else:
            replacement = _replacement(
                module, where, ratios=self.ratios, names=self.names, memo=self.memo,
                strict=self.pattern is not None, skipped=self.skipped,
            )
            if replacement is None:
                return
            self.memo[id(module)] = replacement
        self._close(module)


def _refuse_nothing(
    model: nn.Module, pattern: str | None, names: Mapping[str, str] | None, n_matching: int,
    skipped: Sequence[str],
) -> None:
    if pattern is not None and not n_matching:
        some = [name for name, _ in model.named_modules() if name][:8]
        raise NestingError("a module whose name matches", "none", where=f"pattern {pattern!r}",
                           hint=f"names look like {', '.join(some)}")
    sets = ["(" + ", ".join(s.values()) + ")" for s in ([names] if names else []) + [*FFN_NAMES]]
    got = f"none ({'; '.join(skipped[:4])})" if skipped else "none"
    raise NestingError(
        "a torch transformer layer, an nn.Sequential of Linear, activation, Linear, or a module "
        f"with nn.Linear children {', '.join(sets)}", got, where=type(model).__name__,
        hint=FORM_HINT,
    )


# --- torch.nn.TransformerEncoderLayer and TransformerDecoderLayer ---------------------


def _hand_on(x: Tensor) -> Tensor:
    return x


def _nest_layer(
    layer: Any, original: Any, where: str, ratios: Sequence[float], memo: dict[int, Any]
) -> None:
    """Nest the FFN of a transformer layer, the copy of `original`, in place."""
    # Copied by itself: torch's decoder layer, when copied, turns an activation that is a
    # module into relu.
    activation = copy.deepcopy(_as_module(original.activation), memo)
    _check_elementwise(activation, original.linear1, where)
    ffn = NestedFFN(layer.linear1, activation, layer.linear2, dropout=layer.dropout,
                    widths=_widths(layer.linear1, ratios))
    ffn.training = layer.training
    # linear2(dropout(activation(linear1(x)))) in the layer's own code: the first does
    # all the work, the others hand it on. A function as activation survives copies.
    layer.linear1, layer.dropout, layer.linear2 = ffn, nn.Identity(), nn.Identity()
    del layer.activation
    layer.activation = _hand_on
    # The fused path reads linear1.weight past any width; 0 turns it off.
    layer.activation_relu_or_gelu = 0
    # A subclass may have an FFN of another form.
    with _evaluating(original):
        same = _agree(original._ff_block, copy.deepcopy(layer).eval()._ff_block,
                      _random_input(original.linear1))
    if not same:
        raise NestingError("linear2(dropout(activation(linear1(x))))", "something else",
                           where=f"{where}._ff_block", hint=FORM_HINT)


# --- nn.Sequential ---------------------------------------------------------------------


def _is_sequential(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _runs(sequential: nn.Module, where: str) -> list[tuple[int, int]]:
    """Return (first, last) of each run Linear, activation, Linear; one Linear is in one run."""
    # children() would leave a repeated entry out and shift the positions.
    entries = [sequential.get_submodule(key) for key in sequential._modules]
    linears = [i for i, entry in enumerate(entries) if isinstance(entry, nn.Linear)]
    runs: list[tuple[int, int]] = []
    for first, last in pairwise(linears):
        if runs and first == runs[-1][1]:
            continue
        if _is_run(entries[first:last + 1], where):
            _check_hooks(entries[first:last + 1], where)
            runs.append((first, last))
    return runs


def _is_run(entries: Sequence[nn.Module], where: str) -> bool:
    up, *between, down = entries
    assert isinstance(up, nn.Linear)
    assert isinstance(down, nn.Linear)
    work = [m for m in between if not isinstance(m, nn.Dropout | nn.Identity)]
    known = ("torch.nn.modules.activation", "torch.nn.modules.normalization",
             "torch.nn.modules.batchnorm")
    # A stranger that is not elementwise makes this a pipeline, not an FFN.
    if not work or any(any(m.children()) for m in work):
        return False
    if all(_is_elementwise(m, up) for m in work):
        return up.out_features == down.in_features
    if all(type(m).__module__ in known or _is_elementwise(m, up) for m in work):
        for m in work:
            _check_elementwise(m, up, where)
    return False


def _nest_runs(sequential: Any, where: str, ratios: Sequence[float]) -> None:
    """Nest the runs of an nn.Sequential in place; positions and keys stay valid."""
    keys = list(sequential._modules)
    for first, last in _runs(sequential, where):
        up, *between, down = (sequential._modules[key] for key in keys[first:last + 1])
        n_dropouts = next((i for i, m in enumerate(reversed(between))
                           if not isinstance(m, nn.Dropout | nn.Identity)), 0)
        activations = between[:len(between) - n_dropouts]
        dropouts = [m for m in between[len(activations):] if isinstance(m, nn.Dropout)]
        ffn = NestedFFN(up, _chain(activations), down, widths=_widths(up, ratios),
                        dropout=_chain(dropouts) if dropouts else None)
        ffn.training = sequential.training
        before = copy.deepcopy(nn.Sequential(up, *between, down)).eval()
        if not _agree(before, copy.deepcopy(ffn).eval(), _random_input(up)):
            raise NestingError("plain nn.Linear entries", "others", where=where, hint=FORM_HINT)
        sequential._modules[keys[first]] = ffn
        for key in keys[first + 1:last + 1]:
            sequential._modules[key] = nn.Identity()


def _chain(modules: Sequence[nn.Module]) -> nn.Module:
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


# --- modules known by the names of their children --------------------------------------


def _replacement(
    module: nn.Module, where: str, *, ratios: Sequence[float], names: Mapping[str, str] | None,
    memo: dict[int, Any], strict: bool, skipped: list[str],
) -> nn.Module | None:
    """Return a nested equivalent of `module` over copies of its layers, or None to skip it.

    The layers are copied through `memo`, so that what is tied stays tied.
    """
    fused = next((name for name in FUSED_NAMES if hasattr(module, name)), None)
    if fused is not None:
        raise NestingError("gate and up as two projections", f"`{fused}`, which fuses them",
                           where=where, hint=SPLIT_HINT)
    ffn_names = _find_names(module, names)
    if ffn_names is None:
        if strict and not any(isinstance(m, Nested) for m in module.modules()):
            raise NestingError("a feed-forward network", _describe(module), where=where,
                               hint='name the network itself, as in pattern="*.mlp", and its '
                               'children with names={"up": ..., "down": ...}; children must be '
                               "nn.Linear, not Conv1D or the like")
        return None
    strict = strict or ffn_names is names
    layers = [module.get_submodule(child) for child in ffn_names.values()]
    up, down = (_linear(module, ffn_names[role]) for role in ("up", "down"))
    if up.out_features == 2 * down.in_features and "gate" not in ffn_names:
        raise NestingError(
            f"{down.in_features} hidden units, as `{ffn_names['down']}` takes",
            f"{up.out_features} in `{ffn_names['up']}`, which fuses gate and up", where=where,
            hint=SPLIT_HINT,
        )
    _check_hooks(layers, where)
    activation = _find_activation(module, ffn_names)
    if activation is None:
        if strict:
            raise NestingError(
                "the output of an FFN, to 1e-5", "another on random input", where=where,
                hint=FORM_HINT,
            )
        skipped.append(f"{where} has {', '.join(ffn_names.values())} but is no FFN")
        return None
    _check_hooks((module,), where)
    _check_elementwise(activation, up, where)
    return _assemble(module, ffn_names, activation, ratios, memo)


def _find_names(module: nn.Module, names: Mapping[str, str] | None) -> Mapping[str, str] | None:
    for candidate in ([names] if names else []) + [*FFN_NAMES]:
        if all(_has_linear(module, child) for child in candidate.values()):
            return candidate
    return None


def _has_linear(module: nn.Module, name: str) -> bool:
    try:
        return isinstance(module.get_submodule(name), nn.Linear)
    except AttributeError:
        return False


def _linear(module: nn.Module, name: str) -> nn.Linear:
    linear = module.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    return linear


def _describe(module: nn.Module) -> str:
    children = [f"{name}: {type(m).__name__}" for name, m in module.named_children()]
    return f"children {', '.join(children)}" if children else "no children"


def _find_activation(module: nn.Module, names: Mapping[str, str]) -> nn.Module | None:
    """Return the activation with which an FFN computes what `module` does, None if none does."""
    own = [_as_module(getattr(module, name)) for name in ACTIVATION_NAMES
           if callable(getattr(module, name, None))]
    found = next((a for a in own or _GUESSES if _is_ffn(module, names, a)), None)
    return found if own else copy.deepcopy(found)


def _is_ffn(module: nn.Module, names: Mapping[str, str], activation: nn.Module) -> bool:
    """Whether `module` is the FFN of `names` and `activation`, in training and out of it.

    Tried with the weights it has and with random ones: from weights near zero, or
    zero as some are initialized, every activation looks the same.
    """
    generator = torch.Generator().manual_seed(0)
    for shaken in (False, True):
        before = copy.deepcopy(module)
        if shaken:
            for child in names.values():
                linear = _linear(before, child)
                for p in linear.parameters():
                    scale = 3 * linear.in_features ** -0.5
                    noise = torch.randn(p.shape, generator=generator) * scale
                    p.detach().copy_(noise)
        x = _random_input(_linear(before, names["up"]))
        try:
            after = _assemble(before, names, activation, (1.0,), {})
        except (RuntimeError, ValueError, TypeError, AttributeError, NestingError):
            return False
        for training in (False, True):
            for side in (before, after):
                side.train(training)
                # A dropout that is a child is kept; one that is a function call would
                # be lost, and shows here.
                for m in side.modules():
                    if isinstance(m, nn.Dropout):
                        m.eval()
            if not _agree(before, after, x):
                return False
    return True


def _assemble(
    module: nn.Module, names: Mapping[str, str], activation: nn.Module, ratios: Sequence[float],
    memo: dict[int, Any],
) -> nn.Module:
    """Return the nested form of FFN `module` over layers copied through `memo`."""
    first, hidden, last = ([copy.deepcopy(m, memo) for m in stage]
                           for stage in _dropouts(module, names))
    linears = {role: copy.deepcopy(_linear(module, child), memo) for role, child in names.items()}
    up, down = linears["up"], linears["down"]
    activation = copy.deepcopy(activation, memo)
    widths = _widths(up, ratios)
    nested: nn.Module
    if "gate" in names:
        # dropout(act(g) * u) is dropout(act(g)) * u: one mask, and no place of its own needed.
        nested = NestedGLU(linears["gate"], up, _chain([activation, *hidden]), down,
                           widths=widths)
    else:
        nested = NestedFFN(up, activation, down, widths=widths,
                           dropout=_chain(hidden) if hidden else None)
    nested.training = module.training
    if first or last:
        nested = nn.Sequential(*first, nested, *last)
        nested.training = module.training
    return nested


def _dropouts(module: nn.Module, names: Mapping[str, str]) -> list[list[nn.Module]]:
    """Return the dropouts `module` calls before up, between up and down, and after down."""
    originals = {name: m for name, m in module.named_modules()
                 if isinstance(m, nn.Dropout) and m.p > 0}
    if not originals:
        return [[], [], []]
    probe = copy.deepcopy(module).eval()
    stages: list[list[str]] = [[], [], []]
    stage = [0]

    def reach(n: int) -> Callable[..., None]:
        return lambda *_: stage.__setitem__(0, max(stage[0], n))

    def record(name: str) -> Callable[..., None]:
        return lambda *_: stages[stage[0]].append(name)

    for role in names:
        child = _linear(probe, names[role])
        child.register_forward_hook(reach(2 if role == "down" else 1))
    for name in originals:
        probe.get_submodule(name).register_forward_hook(record(name))
    with torch.no_grad():
        probe(_random_input(_linear(probe, names["up"])))
    return [[originals[name] for name in called] for called in stages]


# --- shared checks -----------------------------------------------------------------------


def _as_module(activation: object) -> nn.Module:
    if isinstance(activation, nn.Module):
        return activation
    assert callable(activation)
    return Activation(activation)


def _widths(up: nn.Linear, ratios: Sequence[float]) -> list[int]:
    widths = [max(1, round(ratio * up.out_features)) for ratio in ratios]
    # A tiny d_ff makes neighbours equal; falling ones are left for Nested to refuse.
    return [w for i, w in enumerate(widths) if i == 0 or w != widths[i - 1]]


def _random_input(linear: nn.Linear) -> Tensor:
    x = torch.randn(2, 5, linear.in_features, generator=torch.Generator().manual_seed(0))
    return x.to(linear.weight)


def _agree(before: Callable[..., Any], after: Callable[..., Any], x: Tensor) -> bool:
    """Whether two modules give the same tensor for `x`; one that raises agrees with none."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            # Clones, since an activation may work in place.
            return _close(before(x.clone()), after(x.clone()))
    except Exception:  # of somebody else's forward: anything
        return False


def _close(expected: object, got: object) -> bool:
    if not (isinstance(expected, Tensor) and isinstance(got, Tensor)):
        return False
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return False
    if not expected.is_floating_point():
        return bool(torch.equal(expected, got))
    if not expected.numel():
        return True
    limit = 1e-5 if expected.dtype in (torch.float32, torch.float64) else 1e-2
    # Masks hold -inf, whose difference is nan: equal entries count as no difference.
    drift = torch.where(expected == got, 0, (expected - got).abs())
    scale = expected.abs().where(expected.isfinite(), 0).max()
    return bool(drift.max() <= limit * scale)


def _is_elementwise(activation: nn.Module, up: nn.Linear) -> bool:
    """Whether a slice of the activation is the activation of the slice."""
    n = up.out_features
    x = torch.randn(2, 5, n, generator=torch.Generator().manual_seed(1)).to(up.weight)
    cut = max(1, n // 3)
    probe = copy.deepcopy(activation).eval()
    return all(
        _agree(lambda x, a=a, b=b: probe(x)[..., a:b], lambda x, a=a, b=b: probe(x[..., a:b]), x)
        for a, b in ((0, cut), (cut, n)) if a < b
    ) and _agree(lambda x: torch.zeros_like(probe(x)), torch.zeros_like, x)


def _check_elementwise(activation: nn.Module, up: nn.Linear, where: str) -> None:
    if not _is_elementwise(activation, up):
        raise NestingError(
            "an elementwise activation", f"{activation}, which looks across hidden units",
            where=where, hint="use ReLU, GELU, SiLU or the like, and keep norms out of the FFN; "
            "or leave this module out with `pattern`",
        )


def _check_weights(model: nn.Module) -> None:
    for name, p in model.named_parameters():
        if p.is_meta or (p.is_floating_point() and not bool(p.isfinite().all())):
            got = "none (a meta tensor)" if p.is_meta else "nan or inf"
            raise NestingError("finite weights", got, where=name, hint="load trained weights "
                               "first: nothing can be proved equal without them")


def _check_hooks(modules: Sequence[nn.Module], where: str) -> None:
    for module in modules:
        if module._forward_hooks or module._forward_pre_hooks:
            raise NestingError("modules without forward hooks",
                               f"hooks on a {type(module).__name__}", where=where, hint=HOOK_HINT)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode inside a with block; each module's mode comes back."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


def _check_sample(model: nn.Module, nested: nn.Module, sample: object) -> None:
    fused = torch.backends.mha.get_fastpath_enabled()
    # The fused path zeroes padded positions, so it is no measure of the model's function.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        outputs = []
        for m in (model, nested):
            with _evaluating(m), torch.no_grad():
                outputs.append([leaf for leaf in tree_leaves(_call(m, sample))
                                if isinstance(leaf, Tensor)])
    except Exception as error:
        raise NestingError(
            "a model that runs on `sample`, before and after", f"{type(error).__name__}: {error}",
            where=type(model).__name__, hint="pass one tensor, a tuple of arguments, or a mapping "
            "of keyword arguments; if only the nested model fails, something reads the weights of "
            "a replaced module: leave it out with `pattern`",
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    before, after = outputs
    if not before or len(before) != len(after) or not all(map(_close, before, after)):
        raise NestingError(
            "the same output on `sample` as before, to 1e-5", "another", where=type(model).__name__,
            hint="the model reads its feed-forward networks in a way of its own, or is not "
            "deterministic in eval mode; nest fewer of them with `pattern`",
        )


def _call(model: nn.Module, sample: object) -> object:
    if isinstance(sample, Mapping):
        return model(**sample)
    if isinstance(sample, tuple | list):
        return model(*sample)
    return model(sample)
