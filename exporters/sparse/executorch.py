"""ExecuTorch: layers with many zeros in their weights run our operators, the rest XNNPACK.

XNNPACK gets nothing from zeros. So the layers that the caller names (by what was measured:
`forms`) become `edge::sparse_linear` or `edge::sparse_conv2d` over packed bytes, with the
batch norm that follows folded into weight and bias (zeros stay zeros) and the clamp of a
following ReLU or ReLU6 done inside. Such a file runs where these operators are, and says so
elsewhere: there is no dense copy to fall back on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from edge_sdk.artifact import SparseInfo
from edge_sdk.errors import ShapeError, UnsupportedModel
from edge_sdk.exporters.request import Outputs, Request
from edge_sdk.exporters.sparse import operators  # noqa: F401  (defines torch.ops.edge)
from edge_sdk.exporters.sparse.choice import Form, choose
from edge_sdk.exporters.to_executorch import Program
from edge_sdk.exporters.toolchain import require
from edge_sdk.nn.matformer import extract
from edge_sdk.sparse import SparseMatrix
from edge_sdk.sparse.matrix import Values

SPEED = "sparse layers as fast as the measured break-even says, on our operators"
FORMS = ("dense", "float32", "int8")
_aten = torch.ops.aten
_CLAMPS: dict[Any, tuple[float, float]] = {
    _aten.relu.default: (0.0, math.inf), _aten.relu_.default: (0.0, math.inf),
    _aten.relu6.default: (0.0, 6.0), _aten.relu6_.default: (0.0, 6.0),
}
_HARDTANH = {_aten.hardtanh.default, _aten.hardtanh_.default}


@dataclass(frozen=True)
class PackedLayer:
    """What became of one layer: `form` is "float32" or "int8", `clamp` the fused activation."""

    name: str
    form: str
    rows: int
    cols: int
    n_kept: int
    packed_bytes: int
    clamp: tuple[float, float]


def lower(
    model: nn.Module, sample: tuple[Tensor, ...], forms: Mapping[str, str],
    *, method: str = "forward", dynamic_shapes: Any = None,
) -> tuple[Program, list[PackedLayer]]:
    """Return `model` as a program of one method, and what was packed in it.

    Args:
        model: In eval mode.
        sample: The inputs of one call, in the order of `forward`.
        forms: As for `to_sparse`.
        method: The method's name: of an artifact, that of the granularity.
        dynamic_shapes: As `torch.export.export` takes them; None: shapes as in `sample`.

    Raises:
        MissingDependency: ExecuTorch is not installed.
        ShapeError: As `to_sparse`.
        UnsupportedModel: As `to_sparse`.
    """
    require("executorch", ["executorch.exir", "torchao"])
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.devtools.backend_debug import get_delegation_info
    from executorch.exir import to_edge_transform_and_lower

    sparse, layers = to_sparse(model, sample, forms, dynamic_shapes=dynamic_shapes)
    exported = torch.export.export(sparse, sample, dynamic_shapes=dynamic_shapes, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        edge = to_edge_transform_and_lower(
            {method: exported}, partitioner={method: [XnnpackPartitioner()]})
        info = get_delegation_info(edge.exported_program(method).graph_module)
        nodes = info.num_delegated_nodes + info.num_non_delegated_nodes
        coverage = {method: info.num_delegated_nodes / nodes if nodes else None}
        return Program(edge.to_executorch(), coverage), layers


def lower_request(request: Request) -> Program:
    """Lower the one granularity of `request`, its sparse layers where they are faster.

    Raises:
        As `lower`.
    """
    granularity = request.granularities[0]
    model = Outputs(extract(request.model, granularity.widths), request.output_names).eval()
    choices = choose(model, request.sample, cast(Form, request.sparse))
    request.report(f"lowering {sum(c.form != 'dense' for c in choices)} sparse layer(s) "
                   "to our operators, the rest to XNNPACK")
    program, layers = lower(model, request.sample, {c.name: c.form for c in choices},
                            method=granularity.name)
    packed = {layer.name: layer.packed_bytes for layer in layers}
    program.sparse = SparseInfo(request.sparse, SPEED, tuple(
        replace(c.layer(packed.get(c.name)), name=c.name.removeprefix("model."))
        for c in choices))
    return program


@torch.no_grad()
def to_sparse(
    model: nn.Module, sample: tuple[Tensor, ...], forms: Mapping[str, str],
    *, dynamic_shapes: Any = None,
) -> tuple[nn.Module, list[PackedLayer]]:
    """Return a module like `model` whose named layers run our operators on packed weights.

    Args:
        model: In eval mode; plain `nn.Linear` and `nn.Conv2d`, zeros in their weights.
        sample: The inputs of one call; nothing but their shapes and dtypes is used.
        forms: Layer name -> "float32" or "int8" values, or "dense" to leave it alone, as
            are layers that are not named.
        dynamic_shapes: As `torch.export.export` takes them.

    Returns:
        The module, which takes what `model` takes, and an entry for each packed layer.

    Raises:
        ShapeError: No such layer, a form unknown, or weights that are not finite.
        UnsupportedModel: A layer that is no Linear or Conv2d, a convolution with groups,
            dilation or uneven padding, or a weight that is used in other ways too.
    """
    names = _names_by_weight(model, forms)
    module = torch.export.export(
        model, sample, dynamic_shapes=dynamic_shapes, strict=False).module(check_guards=False)
    layers: list[PackedLayer] = []
    for node in [n for n in module.graph.nodes if n.op == "get_attr"]:
        name = names.get(_tensor(module, node).data_ptr())
        if name is not None and node.users:
            layers += _replace_layer(module, node, name, forms[name])
    missing = set(names.values()) - {layer.name for layer in layers}
    if missing:
        raise UnsupportedModel("layers that the model runs", "layers it never calls",
                               where=", ".join(sorted(missing)), hint="leave them dense")
    module.graph.eliminate_dead_code()
    # A fresh module holds what its graph still names: the dense weights are gone.
    clean = fx.GraphModule(module, module.graph)
    for spec in ("_in_spec", "_out_spec"):
        setattr(clean, spec, getattr(module, spec))
    return clean.eval(), layers


def _names_by_weight(model: nn.Module, forms: Mapping[str, str]) -> dict[int, str]:
    """Return the layers to pack, by where their weights lie in memory."""
    modules = dict(model.named_modules(remove_duplicate=False))
    names: dict[int, str] = {}
    for name, form in forms.items():
        if name not in modules:
            raise ShapeError("a layer of the model", repr(name), where="`forms`",
                             hint="see model.named_modules()")
        if form not in FORMS:
            raise ShapeError(f"one of {', '.join(FORMS)}", repr(form),
                             where=f"`forms`, layer {name!r}", hint="dense leaves it alone")
        if form == "dense":
            continue
        layer = modules[name]
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise UnsupportedModel("a Linear or Conv2d", type(layer).__name__,
                                   where=f"layer {name!r}", hint="leave it dense")
        _check_layer(name, layer)
        names[layer.weight.data_ptr()] = name
    return names


def _check_layer(name: str, layer: nn.Linear | nn.Conv2d) -> None:
    if layer.weight.dtype != torch.float32 or not torch.isfinite(layer.weight).all():
        raise ShapeError("finite float32 weights", f"{layer.weight.dtype}, or NaN or inf in them",
                         where=f"layer {name!r}", hint="look where training made them")
    if isinstance(layer, nn.Conv2d) and (
            layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros"):
        raise UnsupportedModel(
            "a convolution of one group, without dilation, padded with zeros",
            f"groups {layer.groups}, dilation {layer.dilation}, padding {layer.padding_mode}",
            where=f"layer {name!r}", hint="leave it dense")


def _tensor(module: nn.Module, node: fx.Node) -> Tensor:
    owner, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), name)
    return tensor


def _arguments(node: fx.Node, *defaults: Any) -> list[Any]:
    """Return the arguments of a call, and the defaults of those that it leaves out."""
    return [*node.args, *defaults[len(node.args):]]


def _constant(module: nn.Module, argument: Any) -> Tensor | None:
    return None if argument is None else _tensor(module, argument)


@dataclass
class _Call:
    """One call of a layer: the nodes that the operator replaces, and what they compute."""

    nodes: list[fx.Node]
    weight: Tensor  # (rows, ...), float64: folding rounds once
    bias: Tensor | None
    clamp: tuple[float, float] = (-math.inf, math.inf)


def _replace_layer(
    module: fx.GraphModule, weight: fx.Node, name: str, form: Any,
) -> list[PackedLayer]:
    """Put operators where `weight` is used; the packed bytes are shared if they are equal."""
    stored: dict[bytes, fx.Node] = {}
    layers: list[PackedLayer] = []
    for node in list(weight.users):
        linear = node.target is _aten.linear.default
        if not linear and node.target not in (_aten.conv2d.default, _aten.conv2d.padding):
            raise UnsupportedModel("a weight that only its layer uses", str(node.target),
                                   where=f"layer {name!r}", hint="leave it dense")
        if not linear and node.meta["val"].dim() != 4:
            raise UnsupportedModel("images in a batch, (n, c, h, w)", "one without a batch",
                                   where=f"layer {name!r}", hint="x.unsqueeze(0)")
        call = _fuse(module, node)
        matrix = SparseMatrix.pack(
            np.ascontiguousarray(call.weight.flatten(1).numpy(), np.float32),
            values=cast(Values, form))
        with module.graph.inserting_before(node):
            if matrix.bytes not in stored:
                stored[matrix.bytes] = _add_constant(
                    module, torch.from_numpy(np.frombuffer(matrix.bytes, np.uint8).copy()))
            bias = None if call.bias is None else _add_constant(module, call.bias.float())
            shape = () if linear else _geometry(name, node, tuple(call.weight.shape[2:]))
            target = (torch.ops.edge.sparse_linear if linear else torch.ops.edge.sparse_conv2d)
            new = module.graph.call_function(
                target.default,
                (_contiguous(module, node.args[0]), stored[matrix.bytes], bias, matrix.rows,
                 *shape, *call.clamp))
        new.meta = dict(call.nodes[-1].meta)
        call.nodes[-1].replace_all_uses_with(new)
        for old in reversed(call.nodes):  # an in-place clamp is no dead code to torch.fx
            module.graph.erase_node(old)
        layers.append(PackedLayer(name, form, matrix.rows, matrix.cols, matrix.n_kept,
                                  len(matrix.bytes), call.clamp))
    module.graph.eliminate_dead_code()
    return layers


def _contiguous(module: fx.GraphModule, x: Any) -> fx.Node:
    """Return `x` in the layout that the operators take; nothing is added where it is so."""
    value = x.meta.get("val")
    if value is None or value.is_contiguous():
        return x  # type: ignore[no-any-return]
    return module.graph.call_function(
        _aten.clone.default, (x,), {"memory_format": torch.contiguous_format})


def _add_constant(module: fx.GraphModule, tensor: Tensor) -> fx.Node:
    count = sum(name.startswith("edge_sparse_") for name, _ in module.named_buffers())
    name = f"edge_sparse_{count}"
    module.register_buffer(name, tensor)
    return module.graph.get_attr(name)


def _fuse(module: fx.GraphModule, node: fx.Node) -> _Call:
    """Follow a layer's output through a batch norm and a clamp that nothing else reads."""
    _, matrix, offset = _arguments(node, None, None, None)[:3]
    weight, bias = _tensor(module, matrix).double(), _constant(module, offset)
    call = _Call([node], weight, None if bias is None else bias.double())
    following = _only_user(node)
    if following is not None and following.target is _aten.batch_norm.default \
            and not following.args[5] and (weight.dim() == 4 or node.meta["val"].dim() == 2):
        _fold(module, call, following)
        following = _only_user(following)
    clamp = None if following is None else _clamp(following)
    if following is not None and clamp is not None:
        call.nodes.append(following)
        call.clamp = clamp
    return call


