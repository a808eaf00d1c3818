"""Layers over packed sparse weights as operators of torch: edge::sparse_linear, sparse_conv2d.

Importing this module defines them, so that `torch.export` keeps them as they are and
ExecuTorch finds their `.out` variants. What runs here is the obvious reference: the weight
unpacked, the dense layer, a clamp. On the device runtime/executorch/edge_operators.cpp runs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from edge_sdk.sparse import SparseMatrix

LINEAR = ("sparse_linear", "Tensor x, Tensor weight, Tensor? bias, int out_features, "
                           "float low, float high")
CONV2D = ("sparse_conv2d", "Tensor x, Tensor weight, Tensor? bias, int out_channels, "
                           "int[2] kernel_size, int[2] stride, int[2] padding, "
                           "float low, float high")

_library = torch.library.Library("edge", "DEF")
for _name, _arguments in (LINEAR, CONV2D):
    _library.define(f"{_name}({_arguments}) -> Tensor")
    _library.define(f"{_name}.out({_arguments}, *, Tensor(a!) out) -> Tensor(a!)")


def unpack(weight: Tensor) -> Tensor:
    """Return the dense float32 matrix, (rows, cols), of packed bytes, uint8.

    Raises:
        FormatError: They are damaged, or no packed weight.
    """
    return torch.from_numpy(SparseMatrix.from_bytes(weight.numpy()).dense())


def sparse_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, out_features: int, low: float, high: float,
) -> Tensor:
    """Return clamp(x W^T + bias, low, high), (..., out_features), for x (..., in_features).

    Args:
        x: float32.
        weight: The packed bytes of W, uint8.
        bias: (out_features,) or None.
        out_features: Rows of W: shapes are known before the bytes are read.
        low: -inf for no bound.
        high: inf for no bound.
    """
    dense = unpack(weight)
    _check_rows(dense, out_features)
    return functional.linear(x, dense, bias).clamp(low, high)


def sparse_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, out_channels: int, kernel_size: list[int],
    stride: list[int], padding: list[int], low: float, high: float,
) -> Tensor:
    """Return clamp(conv2d(x, W) + bias, low, high) for x (n, c, h, w): one group, no dilation.

    Args:
        x: float32.
        weight: The packed bytes, uint8, of W as (out_channels, c * kernel height * width).
        bias: (out_channels,) or None.
        out_channels: Rows of W.
        kernel_size: Height and width.
        stride: Vertical, horizontal.
        padding: Zeros above and below, left and right.
        low: -inf for no bound.
        high: inf for no bound.
    """
    dense = unpack(weight)
    _check_rows(dense, out_channels)
    kernel = dense.reshape(out_channels, x.shape[1], *kernel_size)
    out = functional.conv2d(x, kernel, bias, stride=stride, padding=padding)
    return out.clamp(low, high).contiguous()


def _check_rows(dense: Tensor, rows: int) -> None:
    if len(dense) != rows:
        raise RuntimeError(f"edge: the weight has {len(dense)} rows, the layer {rows} outputs")


def _linear_like(
    x: Tensor, weight: Tensor, bias: Tensor | None, out_features: int, low: float, high: float,
) -> Tensor:
    return x.new_empty((*x.shape[:-1], out_features))


def _conv2d_like(
    x: Tensor, weight: Tensor, bias: Tensor | None, out_channels: int, kernel_size: list[int],
    stride: list[int], padding: list[int], low: float, high: float,
) -> Tensor:
    size = [(x.shape[2 + i] + 2 * padding[i] - kernel_size[i]) // stride[i] + 1 for i in (0, 1)]
    return x.new_empty((x.shape[0], out_channels, *size))


def _define(name: str, run: Callable[..., Tensor], like: Callable[..., Tensor]) -> None:
    def run_out(*arguments: object, out: Tensor) -> Tensor:
        result = run(*arguments)
        out.resize_(result.shape)
        return out.copy_(result)

    def like_out(*arguments: object, out: Tensor) -> Tensor:
        return out

    _library.impl(name, run, "CPU")
    _library.impl(f"{name}.out", run_out, "CPU")
    torch.library.register_fake(f"edge::{name}", like, lib=_library)
    torch.library.register_fake(f"edge::{name}.out", like_out, lib=_library)


_define("sparse_linear", sparse_linear, _linear_like)
_define("sparse_conv2d", sparse_conv2d, _conv2d_like)
