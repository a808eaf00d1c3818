"""ResNet-50 and MobileNetV1 by the names of github.com/RAIVNLab/STR, and what each layer costs.

Both end in a 1x1 convolution `fc` on the pooled features, (classes, features, 1, 1),
where torchvision has a linear layer. A ResNet's other names are torchvision's. Of
MobileNetV1, `model.0` is the first convolution (`.0`) and its norm (`.1`); `model.1`
to `model.13` have a depthwise convolution (`.0`, `.1`) and a 1x1 one (`.3`, `.4`).

A cost is counted from names, shapes of weights and sizes of outputs alone, as
published there: norms, biases, activations and sums are left out, the average pool is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from edge_sdk.errors import CheckpointError, ShapeError, UnsupportedModel
from edge_sdk.nn.budgets import LayerCost, average_pool_cost, layer_cost, total_cost

Size = tuple[int, int]
"""Height and width."""

EXPANSION = 4
"""A bottleneck's output channels for each of its inner ones."""

SEPARABLE = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1))
"""MobileNetV1's blocks: output channels as a multiple of the first convolution's; stride."""


# ---- what there is ---------------------------------------------------------------------


@dataclass(frozen=True)
class Architecture:
    """One of the two networks, or a smaller one of its kind.

    Attributes:
        kind: Which of the two.
        width: Output channels of the first convolution; all others are multiples of it.
        blocks: A ResNet's bottlenecks in each of its four stages.
        classes: Rows of the head.
        head_bias: Whether the head has a bias; there, only one that was kept dense has.
    """

    kind: Literal["resnet", "mobilenetv1"]
    width: int
    blocks: tuple[int, ...] = ()
    classes: int = 1000
    head_bias: bool = False

    def __post_init__(self) -> None:
        stages = {"resnet": 4, "mobilenetv1": 0}.get(self.kind)
        if stages is None or len(self.blocks) != stages or \
                min(self.width, self.classes, *self.blocks) < 1:
            raise UnsupportedModel(
                "a resnet of 4 stages, or a mobilenetv1, of positive sizes", repr(self),
                where="`Architecture`", hint="RESNET50 and MOBILENET_V1 are the published ones")

    @property
    def name(self) -> str:
        """`resnet50`, `mobilenetv1`, or words that tell how it differs in width or depth."""
        for name, published in ARCHITECTURES.items():
            if (self.kind, self.width, self.blocks) == (
                    published.kind, published.width, published.blocks):
                return name
        depth = f" of {','.join(map(str, self.blocks))} blocks" if self.blocks else ""
        return f"{self.kind}{depth}, width {self.width}"


RESNET50 = Architecture("resnet", 64, (3, 4, 6, 3))
MOBILENET_V1 = Architecture("mobilenetv1", 32)
ARCHITECTURES = {"resnet50": RESNET50, "mobilenetv1": MOBILENET_V1}


def build(architecture: Architecture, *, device: str = "cpu") -> nn.Module:
    """Return the network with random weights, in eval mode; (n, 3, h, w) to (n, classes).

    Args:
        architecture: Which.
        device: "meta" for one without numbers, to be given some.
    """
    a = architecture
    with torch.device(device):
        model = (ResNet(a.blocks, a.width, a.classes, a.head_bias) if a.kind == "resnet"
                 else MobileNetV1(a.width, a.classes, a.head_bias))
    return model.eval()


# ---- the networks ----------------------------------------------------------------------


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1, each with its norm, beside a shortcut."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * EXPANSION
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = None if stride == 1 and inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return cast(Tensor, self.relu(y + (x if self.downsample is None else self.downsample(x))))


