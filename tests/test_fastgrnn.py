"""FastGRNN in torch: the cell, its written-out gradient, learnt ranks, sparse training, int8."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_sdk import reference
from edge_sdk.errors import CheckpointError, ShapeError
from edge_sdk.fastgrnn import from_module
from edge_sdk.fastgrnn.fixed_point import exponents, quantize_matrix
from edge_sdk.nn.fastgrnn import (
    NONLINEARITIES,
    FastGRNNCell,
    FastGRNNClassifier,
    SparseTraining,
    STRFastGRNNCell,
    apply,
    fake_quantize,
    support,
)


def step_by_step(cell, x):
    w, u = cell.weights()
    h, found = cell.start(len(x)), []
    for t in range(x.shape[1]):
        h = cell.advance(apply(x[:, t], w), h, u)
        found.append(h)
    return torch.stack(found, 1)


@pytest.mark.parametrize("ranks", [(None, None), (2, None), (None, 3), (2, 3)])
def test_the_written_out_gradient_is_autograds(ranks):
    torch.manual_seed(0)
    cell = FastGRNNCell(3, 5, rank_w=ranks[0], rank_u=ranks[1]).double()
    x = torch.randn(4, 7, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 7, 5, dtype=torch.float64)
    gradients = []
    for states in (cell.states(x), step_by_step(cell, x)):
        found = torch.autograd.grad((states * weight).sum(), [x, *cell.parameters()])
        gradients.append([states.detach(), *found])
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 8), st.integers(0, 99),
       st.sampled_from(sorted(NONLINEARITIES)), st.sampled_from(sorted(NONLINEARITIES)))
@settings(max_examples=40, deadline=None)
def test_states_are_those_of_the_float64_oracle(inputs, hidden, steps, seed, gate, update):
    torch.manual_seed(seed)
    cell = FastGRNNCell(inputs, hidden, gate=gate, update=update)
    model = FastGRNNClassifier(cell, 4).eval()
    model.mean.normal_()
    x = torch.randn(steps, inputs)
    weights = from_module(model)
    states, logits = reference.fastgrnn(
        x.numpy(), w=weights.w, u=weights.u, bias_gate=weights.bias_gate,
        bias_update=weights.bias_update, zeta=weights.zeta, nu=weights.nu, gate=gate,
        update=update, head=weights.head, head_bias=weights.head_bias, mean=weights.mean,
        scale=weights.scale)
    size = max(1.0, float(np.abs(states).max()))
    # Two relus feed back without bound: past this, float32's rounding is multiplied at each step.
    assume(size < 1e3)
    with torch.no_grad():
        np.testing.assert_allclose(model.states(x[None])[0].numpy(), states, atol=2e-5 * size,
                                   rtol=1e-4)
        np.testing.assert_allclose(model(x[None])[0].numpy(), logits[-1], atol=1e-4 * size,
                                   rtol=1e-4)


def test_a_sequence_frame_by_frame_is_the_whole_sequence():
    torch.manual_seed(0)
    model = FastGRNNClassifier(FastGRNNCell(6, 11, rank_w=3, rank_u=4), 5).eval()
    x, h = torch.randn(2, 30, 6), model.cell.start(2)
    with torch.no_grad():
        for t in range(30):
            h, logits = model.step(x[:, t], h)
        torch.testing.assert_close(logits, model(x), rtol=0, atol=1e-6)


def test_padding_behind_a_sequence_does_not_change_its_answer():
    model = FastGRNNClassifier(FastGRNNCell(3, 8), 2).eval()
    x = torch.randn(2, 9, 3)
    padded = torch.cat([x, torch.full((2, 5, 3), 99.0)], 1)
    torch.testing.assert_close(model(padded, torch.tensor([9, 9])), model(x))


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 4, 5), (4, 3)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match="T >= 1"):
        FastGRNNClassifier(FastGRNNCell(3, 8), 2)(torch.zeros(shape))


@pytest.mark.parametrize("options", [{"rank_w": 4}, {"rank_u": 9}, {"rank_w": 0}])
def test_a_rank_above_the_dimensions_is_refused(options):
    with pytest.raises(ShapeError, match="a rank from 1 to"):
        FastGRNNCell(3, 8, **options)


def test_another_non_linearity_is_refused():
    with pytest.raises(ShapeError, match="quant_sigmoid4"):
        FastGRNNCell(3, 8, gate="softmax")


def test_a_model_with_nan_gives_no_weights():
    cell = FastGRNNCell(3, 8)
    with torch.no_grad():
        cell.U[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="NaN"):
        from_module(cell)


# --- learnt ranks -----------------------------------------------------------------------


def test_the_extracted_cell_computes_what_the_gated_one_did():
    torch.manual_seed(0)
    cell = STRFastGRNNCell(8, 20)
    with torch.no_grad():
        cell.m_W[:3] = 0.001
        cell.m_U[::2] *= -1.0
        cell.m_U[5:9] = 0.0
    small = cell.extract()
    assert (small.rank_w, small.rank_u) == cell.learnt_ranks() == (5, 16)
    x = torch.randn(2, 12, 8)
    torch.testing.assert_close(small.states(x), cell.states(x), rtol=0, atol=1e-5)


def test_a_gate_is_open_only_above_its_threshold():
    cell = STRFastGRNNCell(4, 6, s_start=-1.0)
    threshold = float(np.exp(-1.0))
    with torch.no_grad():
        cell.m_W.copy_(torch.tensor([threshold - 0.01, threshold + 0.01, -threshold - 0.02, 0.0]))
    expected = torch.tensor([0.0, 0.01, -0.02, 0.0])
    torch.testing.assert_close(cell.gates()[0], expected, rtol=0, atol=1e-6)


def test_thresholds_and_gates_have_gradients():
    cell = STRFastGRNNCell(4, 6)
    cell.states(torch.randn(2, 5, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in cell.gate_parameters())


def test_closed_ranks_stay_closed():
    cell = STRFastGRNNCell(4, 6)
    cell.keep_largest(2, 3)
    with torch.no_grad():
        cell.m_W.fill_(5.0)
        cell.m_U.fill_(5.0)
    assert cell.learnt_ranks() == (2, 3)


@pytest.mark.parametrize("ranks", [(0, 3), (5, 3), (2, 7)])
def test_ranks_that_are_not_there_can_not_be_kept(ranks):
    with pytest.raises(ShapeError, match="ranks"):
        STRFastGRNNCell(4, 6).keep_largest(*ranks)


# --- sparse training --------------------------------------------------------------------


@given(st.integers(1, 400), st.floats(0.01, 1.0), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_support_is_the_largest_share(n, kept, seed):
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal(n).astype(np.float32))
    mask = support(values, kept).bool()
    threshold = np.percentile(np.abs(values.numpy()), (1.0 - kept) * 100.0, method="higher")
    expected = np.abs(values.numpy()) >= threshold
    # Percentiles in float64 and float32 may take neighbours where one falls on a value.
    assert abs(int(mask.sum()) - int(expected.sum())) <= 1
    assert mask.any()
    assert values[mask].abs().min() >= (values[~mask].abs().max() if (~mask).any() else 0.0)


def test_sparse_training_goes_in_thirds():
    torch.manual_seed(0)
    cell = FastGRNNCell(10, 20)
    schedule = SparseTraining(cell, 90, kept_w=0.3, kept_u=0.5)
    zeros = []
    for _ in range(90):
        with torch.no_grad():
            for tensor in (cell.W, cell.U):
                tensor.add_(0.01 * torch.randn(tensor.shape))  # an update
        schedule.after_batch()
        zeros.append((int((cell.W == 0).sum()), int((cell.U == 0).sum())))
    assert zeros[29] == (0, 0)
    assert [batch + 1 for batch in range(30, 60) if zeros[batch][0] > 0] == [45, 60]
    assert zeros[44] == (140, 200)
    assert zeros[60:] == [(140, 200)] * 30


def test_the_support_of_the_last_third_does_not_move():
    torch.manual_seed(0)
    cell = FastGRNNCell(10, 20)
    schedule = SparseTraining(cell, 30, kept_w=0.3, kept_u=0.3)
    patterns = []
    for _ in range(30):
        with torch.no_grad():
            cell.W += torch.randn(cell.W.shape)
        schedule.after_batch()
        patterns.append(cell.W != 0)
    assert all(torch.equal(patterns[20], pattern) for pattern in patterns[20:])
    assert not torch.equal(patterns[14], patterns[20])


@pytest.mark.parametrize("kept", [0.0, 1.1, -0.5])
def test_a_share_outside_0_to_1_is_refused(kept):
    with pytest.raises(ShapeError, match="fraction"):
        SparseTraining(FastGRNNCell(3, 4), 10, kept_w=kept, kept_u=0.5)


# --- int8 in training -------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99), st.floats(-20.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_training_sees_the_int8_weights_that_are_stored(rows, columns, seed, size):
    rng = np.random.default_rng(seed)
    matrix = (rng.standard_normal((rows, columns)) * 2.0**size).astype(np.float32)
    matrix[:, rng.integers(columns)] = 0.0
    matrix[0, rng.integers(columns)] = 127.0 * 2.0 ** rng.integers(-8, 3)
    stored = quantize_matrix(matrix, bits_in=15, bits_out=12)
    # A column so small that its shift is cut is stored coarser: bits_in - bits_out - 30.
    fine = exponents(matrix) >= 15 - 12 - 30
    expected = stored.q.T * np.exp2(exponents(matrix))
    np.testing.assert_array_equal(fake_quantize(torch.from_numpy(matrix)).numpy()[:, fine],
                                  expected.astype(np.float32)[:, fine])


def test_the_gradient_passes_the_rounding_unchanged():
    matrix = torch.randn(5, 6, requires_grad=True)
    weight = torch.randn(5, 6)
    (fake_quantize(matrix) * weight).sum().backward()
    assert matrix.grad is not None
    torch.testing.assert_close(matrix.grad, weight)


def test_a_quantized_model_exports_weights_that_rounding_leaves_alone():
    model = FastGRNNClassifier(FastGRNNCell(6, 11, rank_w=3, rank_u=4), 5)
    model.cell.quantized = True
    weights = from_module(model)
    assert weights.head is not None
    for factor in (*weights.w, *weights.u, weights.head):
        np.testing.assert_array_equal(fake_quantize(torch.from_numpy(factor)).numpy(), factor)
