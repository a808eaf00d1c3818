"""LiteRT: the signatures `step` and `chunk11`; its converter knows no loops.

A chunk is unrolled: 11 frames in one call take some two steps' time, because most of a
step is the call.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_sdk.errors import UnsupportedModel
from edge_sdk.exporters.sequences.modules import Chunk, Step
from edge_sdk.exporters.sequences.request import (
    CHUNK,
    FRAMES,
    LOGITS,
    NEXT_STATE,
    STATE,
    File,
    Files,
    SequenceRequest,
    demand_head,
    method,
)
from edge_sdk.exporters.to_litert import PLATFORMS, FlatModel, quiet
from edge_sdk.exporters.toolchain import require, require_platform


class _Named(nn.Module):
    """Takes inputs and gives outputs by name, which the converter keeps as they are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name."""
        h, logits = self.model(inputs[FRAMES], inputs[STATE])
        return {NEXT_STATE: h, LOGITS: logits}


def lower(request: SequenceRequest) -> Files:
    """Convert one frame and a chunk of frames into one model.

    Raises:
        MissingDependency: litert-torch is not installed.
        UnsupportedPlatform: litert-torch has no converter for this machine.
        UnsupportedModel: A bare cell, or an operator that the converter does not know.
    """
    weights = request.weights
    demand_head(weights)
    require_platform("litert", PLATFORMS)
    request.report("loading LiteRT")
    with quiet():
        require("litert", ["litert_torch"])
    methods = {"step": method(weights, 1, 1), f"chunk{CHUNK}": method(weights, CHUNK, CHUNK)}
    content = _convert(request, {"step": Step(weights), f"chunk{CHUNK}": Chunk(weights)},
                       {name: found.least for name, found in methods.items()})
    return {"": File(FlatModel(content, "none", list(methods)), methods)}


def _convert(request: SequenceRequest, modules: dict[str, Step], frames: dict[str, int]) -> bytes:
    import litert_torch

    converter = litert_torch
    for name, module in modules.items():
        sample = {FRAMES: torch.zeros(frames[name], request.weights.n_inputs),
                  STATE: torch.zeros(1, request.weights.n_hidden)}
        converter = converter.signature(name, _Named(module).eval(), sample_kwargs=sample)
    request.report(f"converting {len(modules)} signatures")
    try:
        with quiet(), torch.no_grad():
            content: bytes = converter.convert(strict_export=False).model_content()
    except RuntimeError as error:
        raise UnsupportedModel("operators that litert-torch converts",
                               str(error).strip().splitlines()[0] if str(error) else repr(error),
                               where="target litert",
                               hint="try --target executorch or --target onnx") from error
    return content
