"""`python -m edge_sdk.zoo.matmlp_codes train`: class codes on the frozen `matmlp-mnist`.

As `matvit_codes` for Omniglot: a hidden layer and a projection map the embedding to 16 bit
scores, whose signs are compared with a code for each digit; an input whose word is far from
every code is of no known class. `matvit_codes.load(trunk="matmlp-mnist")` returns them.

Source: Kusupati et al., LLC (arXiv:2106.01487).
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk import zoo
from edge_sdk.console import commands
from edge_sdk.zoo.matvit_codes_training import SEED, HeadRecipe, fit, views_of

TRUNK = "matmlp-mnist"
NAME = f"{TRUNK}-codes"
PASSES = 2
SHIPPED = HeadRecipe(hidden=128, bits=16, codebook_epochs=20, rounds=1, round_epochs=20)
SIDE, N_UNKNOWN = 28, 2000
LIMITS = (
    "- Omniglot's characters, CIFAR-10 and noise stand in for unknown inputs. Some characters",
    "  look like a digit: not every accepted one is an error. Their strokes are thinner than",
    "  those of MNIST, and they are not centred as its digits are.",
)


def unknown_images(data: Path | None) -> dict[str, NDArray[np.uint8]]:
    """Return `N_UNKNOWN` images (n, 1, 28, 28) of each set that is no digit.

    Held-out characters of Omniglot and pictures of CIFAR-10 in grey (ITU-R BT.601), both at
    even steps and made smaller (bilinear), and noise.

    Raises:
        DataError: A data set is absent.
    """
    from PIL import Image

    from edge_sdk.data import cifar10, omniglot

    def smaller(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        steps = np.arange(N_UNKNOWN) * len(pictures) // N_UNKNOWN
        return np.stack([np.asarray(Image.fromarray(picture).resize(
            (SIDE, SIDE), Image.Resampling.BILINEAR)) for picture in pictures[steps]])[:, None]

    grey = np.einsum("nchw,c->nhw", cifar10(data).test_images, [0.299, 0.587, 0.114])
    noise = np.random.default_rng(SEED).integers(0, 256, (N_UNKNOWN, 1, SIDE, SIDE), np.uint8)
    return {"omniglot": smaller(omniglot(data).test_images[:, 0]),
            "cifar10 grey": smaller(grey.round().astype(np.uint8)), "noise": noise}


def train(
    *, data: Annotated[Path | None, typer.Option(help="Data sets; default $EDGE_SDK_DATA.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Another number: other weights.")] = 1,
) -> None:
    """Train the codes on the shipped trunk, measure them, write weights and card."""
    import torch

    from edge_sdk.zoo.matvit_codes import from_head, write
    from edge_sdk.zoo.matvit_codes_card import measure

    torch.set_num_threads(threads)
    trunk = zoo.load(TRUNK)
    dataset, unknown = trunk.recipe.dataset(data), unknown_images(data)
    started = time.monotonic()
    views, labels = views_of(trunk, dataset, PASSES), torch.from_numpy(dataset.train_labels)
    embedded = time.monotonic()
    head, turned = fit(views, labels, len(dataset.labels), SHIPPED)
    seconds = {"embedding": round(embedded - started),
               "shipped": round(time.monotonic() - embedded)}
    codes = from_head(head, trunk.weights_sha256)
    write(head, codes, {
        "name": NAME, "n_classes": len(dataset.labels),
        "trunk": {"name": TRUNK, "sha256": codes.trunk_sha256},
        "data": {"name": dataset.name, "license": dataset.license, "split": dataset.split},
        "recipe": {"seed": SEED, "passes": PASSES, **asdict(SHIPPED), "bits_turned": turned,
                   "augment": vars(trunk.recipe.augment)},
        **measure(codes, dataset, unknown, trunk=trunk),
        "limits": LIMITS,
        "environment": {"torch": torch.__version__, "threads": threads, "device": "cpu",
                        "seconds": seconds},
        "commands": [f"python -m edge_sdk.zoo.matmlp_codes train --data DIR --threads {threads}"],
    })


app = commands(train=train)


@app.callback()  # so that `train` is written out
def _commands() -> None:
    """Class codes on the frozen trunk of the handwritten digits."""


if __name__ == "__main__":
    app()
