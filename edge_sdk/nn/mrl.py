"""Matryoshka representations: every prefix of an embedding is an embedding.

Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022
(arXiv:2205.13147). MRL trains one linear classifier per prefix length, eq. (1);
MRL-E ties them all to slices of one weight matrix.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_sdk.errors import ShapeError


def prefix(embedding: Tensor, dim: int) -> Tensor:
    """Return the first `dim` coordinates, L2-normalized again, shape (n, dim).

    A prefix of a unit vector is not a unit vector: cosine search over truncated
    embeddings is wrong unless each prefix is normalized by itself.

    Raises:
        ShapeError: `dim` is not in 1..d.
    """
    if not 1 <= dim <= embedding.shape[-1]:
        raise ShapeError(
            f"a dim in 1..{embedding.shape[-1]}", str(dim), where="`dim`",
            hint="a Matryoshka prefix can not be longer than the embedding",
        )
    return F.normalize(embedding[..., :dim], dim=-1)


def _scale(log_scale: Tensor) -> Tensor:
    return log_scale.exp() * 16.0


class _NestedHead(nn.Module):
    """What MRL and MRL-E share: the dims, and which of them is asked for."""

    def __init__(self, dims: Sequence[int], n_classes: int, normalize: bool) -> None:
        super().__init__()
        if not dims or list(dims) != sorted(set(dims)) or dims[0] < 1:
            raise ShapeError(
                "dims that grow from 1 up", str(list(dims)), where="`dims`",
                hint="for example dims=(8, 16, 32, 64)",
            )
        self.dims = tuple(dims)
        self.n_classes = n_classes
        self.normalize = normalize
        # Cosines lie in [-1, 1]: without a learnt scale a softmax over many
        # classes could never become confident.
        self.log_scale = nn.Parameter(torch.zeros(())) if normalize else None

    def _features(self, embedding: Tensor, dim: int) -> Tensor:
        if embedding.shape[-1] < dim:
            raise ShapeError(f"an embedding of {dim} dims or more", str(embedding.shape[-1]),
                             where="`embedding`", hint="ask for a smaller dim")
        if self.log_scale is None:
            return embedding[..., :dim]
        return prefix(embedding, dim) * _scale(self.log_scale)

    def _check(self, dim: int | None) -> int:
        if dim is None:
            return self.dims[-1]
        if dim not in self.dims:
            raise ShapeError(
                f"one of the trained dims {list(self.dims)}", str(dim), where="`dim`",
                hint="a head exists only for the dims it was trained for",
            )
        return dim

    def at(self, dim: int | None = None) -> HeadAtDim:
        """Return the head of one dim alone, equal to this one there; the longest by default.

        Raises:
            ShapeError: `dim` was not trained.
        """
        return HeadAtDim(*self._classifier(self._check(dim)), self.log_scale)

    def _classifier(self, dim: int) -> tuple[Tensor, Tensor]:
        """Return weight (n_classes, dim) and bias (n_classes,) of a trained dim."""
        raise NotImplementedError

    def all_dims(self, embedding: Tensor) -> list[Tensor]:
        """Return logits for every dim, shortest first, each of shape (n, n_classes)."""
        return [self(embedding, dim) for dim in self.dims]


class MRLHead(_NestedHead):
    """One classifier for each prefix length.

    Args:
        dims: Trained prefix lengths, growing.
        n_classes: Number of classes.
        normalize: Classify by the cosine: each prefix is L2-normalized by itself.
    """

    def __init__(self, dims: Sequence[int], n_classes: int, *, normalize: bool = False) -> None:
        super().__init__(dims, n_classes, normalize)
        self.classifiers = nn.ModuleDict({str(d): nn.Linear(d, n_classes) for d in dims})

    def forward(self, embedding: Tensor, dim: int | None = None) -> Tensor:
        """Return logits (n, n_classes) from the first `dim` coordinates (default: all)."""
        dim = self._check(dim)
        return F.linear(self._features(embedding, dim), *self._classifier(dim))

    def _classifier(self, dim: int) -> tuple[Tensor, Tensor]:
        classifier: Any = self.classifiers[str(dim)]
        return classifier.weight, classifier.bias


class MRLEHead(_NestedHead):
    """One weight matrix (n_classes, d) whose column prefixes serve every dim (MRL-E).

    Smaller than `MRLHead` and, on short dims, less accurate.
    """

    def __init__(self, dims: Sequence[int], n_classes: int, *, normalize: bool = False) -> None:
        super().__init__(dims, n_classes, normalize)
        self.classifier = nn.Linear(self.dims[-1], n_classes)

    def forward(self, embedding: Tensor, dim: int | None = None) -> Tensor:
        """Return logits (n, n_classes) from the first `dim` coordinates (default: all)."""
        dim = self._check(dim)
        return F.linear(self._features(embedding, dim), *self._classifier(dim))

    def _classifier(self, dim: int) -> tuple[Tensor, Tensor]:
        return self.classifier.weight[:, :dim], self.classifier.bias


def mrl_loss(
    logits: Sequence[Tensor],
    target: Tensor,
    *,
    weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return sum over dims of c_m * cross-entropy, eq. (1) of the paper; c_m = 1 there.

    Args:
        logits: One (n, n_classes) tensor for each dim.
        target: Class ids (n,) or probabilities (n, n_classes).
        weights: c_m, one for each dim; all 1 by default.
        label_smoothing: As in `torch.nn.functional.cross_entropy`.

    Raises:
        ShapeError: `weights` and `logits` differ in length.
    """
    if weights is None:
        weights = [1.0] * len(logits)
    if not logits or len(weights) != len(logits):
        raise ShapeError(
            f"one or more dims, and {len(logits)} weights", str(len(weights)), where="`weights`",
            hint="leave `weights` out to weigh every dim alike",
        )
    total = logits[0].new_zeros(())
    for c_m, logits_m in zip(weights, logits, strict=True):
        total = total + c_m * F.cross_entropy(logits_m, target, label_smoothing=label_smoothing)
    return total


