"""Learns the codes of `matvit-omniglot-codes` on embeddings of its frozen trunk.

Source: Kusupati et al., LLC (arXiv:2106.01487), Algorithm 1, with two additions,
because a head on a frozen trunk follows codes badly that were learnt without regard
to it: phase 1 begins at discriminant directions rotated to be nearly binary (Gong &
Lazebnik, "Iterative Quantization", CVPR 2011), and pays for every bit that its images
miss; between rounds of phase 2, `settle` turns class bits that most images contradict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.console import say
from edge_sdk.data import Dataset

if TYPE_CHECKING:
    from torch import Tensor

    from edge_sdk.nn.llc import LLCHead
    from edge_sdk.zoo import Reference

SEED, PASSES = 0, 8

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is trained; an epoch is as many views as there are training images.

    Attributes:
        hidden: ReLU units between embedding and projection; None is a projection alone.
        bits: Of a code.
        batch_size: Images of one step.
        codebook_epochs: Of phase 1, which learns codebook and head together.
        rounds, round_epochs: Of phase 2, each begun by `settle`.
        lr, round_lr, codebook_lr: Highest rates of the head in both phases, and of the codebook.
        ce_scale: Factor of the bit scores in phase 1's cross-entropy.
        bit_weight: Weight of the bits missed in phase 1.
    """

    hidden: int | None
    bits: int = 20
    batch_size: int = 512
    codebook_epochs: int = 160
    rounds: int = 3
    round_epochs: int = 80
    lr: float = 3e-3
    round_lr: float = 3e-3
    codebook_lr: float = 1e-2
    ce_scale: float = 0.3
    bit_weight: float = 20.0


SHIPPED = HeadRecipe(hidden=768)
MATRIX = HeadRecipe(hidden=None, lr=1e-2, round_lr=3e-2)
"""Measured beside the shipped one: what a projection alone can do."""


def views_of(trunk: Reference, data: Dataset, passes: int = PASSES) -> Tensor:
    """Return embeddings of augmentations of the training images, (4 * passes, n, d)."""
    import torch

    from edge_sdk.zoo.training import normalize

    images = normalize(data.train_images, trunk.recipe, data.pixel_max)
    generator = torch.Generator().manual_seed(SEED)
    return torch.cat([embeddings(trunk.model, trunk.recipe.augment(images, generator))
                      for _ in range(passes)])


def embeddings(model: Any, images: Tensor, batch_size: int = 256) -> Tensor:
    """Return embeddings of normalized images at every trained granularity, S first, (4, n, d)."""
    import torch

    from edge_sdk.nn.matformer import trained_widths, use_widths

    found: list[Tensor] = []
    with torch.no_grad():
        for batch in images.split(batch_size):
            tokens, each = model.tokens(batch), []  # the stem is the same for every width
            for widths in zip(*trained_widths(model), strict=True):
                with use_widths(model, widths):
                    each.append(model.encode(tokens))
            found.append(torch.stack(each))
    return torch.cat(found, 1)


def settle(codes: NDArray[np.int8], scores: Floats) -> tuple[NDArray[np.int8], int]:
    """Return codes that follow their classes' mean bit scores, no two of them equal.

    First every class whose word a lower id has moves to the free word, one or two
    bits away, that contradicts its scores least (it stays if there is none). Then
    bits that contradict their score are turned, the largest score first, wherever
    that gives a free word.

    Args:
        codes: +1 and -1, shape (n_classes, k), k at most 64.
        scores: Mean bit score of each class, same shape.

    Returns:
        The codes, and how many bits were turned.
    """
    codes, agreement = codes.copy(), scores * codes
    k = codes.shape[1]
    bit = [1 << j for j in range(k)]
    words = [sum(b for b, c in zip(bit, row, strict=True) if c > 0) for row in codes.tolist()]
    taken, turned = set(words), 0
    flips = [(j,) for j in range(k)] + [(i, j) for j in range(k) for i in range(j)]

    def turn(row: int, places: tuple[int, ...]) -> bool:
        word = words[row] ^ sum(bit[j] for j in places)
        if word in taken:
            return False
        words[row] = word
        taken.add(word)
        codes[row, list(places)] *= -1
        agreement[row, list(places)] *= -1
        return True

    seen: set[int] = set()
    for row in range(len(codes)):
        if words[row] in seen:
            costs = sorted((float(agreement[row, list(p)].sum()), p) for p in flips)
            turned += next((len(p) for _, p in costs if turn(row, p)), 0)
        seen.add(words[row])
    places = np.argwhere(agreement < 0)
    for row, j in places[np.argsort(agreement[tuple(places.T)], kind="stable")].tolist():
        old = words[row]
        if agreement[row, j] < 0 and turn(row, (j,)):
            turned += 1
            if old not in words:
                taken.discard(old)
    return codes, turned


