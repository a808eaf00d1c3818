"""Reference models: a recipe, weights and a model card each.

Importing this package loads no torch; its functions do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import MissingDependency, ShapeError, UnsupportedModel

if TYPE_CHECKING:
    from edge_sdk.nn.matformer import ImageEncoder
    from edge_sdk.zoo.recipes import Recipe

WEIGHTS = Path(__file__).parent / "weights"
CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class Reference:
    """A trained reference model.

    Attributes:
        recipe: How it was made, and its preprocessing.
        model: In eval mode, with the shipped weights.
        card: The figures of its model card; None if there is no card of these
            very weights.
        weights_sha256: Digest of the whole shipped weights, whatever `dim` was asked for.
    """

    recipe: Recipe
    model: ImageEncoder
    card: dict[str, Any] | None
    weights_sha256: str


def names() -> tuple[str, ...]:
    """Return the names of all reference models."""
    return tuple(_recipes())


def recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        UnsupportedModel: There is none.
        MissingDependency: torch is not installed.
    """
    recipes = _recipes()
    if name not in recipes:
        raise UnsupportedModel(f"a reference model, one of {', '.join(recipes)}", repr(name),
                               where="NAME", hint="names are written as listed")
    return recipes[name]


def load(name: str, *, dim: int | None = None) -> Reference:
    """Return the reference model `name` with its shipped weights, verified.

    Args:
        name: One of `names()`.
        dim: Cut the Matryoshka representation to this trained dim: `model` then
            answers from it, and has neither the coordinates nor the classifiers
            beyond. None keeps all dims and answers from the largest.

    Raises:
        UnsupportedModel: No such model.
        CheckpointError: Its weights are absent, damaged, incomplete or not finite.
        ShapeError: It was not trained for `dim`.
        MissingDependency: torch is not installed.
    """
    chosen = recipe(name)
    from edge_sdk.checkpoint import load_weights, model_digest

    model = chosen.build()
    load_weights(model, WEIGHTS / f"{name}.safetensors")
    digest = model_digest(model)
    if dim is not None:
        _cut(model, chosen, dim)
    return Reference(chosen, model.eval(), _card(name, digest), digest)


def _recipes() -> dict[str, Recipe]:
    try:
        from edge_sdk.zoo.recipes import RECIPES
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependency("torch, which the reference models are made of",
                                "no module named torch", where="edge_sdk.zoo",
                                hint="pip install 'edge-inference-sdk[export]'") from error
    return RECIPES


def _card(name: str, digest: str) -> dict[str, Any] | None:
    path = CARDS / f"{name}.json"
    if not path.is_file():
        return None
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    # Figures measured on other weights would be false here.
    return card if card["weights"]["sha256"] == digest else None


def _cut(model: ImageEncoder, recipe: Recipe, dim: int) -> None:
    if dim not in recipe.dims:
        raise ShapeError(f"one of the trained dims {list(recipe.dims)}", str(dim), where="`dim`",
                         hint="leave `dim` out" if not recipe.dims else "choose one of them")
    import torch
    from torch import nn

    head: Any = type(model.head)(recipe.dims[: recipe.dims.index(dim) + 1],
                                 model.head.n_classes)
    with torch.no_grad():
        state = model.head.state_dict()
        head.load_state_dict({
            key: state[key][:, : value.shape[1]] if value.ndim == 2 else state[key]
            for key, value in head.state_dict().items()
        })
        if isinstance(model.project, nn.Linear):
            project = nn.Linear(model.project.in_features, dim)
            project.weight.copy_(model.project.weight[:dim])
            project.bias.copy_(model.project.bias[:dim])
            model.project = project
    model.head = head