def _clamp(node: fx.Node) -> tuple[float, float] | None:
    if node.target in _HARDTANH:
        _, low, high = _arguments(node, None, -1.0, 1.0)
        return float(low), float(high)
    return _CLAMPS.get(node.target)


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].args[:1] == (node,) else None


def _fold(module: fx.GraphModule, call: _Call, norm: fx.Node) -> None:
    """y = (W x + b - mean) gamma / sqrt(var + eps) + beta, as another W and b."""
    arguments = _arguments(norm)
    gamma, beta = _constant(module, arguments[1]), _constant(module, arguments[2])
    mean, var = _tensor(module, arguments[3]), _tensor(module, arguments[4])
    scale = (var.double() + float(arguments[7])).rsqrt()
    if gamma is not None:
        scale = scale * gamma.double()
    shift = -mean.double() if call.bias is None else call.bias - mean.double()
    call.bias = shift * scale if beta is None else shift * scale + beta.double()
    call.weight = call.weight * scale.reshape(-1, *[1] * (call.weight.dim() - 1))
    call.nodes.append(norm)


def _geometry(
    name: str, node: fx.Node, kernel: tuple[int, ...],
) -> tuple[list[int], list[int], list[int]]:
    """Return kernel size, stride and padding of a call of conv2d."""
    stride, padding = _arguments(node, None, None, None, [1, 1], [0, 0])[3:5]
    if padding == "valid":
        padding = [0, 0]
    elif padding == "same":
        if any(k % 2 == 0 for k in kernel):
            raise UnsupportedModel("padding that is the same on both sides",
                                   f"'same' with a kernel of {kernel}", where=f"layer {name!r}",
                                   hint="leave it dense")
        padding = [k // 2 for k in kernel]
    if any(pad >= k for pad, k in zip(padding, kernel, strict=True)):
        raise UnsupportedModel("padding below the kernel's size",
                               f"padding {padding}, kernel {kernel}", where=f"layer {name!r}",
                               hint="leave it dense")
    return list(kernel), list(stride), list(padding)
