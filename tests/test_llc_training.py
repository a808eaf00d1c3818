"""Learnt binary codes: signs, gradients through them, codebooks, and Algorithm 1 on a toy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_sdk.errors import ShapeError
from edge_sdk.nn import llc


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_is_plus_one_and_bit_one_everywhere(zero):
    scores = torch.tensor([[zero, -1.0, 2.0]])
    assert llc.sign(scores).tolist() == [[1.0, -1.0, 1.0]]
    assert llc.binarize(scores).tolist() == [[1.0, -1.0, 1.0]]
    assert llc.pack_bits(scores).tolist() == [0b101]


def test_the_plain_straight_through_gradient_is_one_and_the_clipped_one_stops_beyond_one():
    for clip, expected in ((False, [1.0, 1.0, 1.0]), (True, [0.0, 1.0, 0.0])):
        scores = torch.tensor([-3.0, 0.5, 3.0], requires_grad=True)
        llc.binarize(scores, clip=clip).sum().backward()
        assert scores.grad.tolist() == expected


@pytest.mark.parametrize("bits", [1, 20, 63, 64])
def test_packed_bits_come_back_and_column_zero_is_the_lowest_bit(bits):
    codes = llc.sign(torch.randn(50, bits, generator=torch.Generator().manual_seed(1)))
    words = llc.pack_bits(codes)
    assert words.dtype == np.uint64
    assert torch.equal(llc.unpack_bits(words, bits), codes)
    assert words[0] & np.uint64(1) == (codes[0, 0] > 0)


def test_a_prefix_of_a_nested_code_is_its_low_bits():
    codes = torch.randn(30, 24, generator=torch.Generator().manual_seed(2))
    assert np.array_equal(llc.pack_bits(codes) & np.uint64((1 << 16) - 1),
                          llc.pack_bits(codes[:, :16]))


@pytest.mark.parametrize("shape", [(3,), (3, 0), (3, 65)])
def test_scores_that_fit_no_word_are_refused(shape):
    with pytest.raises(ShapeError, match="bit scores"):
        llc.pack_bits(np.zeros(shape))


def test_collisions_name_every_group_of_classes_with_one_code():
    words = np.array([5, 7, 5, 1, 7, 5], np.uint64)
    assert llc.collisions(words) == [(0, 2, 5), (1, 4)]
    assert llc.unique_codes(words) == 3


def test_the_svd_codebook_is_the_best_low_rank_factor_of_the_centred_classifier():
    weights = torch.randn(40, 12, generator=torch.Generator().manual_seed(3))
    codebook, basis = llc.svd_codebook(weights, 12)
    assert codebook.shape == (40, 12)
    assert basis.shape == (12, 12)
    torch.testing.assert_close(codebook @ basis.T, weights - weights.mean(0), rtol=1e-4, atol=1e-4)
    largest = codebook.gather(0, codebook.abs().argmax(0, keepdim=True))
    assert (largest > 0).all()


def test_an_svd_codebook_of_more_bits_than_features_is_refused():
    with pytest.raises(ShapeError, match="13 rows and columns"):
        llc.svd_codebook(torch.randn(40, 12), 13)


def test_random_codebooks_have_no_two_equal_rows_even_where_every_word_is_taken():
    codes = llc.random_codebook(16, 4, seed=0)
    assert llc.unique_codes(llc.pack_bits(codes)) == 16
    assert torch.equal(codes, llc.random_codebook(16, 4, seed=0))
    with pytest.raises(ShapeError, match="a word for each of 17 classes"):
        llc.random_codebook(17, 4, seed=0)


def test_phase_two_gives_the_frozen_codebook_no_gradient():
    codebook = torch.randn(5, 6, requires_grad=True)
    scores = torch.randn(3, 6, requires_grad=True)
    llc.instance_loss(scores, codebook, torch.tensor([0, 4, 2])).backward()
    assert codebook.grad is None
    assert scores.grad is not None


def test_phase_two_counts_a_codebook_entry_of_zero_as_bit_one():
    loss = llc.instance_loss(torch.tensor([[9.0]]), torch.zeros(1, 1), torch.tensor([0]))
    assert loss < 1e-3


def test_phase_ones_loss_is_the_sum_over_nested_prefixes():
    head = llc.LLCHead(7, 5, bits=6, prefixes=(3, 6))
    scores, labels = head(torch.randn(4, 7)), torch.tensor([0, 1, 2, 3])
    parts = [torch.nn.functional.cross_entropy(head.logits(scores, b), labels) for b in (3, 6)]
    torch.testing.assert_close(llc.codebook_loss(head, scores, labels), parts[0] + parts[1])


@pytest.mark.parametrize("prefixes", [(), (4, 2, 6), (2, 4), (0, 6)])
def test_prefixes_that_do_not_grow_to_the_code_length_are_refused(prefixes):
    with pytest.raises(ShapeError, match="code lengths that grow"):
        llc.LLCHead(7, 5, bits=6, prefixes=prefixes)


def test_algorithm_one_learns_codes_of_a_toy_problem():
    torch.manual_seed(0)
    centres = torch.randn(12, 16) * 3
    labels = torch.arange(12).repeat(20)
    features = centres[labels] + 0.3 * torch.randn(len(labels), 16)
    head = llc.LLCHead(16, 12, bits=6)
    head.start_from(*llc.svd_codebook(centres, 6))
    first = llc.codebook_loss(head, head(features), labels).item()
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-2)
    for phase in (1, 2):
        for _ in range(200):
            scores = head(features)
            loss = (llc.codebook_loss(head, scores, labels) if phase == 1
                    else llc.instance_loss(scores, head.codebook, labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if phase == 1:
            assert loss.item() < first
            head.codebook.requires_grad_(False)
            words = head.words()
    assert np.array_equal(head.words(), words), "phase 2 must not move a code"
    assert llc.unique_codes(words) == 12
    exact = llc.pack_bits(head(features)) == words[labels.numpy()]
    assert exact.mean() > 0.9
