"""Matryoshka heads: each dim is the oracle's classifier of the prefix, and the loss their sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edge_sdk import reference
from edge_sdk.errors import ShapeError
from edge_sdk.nn.mrl import MRLEHead, MRLHead, mrl_loss, prefix

DIMS = (2, 4, 8, 16)
N_CLASSES = 5


@pytest.fixture
def embedding():
    return torch.randn(7, 16, generator=torch.Generator().manual_seed(3))


def head_of(kind, *, normalize=False):
    torch.manual_seed(0)
    head = kind(DIMS, N_CLASSES, normalize=normalize)
    if normalize:
        torch.nn.init.constant_(head.log_scale, 0.3)  # 0 would hide a missing exp
    return head


@pytest.mark.parametrize("dim", [1, 5, 16])
def test_a_prefix_has_length_one_again_and_keeps_its_direction(embedding, dim):
    unit = F.normalize(embedding, dim=-1)
    short = prefix(unit, dim)
    assert short.shape == (7, dim)
    torch.testing.assert_close(short.norm(dim=-1), torch.ones(7))
    cosine = F.cosine_similarity(short, embedding[:, :dim])
    torch.testing.assert_close(cosine, torch.ones(7))


def test_the_coordinates_behind_a_prefix_play_no_part_in_it(embedding):
    other = embedding.clone()
    other[:, 4:] = 100.0
    assert torch.equal(prefix(embedding, 4), prefix(other, 4))


@pytest.mark.parametrize("dim", [0, -1, 17])
def test_a_prefix_longer_than_the_embedding_or_empty_is_refused(embedding, dim):
    with pytest.raises(ShapeError, match=r"a dim in 1\.\.16") as caught:
        prefix(embedding, dim)
    assert caught.value.got == str(dim)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("kind", [MRLHead, MRLEHead])
def test_logits_of_every_dim_equal_the_oracle(kind, dim, normalize, embedding):
    head = head_of(kind, normalize=normalize)
    linear = head.classifiers[str(dim)] if kind is MRLHead else head.classifier
    expected = reference.mrl_logits(
        embedding.numpy(), linear.weight.detach().numpy(), linear.bias.detach().numpy(), dim=dim,
        normalize=normalize, scale=16 * np.exp(0.3) if normalize else 1.0,
    )
    np.testing.assert_allclose(head(embedding, dim).detach().numpy(), expected, rtol=1e-4,
                               atol=1e-5)


@pytest.mark.parametrize("kind", [MRLHead, MRLEHead])
def test_all_dims_lists_every_dim_and_the_default_is_the_longest(kind, embedding):
    head = head_of(kind)
    logits = head.all_dims(embedding)
    assert len(logits) == len(DIMS)
    for dim, logits_m in zip(DIMS, logits, strict=True):
        assert torch.equal(logits_m, head(embedding, dim))
    assert torch.equal(head(embedding), logits[-1])
    assert not torch.equal(logits[0], logits[-1])


def test_mrl_keeps_a_classifier_for_each_dim_as_the_published_checkpoints_do():
    shapes = {name: tuple(p.shape) for name, p in head_of(MRLHead).named_parameters()}
    assert shapes == {f"classifiers.{d}.{part}": shape for d in DIMS
                      for part, shape in (("weight", (N_CLASSES, d)), ("bias", (N_CLASSES,)))}


def test_mrl_e_is_column_slices_of_one_matrix_and_one_bias(embedding):
    head = head_of(MRLEHead)
    assert {n: tuple(p.shape) for n, p in head.named_parameters()} == {
        "classifier.weight": (N_CLASSES, 16), "classifier.bias": (N_CLASSES,)}
    before = [logits.detach() for logits in head.all_dims(embedding)]
    with torch.no_grad():
        head.classifier.weight[:, 4:8] += 1.0
    after = head.all_dims(embedding)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [
        True, True, False, False]


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.0]])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_is_the_weighted_sum_of_cross_entropies(embedding, weights, label_smoothing):
    target = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    logits = head_of(MRLHead).all_dims(embedding)
    # Cross-entropy by hand, in float64, from its definition.
    y = np.eye(N_CLASSES)[target.numpy()] * (1 - label_smoothing) + label_smoothing / N_CLASSES
    expected = 0.0
    for c_m, logits_m in zip(weights or [1.0] * 4, logits, strict=True):
        z = logits_m.detach().double().numpy()
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        expected += c_m * -(y * log_p).sum(1).mean()
    loss = mrl_loss(logits, target, weights=weights, label_smoothing=label_smoothing)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_takes_probabilities_as_targets_too(embedding):
    target = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    logits = head_of(MRLHead).all_dims(embedding)
    soft = F.one_hot(target, N_CLASSES).float()
    torch.testing.assert_close(mrl_loss(logits, soft), mrl_loss(logits, target))


def test_a_dim_of_weight_zero_gets_no_gradient(embedding):
    head = head_of(MRLHead)
    mrl_loss(head.all_dims(embedding), torch.zeros(7, dtype=torch.long),
             weights=[1, 1, 1, 0]).backward()
    assert head.classifiers["16"].weight.grad.abs().max() == 0
    assert head.classifiers["8"].weight.grad.abs().max() > 0


def test_weights_that_do_not_match_the_dims_are_refused(embedding):
    logits = head_of(MRLHead).all_dims(embedding)
    with pytest.raises(ShapeError, match="4 weights") as caught:
        mrl_loss(logits, torch.zeros(7, dtype=torch.long), weights=[1.0])
    assert (caught.value.got, caught.value.where) == ("1", "`weights`")


@pytest.mark.parametrize("kind", [MRLHead, MRLEHead])
@pytest.mark.parametrize("dim", [3, 0, 17])
def test_a_dim_that_was_not_trained_is_refused(kind, dim, embedding):
    with pytest.raises(ShapeError, match="one of the trained dims") as caught:
        head_of(kind)(embedding, dim)
    assert caught.value.got == str(dim)


@pytest.mark.parametrize("dims", [(), (4, 2), (2, 2), (0, 4)])
@pytest.mark.parametrize("kind", [MRLHead, MRLEHead])
def test_dims_that_do_not_grow_from_one_are_refused(kind, dims):
    with pytest.raises(ShapeError, match="dims that grow from 1 up"):
        kind(dims, N_CLASSES)


@pytest.mark.parametrize("normalize", [False, True])
def test_an_embedding_shorter_than_the_dim_is_refused(normalize):
    head = MRLHead([2, 8], 3, normalize=normalize)
    with pytest.raises(ShapeError):
        head(torch.zeros(1, 4))


def test_a_loss_over_no_dims_is_refused():
    with pytest.raises(ShapeError, match="one or more dims"):
        mrl_loss([], torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("head_class", [MRLHead, MRLEHead])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_head_of_one_dim_equals_the_whole_head_there(head_class, normalize):
    head = head_class([2, 4, 8], 5, normalize=normalize)
    x = torch.randn(6, 8)
    for dim in head.dims:
        assert torch.allclose(head.at(dim)(x[:, :dim]), head(x, dim), atol=1e-6)
        assert isinstance(head.at(dim).classifier, torch.nn.Linear)
        assert sum(p.numel() for p in head.at(dim).parameters()) == 5 * dim + 5
