"""What is exported: a model with real inputs, from the zoo or from somebody's factory."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import weights_digest
from edge_sdk.errors import CheckpointError, DataError, MissingDependency, UnsupportedModel
from edge_sdk.granularity import trained_names

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edge_sdk.data import Dataset
    from edge_sdk.zoo.recipes import Recipe

N_CALIBRATION = 256
SPARSE_ZOO = "str-cifar10"


@dataclass
class Source:
    """A universal model and what is known of it.

    Attributes:
        name: Zoo name or module:factory.
        model: Holds nested FFNs; eval mode. Returns a tensor or a dict of tensors,
            logits first.
        inputs: Arrays by input name, each with a leading axis of n cases.
        inputs_are: What these cases are, in words.
        targets: Class ids (n,) if the cases are labelled.
        calibration: Cases to choose a Mix'n'Match by; never the held-out ones.
        labels: Class names.
        preprocessing: What to do to raw data.
        dims, dim: Matryoshka dims of the head, and the one exported.
        synthetic: The cases are noise: they prove fp32 arithmetic, but not int8.
        sensitivity: KL in nats of each layer cut alone to each trained width, from the
            model card; empty if these are not the card's weights.
        universal: The model whose weights are digested, if `model` is a cut of it.
        sparse: How an export stores layers of many zeros if nothing else is asked for:
            "none", "float32" or "int8" values.
    """

    name: str
    model: nn.Module
    inputs: dict[str, NDArray[Any]]
    inputs_are: str
    targets: NDArray[np.int64] | None = None
    calibration: dict[str, NDArray[Any]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)
    dims: tuple[int, ...] = ()
    dim: int | None = None
    synthetic: bool = False
    universal: nn.Module | None = None
    sensitivity: list[dict[int, float]] = field(default_factory=list)
    sparse: str = "none"

    @property
    def sample(self) -> tuple[torch.Tensor, ...]:
        """The first case, batch 1, as tensors."""
        import torch

        # A copy: an axis of length 1 may have any stride and still be contiguous, and
        # ExecuTorch reads channels-last out of such a one; the file then fails to run.
        return tuple(torch.from_numpy(np.array(array[:1], order="C"))
                     for array in self.inputs.values())

    def weights_sha256(self) -> str:
        """Return the digest of the weights.

        Raises:
            CheckpointError: One is NaN or infinite; each is named.
        """
        tensors = {name: tensor.detach().cpu().numpy()
                   for name, tensor in (self.universal or self.model).state_dict().items()}
        bad = [name for name, array in tensors.items()
               if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all()]
        if bad:
            raise CheckpointError("finite weights", f"NaN or infinity in {', '.join(bad[:8])}",
                                  where=self.name, hint="train again with a lower learning rate")
        return weights_digest(tensors)


def find_source(
    model: str, *, checkpoint: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None, dim: int | None = None, n_cases: int | None = None,
    embedding_only: bool = False,
) -> Source:
    """Return the model that a command line names.

    Args:
        model: A zoo name, or module:factory; the factory takes no arguments and
            returns a `Source`, or (model, sample tensor or tuple of them).
        checkpoint: Weights instead of the shipped ones.
        data: Folder with data sets; without one, only the digits have real inputs.
        dim: Matryoshka dim to export.
        n_cases: At most this many held-out cases.
        embedding_only: Leave the head of a zoo model out: its one output is the embedding.

    Raises:
        UnsupportedModel: No such zoo model or factory.
        CheckpointError: The checkpoint does not fit.
    """
    require_torch()
    if ":" in model:
        return from_made(model, call_factory(model), checkpoint, dim)
    from edge_sdk import zoo

    if model == SPARSE_ZOO:
        if dim is not None:
            raise no_dims(model)
        return _sparse_from_zoo(checkpoint, data, n_cases)
    if model not in zoo.names():
        known = ", ".join((*zoo.names(), SPARSE_ZOO))
        raise UnsupportedModel(f"one of {known}, or module:factory", repr(model),
                               where="--model", hint="module:factory names a function of yours")
    return _from_zoo(model, checkpoint, data, dim, n_cases, embedding_only)


def no_dims(name: str) -> UnsupportedModel:
    """Return the error of a `dim` for a model that has none."""
    return UnsupportedModel("a model with a Matryoshka head for --dim", name, where="--dim",
                            hint="leave --dim out; a factory wraps its model in "
                                 "edge_sdk.nn.mrl.WithEmbedding itself")


def require_torch() -> None:
    """Import torch.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency("torch, which exporting needs", str(error), where="export",
                                hint="pip install 'edge-inference-sdk[export]'") from error


