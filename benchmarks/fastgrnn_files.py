"""Writes what `fastgrnn_calls` runs: the project's exports, and a sequence unrolled whole.

Exporters write what devices take: a step and forms for any length. Unrolled for one length is
an engine's fastest form, so that is lowered here. What is there already is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.fastgrnn_calls import CHUNK, N_FRAMES, N_HIDDEN, N_INPUTS, frames, weights
from edge_sdk.compiler import compile_c, host_compiler
from edge_sdk.exporters.sequences import to_executorch, to_onnx
from edge_sdk.exporters.sequences.modules import Chunk, Step
from edge_sdk.exporters.sequences.request import Files, SequenceRequest
from edge_sdk.exporters.to_c import to_c
from edge_sdk.exporters.to_litert import quiet
from edge_sdk.fastgrnn import FastGRNN


class Whole(Chunk):
    """All frames unrolled, and the logits (1, C) of the last alone."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h' (1, H), logits (1, C))."""
        wx, u = self.inward(x), self.factors("u")
        for t in range(x.shape[0]):
            h = self.advance(wx[t : t + 1], h, u)
        return h, self.outward(h)


def write(folder: Path, report: Callable[[str], None]) -> None:
    """Write every file that is not in `folder` yet; ExecuTorch unrolled takes many minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    made: Mapping[str, Callable[[Path], None]] = {
        "cell.grnn": FastGRNN.build(weights()).save, "cell.so": _shared_library,
        "cell.pte": lambda path: _exported(to_executorch.lower(_request()), {"": path}),
        "step.onnx": lambda path: _exported(
            to_onnx.lower(_request()), {"": path.with_name("scan.onnx"), "-step": path}),
        "whole.onnx": _onnx_whole, "whole.pte": _executorch_whole,
        "step.tflite": lambda path: _litert(Step(weights()), 1, path),
        "chunk.tflite": lambda path: _litert(Chunk(weights()), CHUNK, path),
        "whole.tflite": lambda path: _litert(Whole(weights()), N_FRAMES, path),
    }
    for name, make in made.items():
        if not (folder / name).exists():
            report(f"writing {name}")
            make(folder / name)


def _request() -> SequenceRequest:
    return SequenceRequest(weights())


def _exported(files: Files, paths: Mapping[str, Path]) -> None:
    for suffix, path in paths.items():
        files[suffix].lowered.write(path, "{}")


def _sample(n: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(n, N_INPUTS), torch.zeros(1, N_HIDDEN)


def _shared_library(path: Path) -> None:
    source = path.with_suffix(".c")
    to_c(weights(), source, name="cell", sequences=[frames()])
    compiler = host_compiler()
    assert compiler is not None
    compile_c(compiler, [source], path, ("-std=c99", "-O3", "-march=native", "-shared", "-fPIC"))


def _onnx_whole(path: Path) -> None:
    with quiet():
        program = torch.onnx.export(Whole(weights()).eval(), _sample(N_FRAMES), dynamo=True)
    assert program is not None
    program.save(path)


def _executorch_whole(path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    traced = torch.export.export(Whole(weights()).eval(), _sample(N_FRAMES), strict=False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        edge = to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()])
        path.write_bytes(edge.to_executorch().buffer)


def _litert(module: nn.Module, n: int, path: Path) -> None:
    import litert_torch

    with quiet(), torch.no_grad():
        litert_torch.convert(module.eval(), _sample(n), strict_export=False).export(str(path))