class HeadAtDim(nn.Module):
    """One dim of a Matryoshka head as an ordinary Linear, which every quantizer knows."""

    def __init__(self, weight: Tensor, bias: Tensor, log_scale: Tensor | None) -> None:
        super().__init__()
        self.dim = weight.shape[1]
        self.classifier = nn.Linear(self.dim, weight.shape[0])
        with torch.no_grad():
            self.classifier.weight.copy_(weight)
            self.classifier.bias.copy_(bias)
        self.scale = None if log_scale is None else _scale(log_scale).item()

    def forward(self, embedding: Tensor) -> Tensor:
        """Return logits (n, n_classes) of an embedding (n, dim)."""
        if self.scale is not None:
            embedding = prefix(embedding, self.dim) * self.scale
        logits: Tensor = self.classifier(embedding)
        return logits


class WithEmbedding(nn.Module):
    """A model with a Matryoshka head as it is exported: logits at one dim, and the embedding.

    Holds copies; of the head, only the classifier of that dim.

    Args:
        model: Has `embed(x)`, (n, d), and a `head` that is an `MRLHead` or `MRLEHead`.
        dim: Prefix that is classified and returned; the longest by default.

    Raises:
        ShapeError: `dim` was not trained.
    """

    def __init__(self, model: nn.Module, dim: int | None = None) -> None:
        super().__init__()
        head: Any = model.head
        self.head = head.at(dim)
        self.dim = self.head.dim
        self.trunk: Any = copy.deepcopy(model, {id(head): nn.Identity()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return {"logits": (n, n_classes), "embedding": (n, dim)}."""
        embedding = self.trunk.embed(x)[:, : self.dim]
        return {"logits": self.head(embedding), "embedding": embedding}


class EmbeddingOnly(nn.Module):
    """A model without its head, as it is exported for devices that classify elsewhere.

    Holds copies.

    Args:
        model: Has `embed(x)`, (n, d), and a `head`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trunk: Any = copy.deepcopy(model, {id(model.head): nn.Identity()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return {"embedding": (n, d)}."""
        return {"embedding": self.trunk.embed(x)}
