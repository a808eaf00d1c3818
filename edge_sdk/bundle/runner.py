"""`Runner`: a bundle's model in an engine, its head and cascades in the core."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock

import numpy as np

from edge_sdk.artifact import Arrays
from edge_sdk.bundle.folder import Bundle
from edge_sdk.cascade import Answer, Cascade
from edge_sdk.cascade.head import Floats
from edge_sdk.engines import Engine, load
from edge_sdk.errors import GranularityError, ShapeError


@dataclass(frozen=True, slots=True)
class Run:
    """An answer, and the embedding (d,) float32 that it was read from."""

    answer: Answer
    embedding: Floats


class Runner:
    """Runs one input at a time by any plan; several threads may share it.

    A plan is a granularity, which always answers at the largest dim, or a cascade of the
    bundle by its name.

    Attributes:
        plans: By name, granularities first.
        engine: All its granularities are resident.
    """

    def __init__(self, bundle: Bundle, *, target: str | None = None, threads: int = 1) -> None:
        """Load the model.

        Raises:
            FormatError: The bundle has no model for the target.
            MissingDependency: Its engine is not installed.
        """
        self.bundle = bundle
        self.engine: Engine = load(bundle.model(target), threads=threads)
        head = bundle.head
        self.plans = {name: Cascade(head, [(name, head.dim)])
                      for name in self.engine.granularities}
        self.plans |= bundle.cascades
        self._turn: AbstractContextManager[object] = (
            nullcontext() if self.engine.concurrent else Lock())

    def embed(self, inputs: Arrays, granularity: str) -> Floats:
        """Return the embedding (d,) float32 of one input, not normalized.

        Args:
            inputs: Arrays by name, batch 1.

        Raises:
            GranularityError: The model has no such granularity.
            ShapeError: Inputs of other names, shapes or dtypes, or with NaN.
        """
        for name, array in inputs.items():
            # An engine would answer, and the answer would be a class like any other.
            if isinstance(array, np.ndarray) and array.dtype.kind == "f" and \
                    not np.isfinite(array).all():
                raise ShapeError("finite numbers", "NaN or infinity", where=f"input {name!r}",
                                 hint="look where the picture or signal comes from")
        with self._turn:
            outputs = self.engine.run(inputs, granularity)
        embedding: Floats = outputs["embedding"][0]
        return embedding

    def run(self, plan: str, inputs: Arrays) -> Run:
        """Return the answer to one input by a plan.

        Raises:
            GranularityError: There is no such plan.
            ShapeError: As in `embed`.
        """
        if plan not in self.plans:
            raise GranularityError(f"one of {', '.join(self.plans)}", repr(plan), where="`plan`",
                                   hint="a granularity, or a cascade of the bundle")
        last: list[Floats] = []

        def embed(granularity: str) -> Floats:
            last.append(self.embed(inputs, granularity))
            return last[-1]

        answer = self.plans[plan].classify(embed)
        return Run(answer, last[-1])
