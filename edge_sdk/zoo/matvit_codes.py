"""`python -m edge_sdk.zoo.matvit_codes train`: class codes on the frozen `matvit-omniglot`.

A hidden layer and a projection map the embedding that the model has anyway to 20 bit
scores, whose signs are compared with a code for each class. The same codes serve S,
M, L and XL. `load()` needs no torch; how the codes are learnt is told in
`matvit_codes_training`, what they are worth in the model card.

Source: Kusupati et al., LLC (arXiv:2106.01487).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk import zoo
from edge_sdk.artifact import publish, weights_digest
from edge_sdk.console import commands, say
from edge_sdk.errors import CheckpointError

if TYPE_CHECKING:
    from edge_sdk.nn.llc import LLCHead

NAME, TRUNK = "matvit-omniglot-codes", "matvit-omniglot"
TRUNKS = {TRUNK: "matvit_codes", "matmlp-mnist": "matmlp_codes"}
"""Reference models that class codes are shipped for, and the module that trains these."""

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


# --- what is shipped ------------------------------------------------------------------


@dataclass(frozen=True)
class MatvitCodes:
    """Layers from embeddings to bit scores, and the class codes to compare those with.

    Attributes:
        layers: (weight, bias) of each linear layer, float32, (out, in) and (out,), with
            a ReLU between two layers. Shipped are two: (768, 192) and (20, 768).
        codebook: int8, +1 and -1, shape (968, 20); row i is class i of the trunk.
        card: The figures of its model card; None if there is none of these weights.
        weights_sha256, trunk_sha256: Digests of these arrays and of the trunk's weights.
    """

    layers: tuple[Layer, ...]
    codebook: NDArray[np.int8]
    card: dict[str, Any] | None
    weights_sha256: str
    trunk_sha256: str

    @property
    def n_parameters(self) -> int:
        """Weights and biases; the codebook is not counted."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return bit scores (n, 20) of embeddings (n, 192); 0 and above mean bit 1."""
        (weight, bias), *rest = self.layers
        found: NDArray[np.float32] = embeddings @ weight.T + bias
        for weight, bias in rest:
            found = np.maximum(found, 0) @ weight.T + bias
        return found


def load(folder: Path | None = None, *, trunk: str = TRUNK) -> MatvitCodes:
    """Return the shipped codes, verified against their trunk; loads no torch.

    Args:
        folder: Holds the weights of the codes and of the trunk; the zoo's by default.
        trunk: One of `TRUNKS`.

    Raises:
        CheckpointError: A file is absent or damaged, or the codes are of other trunk weights.
    """
    folder = folder or zoo.WEIGHTS
    path = folder / f"{trunk}-codes.safetensors"
    arrays, metadata = _read(path)
    digest, trunk_digest = weights_digest(arrays), weights_digest(
        _read(folder / f"{trunk}.safetensors")[0])
    demand = partial(_demand, path, trunk)
    demand("float32 layers, each as wide as the next one takes, and an int8 codebook of +-1",
           "these arrays" if _fit_together(arrays) else f"others, {sorted(arrays)}",
           "these arrays")
    demand("its own digest", metadata.get("weights_sha256"), digest)
    demand(f"codes of {trunk} {trunk_digest[:12]}", metadata.get("trunk_sha256"), trunk_digest)
    card_file = zoo.CARDS / f"{trunk}-codes.json"
    card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() else None
    if card is not None and card["weights"]["sha256"] != digest:
        card = None  # figures of other weights would be false here
    return MatvitCodes(_layers(arrays), arrays["codebook"], card, digest, trunk_digest)


