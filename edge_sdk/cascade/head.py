"""`Head`: a Matryoshka classifier as a file (`.mrl`) that the core evaluates in place.

The format is in runtime/FORMAT.md. MRL has one classifier for each dim, MRL-E one
matrix whose column prefixes serve every dim (Kusupati et al. 2022, arXiv:2205.13147).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sdk import _native, corefile
from edge_sdk.artifact import publish
from edge_sdk.errors import CheckpointError, FormatError, ShapeError

Floats = NDArray[np.float32]

LARGEST = 1e15
"""The core refuses larger weights and coordinates: their sums could become infinite."""


class Head(_native.Mrl):
    """A Matryoshka classifier of trained dims, immutable; `build`, `from_module` or `open` one.

    Any number of threads may classify at once. `n_classes`, `dim`, `dims`, `tied`,
    `normalized` and `scale` say what it is.
    """

    def __init__(self, data: NDArray[np.uint8], *, verify: bool = True) -> None:
        """Open a file's bytes, (size,) uint8, 8-byte aligned; they must stay unchanged.

        Raises:
            FormatError: Not an .mrl file, or damaged.
            VersionError: Written by a newer version.
        """
        data = corefile.as_bytes(data)
        super().__init__(data, verify)
        self._data = data

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Head:
        """Open a file, memory-mapped.

        Raises:
            FormatError: No such file, or damaged.
        """
        try:
            return cls(corefile.read(path, ".mrl"), verify=verify)
        except FormatError as error:
            error.where = error.where or str(path)
            raise

    @classmethod
    def build(
        cls, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike], *,
        tied: bool = False, dims: Sequence[int] | None = None, normalized: bool = False,
        scale: float = 1.0,
    ) -> Head:
        """Build a head from its classifiers.

        Args:
            weights: One (n_classes, dim) for each dim, shortest first; with `tied` a single
                (n_classes, largest dim).
            biases: One (n_classes,) for each of `weights`.
            tied: MRL-E: logits at dim m are x[:m] @ W[:, :m].T + b.
            dims: The trained dims of a tied head; otherwise they are those of `weights`.
            normalized: Each prefix is L2-normalized and multiplied by `scale` first.
            scale: Above 0.

        Raises:
            ShapeError: Shapes do not fit, dims do not grow, or there are more than 32.
            CheckpointError: A weight is NaN, infinite or beyond 1e15.
        """
        matrices = [_floats(w, 2, "weights") for w in weights]
        offsets = [_floats(b, 1, "biases") for b in biases]
        of_matrices = [w.shape[1] for w in matrices]
        chosen = [int(dim) for dim in dims] if dims is not None else of_matrices
        fits = (matrices and chosen and len(matrices) == len(offsets) and
                chosen == sorted(set(chosen)) and chosen[0] >= 1 and len(chosen) <= 32 and
                (of_matrices == chosen[-1:] if tied else of_matrices == chosen) and
                all(w.shape[0] == b.shape[0] == len(offsets[0]) > 0
                    for w, b in zip(matrices, offsets, strict=True)))
        if not fits:
            raise ShapeError("one (n_classes, dim) and one (n_classes,) for each of up to 32 "
                             "growing dims", f"weights {[list(w.shape) for w in matrices]}, biases "
                             f"{[list(b.shape) for b in offsets]}, dims {chosen}, tied {tied}",
                             where="`weights`", hint="a tied head has one matrix, and `dims`")
        if not 0 < np.float32(scale) <= LARGEST:
            raise ShapeError("a scale above 0", str(scale), where="`scale`",
                             hint="leave it out for a head that does not normalize")
        n_classes = len(offsets[0])
        kind = np.array([tied, normalized, 0, 0], np.uint32)
        kind[2:3] = np.array([scale], np.float32).view(np.uint32)
        blocks = np.split(matrices[0], chosen[:-1], axis=1) if tied else matrices
        return cls(corefile.pack(corefile.HEAD, chosen[-1], n_classes, [
            corefile.section("DIMS", np.array(chosen, np.uint32)),
            corefile.section("HEAD", kind),
            corefile.section("BIAS", np.concatenate([_padded(b) for b in offsets])),
            corefile.section("WGHT", np.concatenate([_panels(block) for block in blocks])),
        ]))

    @classmethod
    def from_module(cls, head: Any) -> Head:
        """Build from an `edge_sdk.nn.mrl` head: MRLHead or MRLEHead.

        Raises:
            ShapeError: It is neither.
            CheckpointError: A weight is NaN, infinite or beyond 1e15.
        """
        state = {name: tensor.detach().cpu().numpy()
                 for name, tensor in head.state_dict().items()}
        normalized = "log_scale" in state
        scale = float(np.exp(state["log_scale"]) * 16.0) if normalized else 1.0
        if "classifier.weight" in state:
            return cls.build([state["classifier.weight"]], [state["classifier.bias"]], tied=True,
                             dims=head.dims, normalized=normalized, scale=scale)
        names = [f"classifiers.{dim}" for dim in getattr(head, "dims", ())]
        if not names or any(f"{name}.weight" not in state for name in names):
            raise ShapeError("an MRLHead or MRLEHead", type(head).__name__, where="`head`",
                             hint="other classifiers: Head.build(weights, biases)")
        return cls.build([state[f"{name}.weight"] for name in names],
                         [state[f"{name}.bias"] for name in names],
                         normalized=normalized, scale=scale)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; what stood there before is replaced only by a whole one.

        Raises:
            OutputError: No such folder, or no room.
        """
        with publish(Path(path)) as (temporary,):
            temporary.write_bytes(self._data.data)

    def at(self, embeddings: Any, dim: int | None = None, *, interpolate: bool = False) -> Floats:
        """Return the logits at one dim, shape (n, n_classes) float32.

        Args:
            embeddings: (n, d >= dim of the head) or (d,), float32.
            dim: A trained dim; the largest by default.
            interpolate: Of a tied head, any dim.

        Raises:
            ShapeError: Another shape or dtype, or the head was not trained for `dim`.
            CodeError: NaN, infinity or a coordinate beyond 1e15 among the first `dim`.
        """
        found: Floats = self.logits(rows(embeddings, self.dim),
                                    self.dim if dim is None else dim, interpolate)
        return found


