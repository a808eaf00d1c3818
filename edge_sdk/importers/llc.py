"""LLC checkpoints and codebooks as github.com/RAIVNLab/LLC writes them.

A checkpoint holds the projection as `fc_lr.weight`, (bits, d, 1, 1), the codebook
as `fc.weight`, (classes, bits, 1, 1), and the trunk beside them; a codebook file
is a `.npy` of (classes, bits) real values.

What a codebook entry of exactly 0 means, that repository does not settle: its
binarizer in training sends it to -1, its loader of codebooks and its exact
decoder to +1. Here sign(0) = +1, as in the thesis, unless `zero_is=-1`; how many
entries that concerns is counted and said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk.codes import CodeIndex
from edge_sdk.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECTION, CODEBOOK = "fc_lr.weight", "fc.weight"


@dataclass(frozen=True)
class ImportedLLC:
    """A codebook from elsewhere, and what came with it.

    Attributes:
        codebook: (classes, bits) float32, real-valued as it was stored.
        signs: (classes, bits) int8, -1 and +1, by the rule of `zero_is`.
        projection: (bits, d) float32, or None if a codebook came alone.
        trunk: Every other tensor, by name, untouched.
        zero_is: What an entry of 0 was taken for.
        n_zeros: How many entries that concerned.
    """

    codebook: NDArray[np.float32]
    signs: NDArray[np.int8]
    zero_is: int
    n_zeros: int
    projection: NDArray[np.float32] | None = None
    trunk: dict[str, Any] = field(default_factory=dict, repr=False)

    def index(self, *, labels: Sequence[str] | None = None,
              duplicates: Literal["error", "lowest"] = "error") -> CodeIndex:
        """Return a `CodeIndex` of the codes, whose provenance says the rule for zeros.

        Raises:
            CodeError: Two classes have one code. There both count as right;
                here `duplicates="lowest"` must ask for it.
            ShapeError: More than 64 bits, or another number of labels.
        """
        return CodeIndex.build(
            self.signs, labels=labels, duplicates=duplicates,
            provenance={"importer": "RAIVNLab/LLC", "zero_is": self.zero_is,
                        "zeros": self.n_zeros})


def import_llc(path: str | os.PathLike[str], *, zero_is: Literal[1, -1] = 1) -> ImportedLLC:
    """Read a checkpoint (.pt, .pth, .safetensors) or a codebook (.npy).

    Args:
        path: The file; a checkpoint may wrap its tensors in `state_dict` and have
            DDP's prefix `module.`.
        zero_is: What an entry of exactly 0 means.

    Raises:
        CheckpointError: Not such a file; the two tensors are missing, of another
            shape, or not finite.
    """
    path = Path(path)
    if path.suffix == ".npy":
        return _imported(_read_npy(path), zero_is, path)
    from edge_sdk.checkpoint import read_tensors

    tensors = read_tensors(path)
    missing = [name for name in (PROJECTION, CODEBOOK) if name not in tensors]
    if missing:
        raise CheckpointError(f"tensors {PROJECTION} and {CODEBOOK}",
                              f"no {' and no '.join(missing)}", where=str(path),
                              hint="is this an LLC checkpoint? a codebook alone is a .npy")
    projection, codebook = (_matrix(tensors.pop(name), name, path)
                            for name in (PROJECTION, CODEBOOK))
    if projection.shape[0] != codebook.shape[1]:
        raise CheckpointError(f"a codebook of {projection.shape[0]} bits, as the projection has",
                              str(codebook.shape[1]), where=str(path),
                              hint="the two tensors are of different models")
    return _imported(codebook, zero_is, path, projection, tensors)


def _imported(codebook: NDArray[np.float32], zero_is: int, path: Path,
              projection: NDArray[np.float32] | None = None,
              trunk: dict[str, Any] | None = None) -> ImportedLLC:
    for name, matrix in ((CODEBOOK, codebook), (PROJECTION, projection)):
        if matrix is not None and not np.isfinite(matrix).all():
            raise CheckpointError("finite numbers", f"NaN or infinity in {name}", where=str(path),
                                  hint="the training diverged")
    positive = codebook >= 0 if zero_is == 1 else codebook > 0
    signs = np.where(positive, 1, -1).astype(np.int8)
    return ImportedLLC(codebook, signs, zero_is, int((codebook == 0).sum()), projection,
                       trunk or {})


def _read_npy(path: Path) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError("a .npy codebook", str(error).splitlines()[0], where=str(path),
                              hint="it was cut short or altered: copy it again") from error
    return _matrix(array, path.name, path)


def _matrix(value: Any, name: str, path: Path) -> NDArray[np.float32]:
    """Return a (n, m) matrix of one stored as such or as a 1x1 convolution."""
    shape = list(getattr(value, "shape", ()))
    if len(shape) not in (2, 4) or shape[2:] not in ([], [1, 1]) or 0 in shape:
        raise CheckpointError(f"{name} of shape (n, m) or (n, m, 1, 1)", str(shape or type(value)),
                              where=str(path), hint="other layouts of LLC are not known here")
    if hasattr(value, "detach"):
        value = value.detach().float().cpu().numpy()
    return np.ascontiguousarray(value, np.float32).reshape(shape[0], shape[1])