def _layers(arrays: Mapping[str, NDArray[Any]]) -> tuple[Layer, ...]:
    return tuple((arrays[f"layers.{i}.weight"], arrays[f"layers.{i}.bias"])
                 for i in range(len(arrays) // 2))


def _fit_together(arrays: Mapping[str, NDArray[Any]]) -> bool:
    names = {f"layers.{i}.{kind}" for i in range(len(arrays) // 2) for kind in ("weight", "bias")}
    if not names or arrays.keys() != names | {"codebook"}:
        return False
    layers, codebook = _layers(arrays), arrays["codebook"]
    if any(array.dtype != np.float32 or array.ndim != ndim or not np.isfinite(array).all()
           for layer in layers for array, ndim in zip(layer, (2, 1), strict=True)):
        return False
    if any(bias.shape != weight.shape[:1] for weight, bias in layers):
        return False
    taken = [weight.shape[1] for weight, _ in layers[1:]] + list(codebook.shape[1:])
    return (codebook.dtype == np.int8 and codebook.ndim == 2
            and taken == [len(bias) for _, bias in layers] and bool((np.abs(codebook) == 1).all()))


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError("a whole weights file", str(error)[:120], where=str(path),
                              hint="it is absent or damaged: copy it again") from error


def _demand(path: Path, trunk: str, expected: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise CheckpointError(expected, str(got), where=str(path), hint=(
            f"python -m edge_sdk.zoo.{TRUNKS[trunk]} train makes them for the {trunk} that is "
            "here"))


# --- command --------------------------------------------------------------------------


def from_head(head: LLCHead, trunk_sha256: str) -> MatvitCodes:
    """Return the codes of a trained head, without a card."""
    arrays = {name: tensor.numpy() for name, tensor in _as_stored(head).state_dict().items()}
    return MatvitCodes(_layers(arrays), arrays["codebook"], None, weights_digest(arrays),
                       trunk_sha256)


def _as_stored(head: LLCHead) -> Any:
    """Return a module whose state has the names and kinds of the weights file."""
    import torch
    from torch import nn

    from edge_sdk.nn.llc import sign

    module = nn.Module()
    module.layers = nn.ModuleList(
        layer for layer in head.projection.modules() if isinstance(layer, nn.Linear))
    module.register_buffer("codebook", sign(head.codebook.detach()).to(torch.int8))
    return module.requires_grad_(False)


def train(
    *, data: Annotated[Path | None, typer.Option(help="Data sets; default $EDGE_SDK_DATA.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Another number: other weights.")] = 1,
) -> None:
    """Train the codes on the shipped trunk, measure them, write weights and card."""
    import torch

    from edge_sdk.data import omniglot
    from edge_sdk.zoo.matvit_codes_card import measure, unknown_images
    from edge_sdk.zoo.matvit_codes_training import MATRIX, PASSES, SEED, SHIPPED, fit, views_of

    torch.set_num_threads(threads)
    trunk, dataset = zoo.load(TRUNK), omniglot(data)
    unknown = unknown_images(data)  # first, for it may be absent
    seconds, started = {}, time.monotonic()
    views, labels = views_of(trunk, dataset), torch.from_numpy(dataset.train_labels)
    seconds["embedding"] = round(time.monotonic() - started)
    made = {}
    for name, recipe in (("shipped", SHIPPED), ("matrix", MATRIX)):
        say(f"training  {name}")
        started = time.monotonic()
        made[name] = fit(views, labels, len(dataset.labels), recipe)
        seconds[name] = round(time.monotonic() - started)
    (head, turned), (matrix, _) = made["shipped"], made["matrix"]
    codes = from_head(head, trunk.weights_sha256)
    card = {
        "name": NAME, "n_classes": len(dataset.labels),
        "trunk": {"name": TRUNK, "sha256": codes.trunk_sha256},
        "data": {"name": dataset.name, "license": dataset.license, "split": dataset.split},
        "recipe": {"seed": SEED, "passes": PASSES, **asdict(SHIPPED), "bits_turned": turned,
                   "augment": vars(trunk.recipe.augment)},
        "matrix_recipe": asdict(MATRIX),
        **measure(codes, dataset, unknown, from_head(matrix, trunk.weights_sha256)),
        "environment": {"torch": torch.__version__, "threads": threads, "device": "cpu",
                        "seconds": seconds},
        "commands": [f"python -m edge_sdk.zoo.matvit_codes train --data DIR --threads {threads}"],
    }
    write(head, codes, card)


def write(head: LLCHead, codes: MatvitCodes, card: dict[str, Any]) -> None:
    """Write weights and card of a head trained for a trunk, all of them or none."""
    from edge_sdk.checkpoint import save_weights
    from edge_sdk.zoo.matvit_codes_card import render

    name, trunk = card["name"], card["trunk"]["name"]
    finals = [zoo.WEIGHTS / f"{name}.safetensors",
              *(zoo.CARDS / f"{name}.{kind}" for kind in ("json", "md"))]
    with publish(*finals) as (as_weights, as_json, as_markdown):
        digest = save_weights(_as_stored(head), as_weights, {
            "recipe": name, "trunk": trunk, "bits": head.bits, "seed": card["recipe"]["seed"],
            "trunk_sha256": codes.trunk_sha256})
        card["weights"] = {
            "file": finals[0].name, "bytes": as_weights.stat().st_size, "sha256": digest,
            "parameters": codes.n_parameters,
            "layers": [list(weight.shape) for weight, _ in codes.layers]}
        text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
        as_json.write_text(text, encoding="utf-8")
        as_markdown.write_text(render(json.loads(text)), encoding="utf-8")
    for final in finals:
        say(f"wrote    {final}  {final.stat().st_size} B")


app = commands(train=train)


@app.callback()  # so that `train` is written out
def _commands() -> None:
    """Class codes on the frozen trunk of a reference model."""


if __name__ == "__main__":
    app()
