"""What a compact form saved, and the arithmetic that all targets share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import SparseInfo, SparseLayer
from edge_sdk.errors import UnsupportedModel

Values = Literal["float32", "int8"]

SPEED = "same as dense"
"""The engine multiplies dense matrices, rebuilt when it loads the file."""

LEAST_ZEROS = 0.5
"""Below half zeros an index and a value cost as much as the values alone."""

LAYER_OVERHEAD = 512
"""Bytes that a rebuilt weight's operators and tensors may take; small weights stay dense."""


class LayerReport(TypedDict):
    """One weight. `zeros` of prod(shape) values are 0, `entries` are stored.

    `form` is "dense" for a weight left alone. The bytes are those of the arrays.
    """

    name: str
    shape: tuple[int, ...]
    zeros: int
    entries: int
    form: str
    bytes_before: int
    bytes_after: int


class FileReport(TypedDict):
    """One file. The bytes are those of the whole file, graph and metadata included."""

    form: str
    speed: str
    bytes_before: int
    bytes_after: int
    layers: list[LayerReport]


def file_report(
    target: str, layers: Sequence[LayerReport], bytes_before: int, bytes_after: int
) -> FileReport:
    """Return the report of a file; its form is "dense" if every weight was left alone."""
    forms = sorted({layer["form"] for layer in layers} - {"dense"})
    return FileReport(form=f"{target} {', '.join(forms)}" if forms else "dense", speed=SPEED,
                      bytes_before=bytes_before, bytes_after=bytes_after, layers=list(layers))


def sparse_info(report: FileReport, values: str) -> SparseInfo:
    """Return the report as the file's metadata keeps it."""
    return SparseInfo(values, report["speed"], tuple(
        SparseLayer(_plain_name(layer["name"]), layer["form"], layer["zeros"],
                    math.prod(layer["shape"]), layer["bytes_after"], layer["bytes_before"],
                    "smaller" if layer["form"] != "dense" else "would not be smaller")
        for layer in report["layers"]))


def _plain_name(tensor: str) -> str:
    """Return a layer's name in its model, as far as the toolchain kept it.

    torch's ONNX exporter writes model.a.b.weight, the LiteRT converter Signature/model/a/b;1
    behind the names of all that it fused with it.
    """
    last = tensor.rpartition(";;")[2].partition(";")[0].replace("/", ".")
    for prefix in ("Signature.", "model.", "model."):
        last = last.removeprefix(prefix)
    return last.removesuffix(".weight")


def left_dense(name: str, weight: NDArray[np.float32]) -> LayerReport:
    """Return the report of a weight that stays as it is."""
    return LayerReport(name=name, shape=weight.shape, zeros=int((weight == 0).sum()),
                       entries=weight.size, form="dense", bytes_before=weight.nbytes,
                       bytes_after=weight.nbytes)


def check_options(values: str, least_zeros: float, target: str) -> None:
    """Check what all targets are asked for.

    Raises:
        UnsupportedModel: Values other than float32 and int8, or a share beyond [0, 1].
    """
    if values not in ("float32", "int8"):
        raise UnsupportedModel("values float32 or int8", repr(values), where=f"target {target}",
                               hint="int8 stores one scale for each row")
    if not 0 <= least_zeros <= 1:
        raise UnsupportedModel("least_zeros from 0 to 1", repr(least_zeros),
                               where=f"target {target}", hint="0.5 stands for half the weights")


def demand_finite(name: str, weight: NDArray[Any]) -> None:
    """Check that a weight is finite.

    Raises:
        UnsupportedModel: It holds NaN or infinity.
    """
    if not np.isfinite(weight).all():
        raise UnsupportedModel("finite weights", "NaN or infinity", where=f"tensor {name!r}",
                               hint="look where the training makes NaN")


def to_int8(
    weight: NDArray[np.float32], axis: int | None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 values and a scale for each index along `axis`, or one scale for None.

    Symmetric: scale = max |w| / 127, rounded half to even; of a row of zeros it is 1.
    The scale keeps the weight's number of axes.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scale = (largest / np.float32(127)).astype(np.float32)
    # A row of denormals would divide by 0.
    scale[scale == 0] = 1
    return np.rint(weight / scale).clip(-127, 127).astype(np.int8), scale
