"""Learnt low-dimensional binary codes: a word of k bits for every class and every instance.

Source: Kusupati et al., "LLC: Accurate, Multi-purpose Learnt Low-dimensional
Binary Codes", NeurIPS 2021 (arXiv:2106.01487), Algorithm 1. Phase 1 learns the
class codes: a classifier whose weights are signs, over a k-dimensional
projection of the features. Phase 2 freezes them and teaches every bit of the
projection to be that of its class.

Everywhere here sign(0) = +1, and the bit of +1 is 1. Column j of a codebook is
bit j of the word, the least significant first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from edge_sdk.errors import ShapeError

WORD_BITS = 64
"""Bits of the widest word; longer codes have no packed form here."""


def sign(scores: Tensor) -> Tensor:
    """Return +1 where `scores` >= 0 and -1 elsewhere, same shape and dtype.

    `torch.sign` would send 0 to 0, a third value that no bit can hold; -0.0 is 0.
    """
    one = torch.ones((), dtype=scores.dtype, device=scores.device)
    return torch.where(scores >= 0, one, -one)


def binarize(scores: Tensor, *, clip: bool = False) -> Tensor:
    """Return `sign(scores)`, with a gradient as if nothing had been done to them.

    The straight-through estimator of Bengio et al. (arXiv:1308.3432).

    Args:
        scores: Real values, any shape.
        clip: Let no gradient through where |score| > 1 (the derivative of the hard
            tanh). False, the plain estimator, is what Algorithm 1 is trained with
            here: a codebook entry that grew large can then still turn.
    """
    through = F.hardtanh(scores) if clip else scores
    return through + (sign(scores) - through).detach()


def pack_bits(scores: ArrayLike | Tensor) -> NDArray[np.uint64]:
    """Return the words of bit scores: sum over j of [scores_j >= 0] << j.

    Args:
        scores: Real values, shape (n, k), k in 1..64; a codebook or instance scores.

    Returns:
        uint64, shape (n,). The code of the first b bits is word & ((1 << b) - 1).

    Raises:
        ShapeError: Not two-dimensional, or k not in 1..64.
    """
    values = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
    if values.ndim != 2 or not 1 <= values.shape[1] <= WORD_BITS:
        raise ShapeError(f"bit scores of shape (n, 1..{WORD_BITS})", str(values.shape),
                         where="`scores`", hint="a word holds 64 bits; pack longer codes in parts")
    places = np.uint64(1) << np.arange(values.shape[1], dtype=np.uint64)
    words: NDArray[np.uint64] = np.where(values >= 0, places, np.uint64(0)).sum(
        axis=1, dtype=np.uint64)
    return words


def unpack_bits(words: NDArray[np.uint64], bits: int) -> Tensor:
    """Return the codes of `words` as +1 and -1, float32, shape (n, bits).

    Raises:
        ShapeError: `bits` is not in 1..64.
    """
    if not 1 <= bits <= WORD_BITS:
        raise ShapeError(f"1..{WORD_BITS} bits", str(bits), where="`bits`",
                         hint="a word holds 64 bits")
    places = np.arange(bits, dtype=np.uint64)
    ones = (np.asarray(words, np.uint64)[:, None] >> places) & np.uint64(1)
    return torch.from_numpy(np.where(ones > 0, np.float32(1), np.float32(-1)))


def unique_codes(words: NDArray[np.uint64]) -> int:
    """Return how many different words there are."""
    return len(np.unique(words))


def collisions(words: NDArray[np.uint64]) -> list[tuple[int, ...]]:
    """Return the groups of two or more class ids that share one word, lowest id first.

    No decoder can tell the classes of a group apart: all but one are lost.
    """
    groups: dict[int, list[int]] = {}
    for class_id, word in enumerate(words.tolist()):
        groups.setdefault(word, []).append(class_id)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def svd_codebook(weights: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return (codebook, basis): the best rank-k factors of a linear classifier.

    The classifier without its mean row, which no softmax can see, is about
    codebook @ basis.T (Eckart-Young). Columns of the codebook have a root mean
    square of 1; of the two signs a column may have, the one is taken whose
    largest entry is positive, so that every machine gets the same codes.

    Args:
        weights: Of the classifier, shape (n_classes, d).
        bits: k.

    Returns:
        Codebook (n_classes, bits), real-valued, whose signs are the SVD codes, and
        basis (d, bits): the projection that goes with it.

    Raises:
        ShapeError: `weights` is no matrix, or has fewer than `bits` rows or columns.
    """
    if weights.ndim != 2 or not 1 <= bits <= min(weights.shape):
        raise ShapeError(f"a matrix of {bits} rows and columns or more, and 1 bit or more",
                         str(tuple(weights.shape)), where="`weights`",
                         hint="a classifier of d features gives at most d bits")
    matrix = weights.detach().double()
    u, s, vt = torch.linalg.svd(matrix - matrix.mean(0), full_matrices=False)
    u, s, v = u[:, :bits], s[:bits], vt[:bits].T
    flip = sign(u.gather(0, u.abs().argmax(0, keepdim=True)))
    root = len(matrix) ** 0.5
    return (u * flip * root).to(weights.dtype), (v * flip * (s / root)).to(weights.dtype)