def _start(views: Tensor, labels: Tensor, n_classes: int, head: LLCHead) -> None:
    """Put `head` at rotated discriminant directions: within-class noise white, signs balanced."""
    import torch

    from edge_sdk.nn.llc import sign

    d, double = views.shape[2], torch.float64
    counts = torch.bincount(labels, minlength=n_classes).to(double)[:, None] * len(views)
    means, total = torch.zeros(n_classes, d, dtype=double), torch.zeros(d, d, dtype=double)
    for view in views:
        x = view.double()
        means.index_add_(0, labels, x)
        total += x.T @ x
    means /= counts
    within = (total - means.T @ (means * counts)) / counts.sum()
    within += 1e-3 * within.trace() / d * torch.eye(d, dtype=double)
    centre = means.mean(0)
    white = torch.linalg.inv(torch.linalg.cholesky(within))
    spread = (means - centre) @ white.T
    _, basis = torch.linalg.eigh(spread.T @ spread)
    weight = white.T @ basis[:, -head.bits:]
    points = (means - centre) @ weight
    generator = torch.Generator().manual_seed(SEED)
    turn = torch.linalg.qr(torch.randn(head.bits, head.bits, generator=generator, dtype=double))[0]
    for _ in range(200):
        u, _, vt = torch.linalg.svd(points.T @ sign(points @ turn))
        turn = u @ vt
    points, weight = points @ turn, weight @ turn
    head.start_from((points / points.square().mean().sqrt()).float(), weight.float())
    with torch.no_grad():
        head.projection.bias.copy_(-(centre @ weight))


def fit(
    views: Tensor, labels: Tensor, n_classes: int, recipe: HeadRecipe = SHIPPED,
    report: Callable[[str], None] = say,
) -> tuple[LLCHead, int]:
    """Train head and codebook on embeddings, and return them with the bits turned.

    Args:
        views: Embeddings of augmented images at several granularities, (v, n, d).
        labels: Class ids, int64, shape (n,).
        n_classes: Number of classes.
        recipe: How.
        report: Gets a line for each round.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    from edge_sdk.nn.llc import LLCHead, binarize, instance_loss, sign

    torch.manual_seed(SEED)
    head: Any = LLCHead(views.shape[2], n_classes, bits=recipe.bits)
    _start(views, labels, n_classes, head)
    if recipe.hidden is not None:
        head.projection = nn.Sequential(nn.Linear(views.shape[2], recipe.hidden), nn.ReLU(),
                                        nn.Linear(recipe.hidden, recipe.bits))

    def joint(z: Tensor, y: Tensor) -> Tensor:
        codes = binarize(head.codebook)
        missed = F.softplus(-z * codes[y]).mean()
        return F.cross_entropy(recipe.ce_scale * z @ codes.T, y) + recipe.bit_weight * missed

    def bits(z: Tensor, y: Tensor) -> Tensor:
        return instance_loss(z, head.codebook, y)

    loss = _optimize(head, views, labels, joint, recipe.batch_size, recipe.codebook_epochs,
                     recipe.lr, recipe.codebook_lr)
    report(f"codebook  loss {loss:.4f}")
    turned = 0
    for number in range(recipe.rounds):
        means = _mean_scores(head, views, labels, n_classes)
        settled, moved = settle(sign(head.codebook.detach()).to(torch.int8).numpy(), means)
        with torch.no_grad():
            head.codebook.copy_(torch.from_numpy(settled))
        turned += moved
        loss = _optimize(head, views, labels, bits, recipe.batch_size, recipe.round_epochs,
                         recipe.round_lr, 0.0)
        report(f"round {number + 1}   loss {loss:.4f}  bits turned {moved}")
    return head, turned


def _mean_scores(head: LLCHead, views: Tensor, labels: Tensor, n_classes: int) -> Floats:
    """Return each class's mean bit scores over all views, float64, (n_classes, k)."""
    import torch

    sums = torch.zeros(n_classes, head.bits)
    with torch.no_grad():
        for view in views:
            sums.index_add_(0, labels, head(view))
    counts = len(views) * labels.bincount(minlength=n_classes)[:, None]
    means: Floats = (sums.double() / counts).numpy()
    return means


def _optimize(head: Any, views: Tensor, labels: Tensor, loss_of: Callable[[Tensor, Tensor], Tensor],
              batch_size: int, epochs: int, lr: float, codebook_lr: float) -> float:
    """Train `head` in place, the codebook only at a rate above 0; return the last epoch's loss."""
    import torch

    n, steps = len(labels), len(labels) // batch_size
    groups: list[dict[str, Any]] = [{"params": list(head.projection.parameters()), "lr": lr}]
    head.codebook.requires_grad_(codebook_lr > 0)
    if codebook_lr > 0:
        groups.append({"params": [head.codebook], "lr": codebook_lr})
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=epochs * steps)
    generator = torch.Generator().manual_seed(SEED)
    total = float("nan")
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(n, generator=generator)[: steps * batch_size].split(batch_size):
            view = torch.randint(len(views), (len(batch),), generator=generator)
            loss = loss_of(head(views[view, batch]), labels[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
    return total / steps