class ResNet(nn.Module):
    """He et al., CVPR 2016, with the stride in a bottleneck's 3x3 convolution."""

    def __init__(self, blocks: tuple[int, ...], width: int, classes: int, head_bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        outputs = [width * EXPANSION * 2**stage for stage in range(4)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(inputs, width * 2**i, n, stride=1 if i == 0 else 2)
            for i, (inputs, n) in enumerate(zip([width, *outputs[:3]], blocks, strict=True)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(outputs[-1], classes, 1, bias=head_bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast(Tensor, self.fc(self.avgpool(x)).flatten(1))


def _stage(inputs: int, inner: int, n_blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(inner * EXPANSION, inner, 1) for _ in range(n_blocks - 1))
    return nn.Sequential(Bottleneck(inputs, inner, stride), *rest)


class MobileNetV1(nn.Module):
    """Howard et al., 2017.

    The published code averages over 7x7, which is everything for inputs of 224x224 alone;
    this one averages over everything for inputs of any size.
    """

    def __init__(self, width: int, classes: int, head_bias: bool) -> None:
        super().__init__()
        blocks, inputs = [nn.Sequential(*_convolution(3, width, 3, stride=2))], width
        for multiple, stride in SEPARABLE:
            outputs = width * multiple
            blocks.append(nn.Sequential(
                *_convolution(inputs, inputs, 3, stride=stride, groups=inputs),
                *_convolution(inputs, outputs, 1)))
            inputs = outputs
        self.model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Conv2d(inputs, classes, 1, bias=head_bias)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc(self.model(x)).flatten(1))


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1,
                 groups: int = 1) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU())


# ---- what it costs ---------------------------------------------------------------------


@dataclass(frozen=True)
class ModelCost:
    """What a network costs for one input.

    Attributes:
        layers: Its convolutions, in order; their weights are all the parameters counted.
        pool: The average before the head: no weight, and one multiply-accumulate for every
            number averaged, by 1. ResNet-50's 100,352 are 2048 channels of 7x7. It is not
            sparser in a sparse network.
    """

    layers: tuple[LayerCost, ...]
    pool: LayerCost

    @property
    def total(self) -> LayerCost:
        """Return the sum of all rows, the pool's too."""
        return total_cost((*self.layers, self.pool))


def model_cost(architecture: Architecture, *, input_size: int | Size = 224,
               kept: Mapping[str, int] | None = None) -> ModelCost:
    """Return what a network costs for one input, from shapes alone.

    Args:
        architecture: Which.
        input_size: The input's height and width, or both in one.
        kept: Weights that are not zero, by layer. None: all.

    Raises:
        ShapeError: `input_size` is not positive; a layer can not keep so many.
        CheckpointError: `kept` misses layers, or has others.
    """
    model = build(architecture, device="meta")
    layers = convolutions(model)
    if kept is None:
        kept = {name: layer.weight.numel() for name, layer in layers.items()}
    problems = [f"missing {name}" for name in layers if name not in kept]
    problems += [f"extra {name}" for name in kept if name not in layers]
    if problems:
        raise CheckpointError(f"counts for the {len(layers)} layers of {architecture.name}",
                              ", ".join(problems), where="`kept`", hint="names are the modules'")
    positions, pool = _trace(model, input_size)
    return ModelCost(tuple(layer_cost(name, layer.weight.shape, positions=positions[name],
                                      kept=kept[name]) for name, layer in layers.items()), pool)


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions of a network by name, in order."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d)}


def _trace(model: nn.Module, input_size: int | Size) -> tuple[dict[str, int], LayerCost]:
    """Return how many places each convolution's output has, and the pool's cost.

    `model` is on the meta device: torch computes shapes alone.
    """
    size = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
    if len(size) != 2 or min(size) < 1:
        raise ShapeError("a positive height and width", str(input_size), where="`input_size`",
                         hint="224 is what the published networks were trained for")
    positions: dict[str, int] = {}
    pools: list[LayerCost] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _, __, y, name=name: positions.update({name: y.shape[2] * y.shape[3]}))
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_hook(
                lambda _, x, __, name=name: pools.append(average_pool_cost(name, *x[0].shape[1:])))
    model(torch.empty(1, 3, *size, device="meta"))
    return positions, pools[0]
