"""ExecuTorch: each granularity, or way to advance a sequence, is a method of the .pte."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from numpy.typing import NDArray

from edge_sdk.artifact import Arrays
from edge_sdk.engines import operators
from edge_sdk.engines.base import Engine
from edge_sdk.errors import EngineError, MissingDependency


class ExecuTorchEngine(Engine):
    """Runs a .pte on ExecuTorch's pip runtime, whose thread pool is one for the process."""

    name = "executorch"
    _live: ClassVar[weakref.WeakSet[ExecuTorchEngine]] = weakref.WeakSet()

    @classmethod
    def prepare(cls) -> None:
        try:
            import executorch.runtime  # noqa: F401
        except ImportError as error:
            raise MissingDependency("the ExecuTorch runtime", str(error), where=cls.name,
                                    hint="pip install 'edge-inference-sdk[executorch]'") from error

    def _open(self, threads: int) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        operators.load_for(self.artifact.path)
        self._from_numpy = torch.from_numpy
        if portable_lib._threadpool_get_thread_count() != threads:
            # Resetting frees the pool under every loaded method: they crash.
            if self._live:
                raise EngineError(
                    f"{portable_lib._threadpool_get_thread_count()} thread(s), as engines loaded "
                    "before", str(threads), where="`threads`",
                    hint="ExecuTorch has one thread pool; drop the other engines first")
            portable_lib._unsafe_reset_threadpool(threads)
        self._live.add(self)
        try:
            # The program must outlive its methods.
            self._program = Runtime.get().load_program(self.artifact.path)
            self._methods = {}
            for name in self.signatures:
                self._methods[name] = self._program.load_method(name)
        except RuntimeError as error:
            raise EngineError("a program that ExecuTorch loads", str(error),
                              where=str(self.artifact.path),
                              hint="compare `toolchain` in the metadata with pip list") from error

    def call(self, name: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        signature = self.signatures[name]
        tensors = [self._from_numpy(inputs[spec.name]) for spec in signature.inputs]
        try:
            outputs = self._methods[name].execute(tensors)
        except RuntimeError as error:
            raise EngineError("a run without an error", str(error),
                              where=f"{name} of {self.artifact.path}",
                              hint="selftest shows whether the file runs here") from error
        # Outputs live in the method's own memory, which the next call overwrites.
        return {spec.name: output.numpy().copy()
                for spec, output in zip(signature.outputs, outputs, strict=True)}
