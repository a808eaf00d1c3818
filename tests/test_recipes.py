"""The recipes from scratch (slow), and what the shipped weights reach on held-out data."""

from __future__ import annotations

import pytest
import torch

from edge_sdk import data, zoo
from edge_sdk.nn.matformer import extract, trained_widths
from edge_sdk.zoo.evaluate import accuracies
from edge_sdk.zoo.recipes import RECIPES
from edge_sdk.zoo.training import normalize, train


def top1(recipe, dataset, model, widths):
    images = normalize(dataset.test_images, recipe, dataset.pixel_max)
    return accuracies(model, images, torch.from_numpy(dataset.test_labels), widths)


@pytest.mark.slow
def test_the_digits_recipe_reaches_97_percent_at_every_width_from_another_seed():
    recipe, dataset = RECIPES["matvit-digits"], data.digits()
    model = train(recipe, dataset, seed=7)
    for i in range(4):
        widths = [layer[i] for layer in trained_widths(model)]
        assert top1(recipe, dataset, model, widths)[None] >= 0.97


def test_the_flagship_reaches_84_percent_on_drawers_that_it_never_saw(data_root):
    reference = zoo.load("matvit-omniglot")
    dataset = data.omniglot(data_root)
    widths = [layer[-1] for layer in trained_widths(reference.model)]
    reached = top1(reference.recipe, dataset, reference.model, widths)
    assert reached[192] >= 0.84
    assert reached[8] < reached[32] < reached[192], "968 classes must make the dims matter"


def test_the_flagships_feed_forward_networks_hold_60_percent_of_its_macs():
    from edge_sdk.nn.counting import count_macs

    model = zoo.load("matvit-omniglot").model
    sample = torch.zeros(1, 1, 32, 32)
    layers = trained_widths(model)
    whole = count_macs(extract(model, [widths[-1] for widths in layers]), sample)
    smallest = count_macs(extract(model, [widths[0] for widths in layers]), sample)
    # The cost is linear in the width, and S has an eighth of it.
    assert (whole - smallest) * 8 / 7 >= 0.6 * whole


@pytest.mark.parametrize("name", list(RECIPES))
def test_shipped_weights_are_at_most_8_mb(name):
    assert (zoo.WEIGHTS / f"{name}.safetensors").stat().st_size <= 8e6
