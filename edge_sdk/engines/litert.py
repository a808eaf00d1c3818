"""LiteRT: each granularity, or way to advance a sequence, is a signature of the .tflite.

CompiledModel with a weight cache instead of the Interpreter: signatures share the
packed weights, and fault them in when first run. S, M, L and XL of a 10.8 MB model,
all used, take 23.9 MB beside 20.0 for XL alone (the Interpreter packs every signature
at its first use: 44.4 beside 25.2). It is as fast, but for some 5 us a call (x86-64,
one thread).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Arrays
from edge_sdk.engines.base import Engine
from edge_sdk.errors import EngineError, MissingDependency, UnsupportedModel

# XNNPACK's name for a cache in anonymous memory (memfd). A cache file would be
# believed for other weights of the same structure, stay behind a crash, and when the
# disk is full abort the process. Where there is no memfd, nothing is cached.
_WEIGHT_CACHE = ":memory"

_INSTALL = "pip install 'edge-inference-sdk[litert]'"

_Runner = Callable[[Arrays], dict[str, NDArray[Any]]]


class LiteRTEngine(Engine):
    """Runs a .tflite on ai-edge-litert, or an fp32 one on tflite-runtime where only that exists."""

    name = "litert"

    @classmethod
    def prepare(cls) -> None:
        _library()

    def _open(self, threads: int) -> None:
        compiled_model, interpreter = _library()
        self._runners: dict[str, _Runner]
        try:
            if compiled_model is not None:
                self._runners = self._compile(compiled_model, threads)
            else:
                self._runners = self._interpret(interpreter, threads)
        except (RuntimeError, ValueError, KeyError) as error:
            raise EngineError("a model that LiteRT loads", str(error),
                              where=str(self.artifact.path),
                              hint="compare `toolchain` in the metadata with pip list") from error

    def call(self, name: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        try:
            return self._runners[name](inputs)
        except (RuntimeError, ValueError) as error:
            raise EngineError("a run without an error", str(error),
                              where=f"{name} of {self.artifact.path}",
                              hint="load the file anew; selftest shows whether it runs here"
                              ) from error

    def _compile(self, litert: Any, threads: int) -> dict[str, _Runner]:
        options = litert.Options(
            hardware_accelerators=litert.HardwareAccelerator.CPU,
            cpu_options=litert.CpuOptions(num_threads=threads,
                                          xnnpack_weight_cache_path=_WEIGHT_CACHE))
        model = litert.CompiledModel.from_file(str(self.artifact.path), options=options)
        return {name: _Signature(model, name, signature.outputs).run
                for name, signature in self.signatures.items()}

    def _interpret(self, tflite: Any, threads: int) -> dict[str, _Runner]:
        if self.metadata.quantization != "none":
            # tflite-runtime 2.14 knows no weights with a scale for each row: it runs
            # them, and answers with the biases alone.
            raise UnsupportedModel("an fp32 artifact where tflite-runtime is the only LiteRT",
                                   self.metadata.quantization, where=str(self.artifact.path),
                                   hint=f"{_INSTALL}, or export with --quantize none")
        interpreter = tflite.Interpreter(str(self.artifact.path), num_threads=threads)

        def bind(runner: Any) -> _Runner:
            return lambda inputs: dict(runner(**inputs))

        return {name: bind(interpreter.get_signature_runner(name)) for name in self.signatures}


class _Signature:
    """A signature of a compiled model, with buffers of its own for inputs and outputs."""

    def __init__(self, model: Any, name: str, outputs: Any) -> None:
        self._model = model
        self._index = model.get_signature_index(name)
        signature = model.get_signature_list()[name]
        given, taken = model.get_input_tensor_details(name), model.get_output_tensor_details(name)
        self._in_names = list(signature["inputs"])
        self._in_buffers = [model.create_input_buffer_by_name(name, key) for key in self._in_names]
        self._in_dtypes = [np.dtype(given[key]["dtype"]) for key in self._in_names]
        self._out_buffers = [model.create_output_buffer_by_name(name, key)
                             for key in signature["outputs"]]
        by_name = dict(zip(signature["outputs"], self._out_buffers, strict=True))
        self._out = [(spec, by_name[spec.name], int(np.prod(spec.shape)),
                      np.dtype(taken[spec.name]["dtype"])) for spec in outputs]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name, as copies."""
        for name, buffer, dtype in zip(self._in_names, self._in_buffers, self._in_dtypes,
                                       strict=True):
            # The converter keeps no 64-bit integers.
            buffer.write(inputs[name].astype(dtype, copy=False))
        self._model.run_by_index(self._index, self._in_buffers, self._out_buffers)
        return {spec.name: buffer.read(size, dtype).reshape(spec.shape)
                .astype(spec.dtype, copy=False) for spec, buffer, size, dtype in self._out}


def _library() -> tuple[Any, Any]:
    """Return ai-edge-litert's CompiledModel module, or None and tflite-runtime's Interpreter's.

    Raises:
        MissingDependency: Neither is installed.
    """
    try:
        from ai_edge_litert import compiled_model

        return compiled_model, None
    except ImportError as absent:
        try:
            from tflite_runtime import interpreter
        except ImportError:
            raise MissingDependency("ai-edge-litert", str(absent), where=LiteRTEngine.name,
                                    hint=_INSTALL) from absent
        return None, interpreter