def random_codebook(n_classes: int, bits: int, seed: int) -> Tensor:
    """Return a codebook of fair coin flips without two equal rows, (n_classes, bits), +1 and -1.

    Raises:
        ShapeError: `bits` is not in 1..64, or gives fewer words than classes.
    """
    if not 1 <= bits <= WORD_BITS or 2**bits < n_classes:
        raise ShapeError(f"1..{WORD_BITS} bits, and a word for each of {n_classes} classes",
                         f"{bits} bits", where="`bits`",
                         hint=f"{max(1, (n_classes - 1).bit_length())} bits are the fewest")
    generator = torch.Generator().manual_seed(seed)
    codes = torch.empty(0, bits)
    while len(codes) < n_classes:
        drawn = torch.randint(0, 2, (n_classes, bits), generator=generator) * 2.0 - 1.0
        codes = torch.cat([codes, drawn])
        _, first = np.unique(pack_bits(codes), return_index=True)
        codes = codes[torch.from_numpy(np.sort(first))]
    return codes[:n_classes].clone()


class LLCHead(nn.Module):
    """A projection to k bit scores, and the codebook they are compared with.

    Args:
        d: Length of the features.
        n_classes: Number of classes.
        bits: k, the length of a code.
        prefixes: Code lengths whose prefixes are codes too (nested codebooks),
            growing, the last of them `bits`. Default: `bits` alone.

    Attributes:
        projection: Linear(d, bits), P of Algorithm 1, with a bias: the bits of a
            frozen codebook are seldom balanced.
        codebook: Real-valued (n_classes, bits), whose signs are the class codes.

    Raises:
        ShapeError: `prefixes` do not grow, or do not end at `bits`.
    """

    def __init__(
        self, d: int, n_classes: int, *, bits: int, prefixes: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        prefixes = [bits] if prefixes is None else list(prefixes)
        if not prefixes or prefixes != sorted(set(prefixes)) or prefixes[0] < 1 \
                or prefixes[-1] != bits:
            raise ShapeError(f"code lengths that grow from 1 to {bits}", str(prefixes),
                             where="`prefixes`", hint="for example prefixes=(16, 20, 24, 30)")
        self.bits, self.n_classes, self.prefixes = bits, n_classes, tuple(prefixes)
        self.projection = nn.Linear(d, bits)
        self.codebook = nn.Parameter(torch.randn(n_classes, bits))

    def forward(self, features: Tensor) -> Tensor:
        """Return bit scores z (n, bits) of features (n, d); 0 and above mean bit 1."""
        scores: Tensor = self.projection(features)
        return scores

    def logits(self, scores: Tensor, bits: int | None = None, *, clip: bool = False) -> Tensor:
        """Return z . c over the first `bits` for every class code c, (n, n_classes).

        Phase 1 is trained through it, and soft decoding is its argmax. `clip`: see
        `binarize`.

        Raises:
            ShapeError: `bits` is not one of `prefixes`.
        """
        bits = self.bits if bits is None else bits
        if bits not in self.prefixes:
            raise ShapeError(f"one of the trained lengths {list(self.prefixes)}", str(bits),
                             where="`bits`", hint="train with this length among `prefixes`")
        codes = binarize(self.codebook[:, :bits], clip=clip)
        return scores[..., :bits] @ codes.T

    def words(self) -> NDArray[np.uint64]:
        """Return the class codes, packed: uint64, shape (n_classes,)."""
        return pack_bits(self.codebook)

    @torch.no_grad()
    def start_from(self, codebook: Tensor, basis: Tensor | None = None) -> None:
        """Begin with this codebook and, if given, this projection; see `svd_codebook`.

        Raises:
            ShapeError: They are of another shape.
        """
        wanted: dict[str, tuple[Tensor, Tensor]] = {"codebook": (codebook, self.codebook)}
        if basis is not None:
            wanted["basis"] = basis.T, self.projection.weight
        for name, (got, parameter) in wanted.items():
            if got.shape != parameter.shape:
                raise ShapeError(f"shape {tuple(parameter.shape)}", str(tuple(got.shape)),
                                 where=f"`{name}`", hint="take them for as many bits as the head")
            parameter.copy_(got)
        if basis is not None:
            self.projection.bias.zero_()


def codebook_loss(head: LLCHead, scores: Tensor, labels: Tensor, *, clip: bool = False) -> Tensor:
    """Return phase 1's loss: cross-entropy of z . sign(c), summed over the head's prefixes.

    Args:
        head: Whose codebook is learnt.
        scores: z of the batch, shape (n, bits).
        labels: Class ids, int64, shape (n,).
        clip: See `binarize`.
    """
    total = scores.new_zeros(())
    for bits in head.prefixes:
        total = total + F.cross_entropy(head.logits(scores, bits, clip=clip), labels)
    return total


def instance_loss(scores: Tensor, codebook: Tensor, labels: Tensor) -> Tensor:
    """Return phase 2's loss: binary cross-entropy of every bit with that of the class code.

    The codebook gets no gradient: it is frozen. Nested codes need nothing more, for
    their bits are the same bits. The mean over images and bits.

    Args:
        scores: z of the batch, shape (n, k), as logits of bit 1.
        codebook: Whose signs are the class codes, shape (n_classes, k).
        labels: Class ids, int64, shape (n,).

    Raises:
        ShapeError: Scores and codebook differ in k.
    """
    if scores.shape[-1] != codebook.shape[-1]:
        raise ShapeError(f"{codebook.shape[-1]} bit scores, as the codebook has",
                         str(scores.shape[-1]), where="`scores`",
                         hint="compare prefixes of equal length")
    target: Any = (codebook.detach()[labels] >= 0).to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, target)