def rows(embeddings: Any, dim: int) -> Floats:
    """Return embeddings as the core reads them: (n, >= dim) float32, C-contiguous.

    Raises:
        ShapeError: Another shape or dtype.
    """
    array = embeddings
    if isinstance(array, np.ndarray) and array.ndim == 1:
        array = array[None]
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 2 or \
            array.shape[1] < dim:
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else \
            type(array).__name__
        raise ShapeError(f"embeddings (n, {dim}), float32", got, where="`embeddings`",
                         hint="np.asarray(x, np.float32), and all dims the head knows")
    return np.ascontiguousarray(array)


def single(embedding: Any, dim: int) -> Floats:
    """Return one embedding as the core reads it: (>= dim,) float32, contiguous.

    Raises:
        ShapeError: Another shape or dtype.
    """
    found = rows(embedding, dim)
    if len(found) != 1:
        raise ShapeError(f"one embedding ({dim},), float32", f"{len(found)} of them",
                         where="`embedding`", hint="Cascade.run takes many")
    one: Floats = found[0]
    return one


def _floats(values: ArrayLike, ndim: int, name: str) -> Floats:
    array = np.asarray(values, np.float32)
    if array.ndim != ndim:
        raise ShapeError(f"{ndim} axes", str(list(array.shape)), where=f"`{name}`",
                         hint="(n_classes, dim) and (n_classes,)")
    if not (np.abs(array) <= LARGEST).all():
        raise CheckpointError("finite weights up to 1e15", "NaN, infinity or larger ones",
                              where=f"`{name}`", hint="train again with a lower learning rate")
    return array


def _padded(bias: Floats) -> Floats:
    """Fill up to a multiple of 16 classes with such as are never the answer."""
    return np.pad(bias, (0, -len(bias) % 16), constant_values=-_native.MRL_NEVER)


def _panels(weights: Floats) -> Floats:
    """Return (n_classes, dim) as panels of 64 classes, each (dim, 64), the last one narrower."""
    padded = np.pad(weights, ((0, -len(weights) % 16), (0, 0)))
    return np.concatenate([padded[at : at + _native.MRL_PANEL].T.reshape(-1)
                           for at in range(0, len(padded), _native.MRL_PANEL)])