def call_factory(name: str) -> Any:
    """Return what the factory called module:factory makes.

    Raises:
        UnsupportedModel: There is none.
    """
    module_name, _, function = name.partition(":")
    sys.path.insert(0, os.getcwd())  # as `python -m` and pytest do
    try:
        try:
            factory = getattr(importlib.import_module(module_name), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise UnsupportedModel("an importable module:factory", str(error), where=repr(name),
                                   hint="run in the folder that holds the module") from error
        return factory() if callable(factory) else factory
    finally:
        sys.path.pop(0)


def from_made(
    name: str, made: Any, checkpoint: str | os.PathLike[str] | None, dim: int | None,
) -> Source:
    """Return the source that a factory made, or that of the (model, sample) it made.

    Raises:
        UnsupportedModel: It made something else, or a `dim` was asked for.
        CheckpointError: The checkpoint does not fit.
    """
    import torch

    if dim is not None:
        raise no_dims(name)
    if isinstance(made, tuple) and len(made) == 2:
        model, sample = made
        samples = sample if isinstance(sample, tuple) else (sample,)
        if isinstance(model, torch.nn.Module) and all(
                isinstance(tensor, torch.Tensor) for tensor in samples):
            made = from_sample(name, model, [tensor.detach().numpy() for tensor in samples])
    if not isinstance(made, Source) or not isinstance(made.model, torch.nn.Module):
        raise UnsupportedModel("a factory that returns a Source, or (model, sample)",
                               type(made).__name__, where=repr(name),
                               hint="the sample is a tensor, or a tuple of them, batch first")
    if checkpoint is not None:
        from edge_sdk.checkpoint import load_weights

        load_weights(made.model, checkpoint)
    made.model.eval()
    return made


def from_sample(name: str, model: nn.Module, sample: Sequence[NDArray[Any]]) -> Source:
    """Return a source whose cases are those of `sample`, arrays with a leading axis of n."""
    names = ["input"] if len(sample) == 1 else [f"input_{i}" for i in range(len(sample))]
    inputs = dict(zip(names, sample, strict=True))
    n = len(sample[0])
    return Source(name, model.eval(), inputs, f"{n} given case(s)", calibration=inputs)


def _from_zoo(
    name: str, checkpoint: str | os.PathLike[str] | None, data: str | os.PathLike[str] | None,
    dim: int | None, n_cases: int | None, embedding_only: bool,
) -> Source:
    from edge_sdk import zoo
    from edge_sdk.nn.mrl import EmbeddingOnly, WithEmbedding
    from edge_sdk.zoo.recipes import RECIPES

    recipe = RECIPES[name]
    card = None
    if checkpoint is None:
        reference = zoo.load(name)
        model, card = reference.model, reference.card
    else:
        from edge_sdk.checkpoint import load_weights

        model = recipe.build().eval()
        load_weights(model, checkpoint)
    exported: nn.Module = model
    if embedding_only:
        exported = EmbeddingOnly(model).eval()
    elif recipe.dims:
        exported = WithEmbedding(model, dim).eval()
    elif dim is not None:
        raise no_dims(name)
    source = Source(name, exported, {}, "", dims=recipe.dims, universal=model,
                    dim=(dim or recipe.dims[-1]) if recipe.dims else None)
    if card is not None:
        names = trained(source)
        source.sensitivity = [
            {names[size][layer]: kl for size, kl in row.items()}
            for layer, row in enumerate(card["sensitivity"]["layers"])
        ]
    try:
        dataset = recipe.dataset(data=data)
    except DataError:
        if data is not None:
            raise
        dataset = None
    if dataset is None:
        shape = (64, model.channels, model.image_size, model.image_size)
        noise = np.random.default_rng(0).standard_normal(shape, np.float32)
        source.inputs, source.synthetic = {"image": noise}, True
        source.inputs_are = "synthetic noise (no data folder: pass --data)"
    else:
        _add_cases(source, recipe, dataset, n_cases)
    if embedding_only:
        source.targets = None  # the first output is no answer
    return source


def _add_cases(source: Source, recipe: Recipe, dataset: Dataset, n_cases: int | None) -> None:
    from edge_sdk.zoo.training import normalize

    pick = _some(len(dataset.test_images), n_cases)
    source.inputs = {"image": normalize(dataset.test_images[pick], recipe,
                                        dataset.pixel_max).numpy()}
    source.targets = dataset.test_labels[pick]
    source.inputs_are = f"held-out {dataset.name} ({dataset.split})"
    train = np.random.default_rng(0).permutation(len(dataset.train_images))[:N_CALIBRATION]
    source.calibration = {"image": normalize(dataset.train_images[train], recipe,
                                             dataset.pixel_max).numpy()}
    source.labels = dataset.labels
    source.preprocessing = {
        "image": "(pixel / pixel_max - mean) / std, channels first", "data": dataset.name,
        "pixel_max": dataset.pixel_max, "mean": recipe.mean, "std": recipe.std,
    }


def _sparse_from_zoo(
    checkpoint: str | os.PathLike[str] | None, data: str | os.PathLike[str] | None,
    n_cases: int | None,
) -> Source:
    from edge_sdk import data as datasets
    from edge_sdk.zoo.str_cifar10 import load
    from edge_sdk.zoo.str_cifar10_training import MEAN, PIXEL_MAX, STD, to_numpy

    model = load(None if checkpoint is None else Path(checkpoint))
    source = Source(SPARSE_ZOO, model, {}, "", sparse="float32", preprocessing={
        "image": "(pixel / pixel_max - mean) / std, channels first", "data": "cifar10",
        "pixel_max": PIXEL_MAX, "mean": MEAN, "std": STD})
    try:
        found = datasets.cifar10(data)
    except DataError:
        if data is not None:
            raise
        noise = np.random.default_rng(0).standard_normal((64, 3, 32, 32), np.float32)
        source.inputs, source.synthetic = {"image": noise}, True
        source.inputs_are = "synthetic noise (no data folder: pass --data)"
        return source
    pick = _some(len(found.test_images), n_cases)
    source.inputs = {"image": to_numpy(found.test_images[pick])}
    source.targets, source.labels = found.test_labels[pick], found.labels
    source.inputs_are = f"held-out {found.name} ({found.split})"
    train = np.random.default_rng(0).permutation(len(found.train_images))[:N_CALIBRATION]
    source.calibration = {"image": to_numpy(found.train_images[train])}
    return source


def _some(n: int, wanted: int | None) -> NDArray[np.int64]:
    """Return all of n indices in order, or so many of them, always the same ones."""
    if wanted is None or wanted >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).permutation(n)[:wanted])


def trained(source: Source) -> dict[str, tuple[int, ...]]:
    """Return {name: widths} of the trained granularities of a source, smallest first.

    A model without nested FFNs has one, XL, of no widths.
    """
    from edge_sdk.nn.matformer import is_nested, trained_widths

    return trained_names(trained_widths(source.model) if is_nested(source.model) else [])
