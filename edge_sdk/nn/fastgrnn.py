"""FastGRNN: a gated recurrent cell of two scalars more than a plain RNN.

Kusupati et al. 2018, "FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized
Gated Recurrent Neural Network", arXiv:1901.02358, equations 3-4:

    p  = x W + h U
    z  = gate(p + bias_gate)
    c  = update(p + bias_update)
    h' = z h + (sigmoid(zeta) (1 - z) + sigmoid(nu)) c

One p serves gate and update. W = W1 W2 and U = U1 U2 may be low-rank (section 3.2.1),
thresholded (3.2.2) and quantized (3.2.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edge_sdk.errors import ShapeError

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "quant_sigmoid": lambda x: torch.clamp((x + 1.0) / 2.0, 0.0, 1.0),
    "quant_sigmoid4": lambda x: torch.clamp((x + 2.0) / 4.0, 0.0, 1.0),
    "quant_tanh": lambda x: torch.clamp(x, -1.0, 1.0),
}
"""The names of the paper's and EdgeML's non-linearities."""


class FastGRNNCell(nn.Module):
    """One step, (x, h) -> h'.

    Parameters are EdgeML's: W (D, H), or W1 (D, r) and W2 (r, H); U likewise; bias_gate
    and bias_update (1, H); zeta and nu (1, 1), before the sigmoid.
    """

    W: nn.Parameter
    W1: nn.Parameter
    W2: nn.Parameter
    U: nn.Parameter
    U1: nn.Parameter
    U2: nn.Parameter

    def __init__(
        self, n_inputs: int, n_hidden: int, *, rank_w: int | None = None,
        rank_u: int | None = None, gate: str = "sigmoid", update: str = "tanh",
        zeta: float = 1.0, nu: float = -4.0,
    ) -> None:
        """Make a cell of random weights.

        Args:
            n_inputs: D, features in a frame.
            n_hidden: H, numbers in the state.
            rank_w, rank_u: Ranks; None for whole matrices.
            gate, update: Names in NONLINEARITIES.
            zeta, nu: Initial values, before the sigmoid.

        Raises:
            ShapeError: A rank above a dimension, or no such non-linearity.
        """
        super().__init__()
        for name, rank, rows in (("rank_w", rank_w, n_inputs), ("rank_u", rank_u, n_hidden)):
            if rank is not None and not 1 <= rank <= min(rows, n_hidden):
                raise ShapeError(f"a rank from 1 to {min(rows, n_hidden)}", str(rank),
                                 where=f"`{name}`", hint="None for a whole matrix")
        for name, kind in (("gate", gate), ("update", update)):
            if kind not in NONLINEARITIES:
                raise ShapeError(f"one of {', '.join(NONLINEARITIES)}", repr(kind),
                                 where=f"`{name}`", hint="the paper's are sigmoid and tanh")
        self.n_inputs, self.n_hidden = n_inputs, n_hidden
        self.rank_w, self.rank_u = rank_w, rank_u
        self.gate, self.update = gate, update
        self.quantized = False
        """Weights act as if they were int8 (`fake_quantize`); gradients go to the float ones."""
        for name, rank, rows in (("W", rank_w, n_inputs), ("U", rank_u, n_hidden)):
            shapes = {name: (rows, n_hidden)} if rank is None else \
                {f"{name}1": (rows, rank), f"{name}2": (rank, n_hidden)}
            for key, shape in shapes.items():
                scale = shape[0] ** -0.5
                setattr(self, key, nn.Parameter(torch.randn(shape) * scale))
        self.bias_gate = nn.Parameter(torch.ones(1, n_hidden))
        self.bias_update = nn.Parameter(torch.zeros(1, n_hidden))
        self.zeta = nn.Parameter(torch.full((1, 1), zeta))
        self.nu = nn.Parameter(torch.full((1, 1), nu))

    def weights(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the factors of W and of U: one tensor each, or two where low-rank."""
        w = (self.W,) if self.rank_w is None else (self.W1, self.W2)
        u = (self.U,) if self.rank_u is None else (self.U1, self.U2)
        if self.quantized:
            return tuple(map(fake_quantize, w)), tuple(map(fake_quantize, u))
        return w, u

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return h' (B, H) of x (B, D) and h (B, H)."""
        w, u = self.weights()
        return self.advance(apply(x, w), h, u)

    def advance(self, wx: Tensor, h: Tensor, u: tuple[Tensor, ...]) -> Tensor:
        """Return h' of wx = x W (B, H) and h (B, H)."""
        p = wx + apply(h, u)
        z = NONLINEARITIES[self.gate](p + self.bias_gate)
        c = NONLINEARITIES[self.update](p + self.bias_update)
        return z * h + (torch.sigmoid(self.zeta) * (1.0 - z) + torch.sigmoid(self.nu)) * c

    def states(self, x: Tensor) -> Tensor:
        """Return the state after each frame, (B, T, H), of normalized x (B, T, D)."""
        w, u = self.weights()
        wx = apply(x, w)
        if (self.gate, self.update) == ("sigmoid", "tanh") and torch.is_grad_enabled():
            # Low-rank U as one matrix: fewer operations in the loop, the same gradients.
            whole = u[0] if len(u) == 1 else u[0] @ u[1]
            states: Tensor = _Scan.apply(
                wx.transpose(0, 1).contiguous(), whole, self.bias_gate, self.bias_update,
                torch.sigmoid(self.zeta), torch.sigmoid(self.nu))
            return states.transpose(0, 1)
        h, found = self.start(x.shape[0]), []
        for t in range(x.shape[1]):
            h = self.advance(wx[:, t], h, u)
            found.append(h)
        return torch.stack(found, 1)

    def start(self, n: int) -> Tensor:
        """Return the state before the first frame: zeros, (n, H)."""
        return self.bias_gate.new_zeros(n, self.n_hidden)

    def export_arrays(self) -> dict[str, Any]:
        """Return the arguments of `edge_sdk.fastgrnn.Weights`."""
        w, u = self.weights()
        return {
            "w": tuple(map(_array, w)), "u": tuple(map(_array, u)),
            "bias_gate": _array(self.bias_gate).reshape(-1),
            "bias_update": _array(self.bias_update).reshape(-1),
            "zeta": float(torch.sigmoid(self.zeta).detach()),
            "nu": float(torch.sigmoid(self.nu).detach()),
            "gate": self.gate, "update": self.update,
        }


class STRFastGRNNCell(FastGRNNCell):
    """A low-rank cell that learns its ranks by soft threshold reparameterization.

    W = (W1 o 1 m_W^T) W2, where the gate m_W is sign(m) relu(|m| - exp(s)): a column of W1
    whose gate is zero costs nothing (Kusupati et al. 2020, arXiv:2002.03231, section 4.4,
    with g = exp). Weight decay on `gate_parameters` closes gates; `keep_largest` ends the
    search; `extract` gives the small cell.
    """

    open_W: Tensor
    open_U: Tensor

    def __init__(
        self, n_inputs: int, n_hidden: int, *, rank_w: int | None = None,
        rank_u: int | None = None, gate_start: float = 0.3, s_start: float = -4.0,
        **options: Any,
    ) -> None:
        """Make a cell whose ranks start at `rank_w` and `rank_u`, by default the full ones.

        Args:
            n_inputs, n_hidden: D and H.
            rank_w, rank_u: The largest ranks.
            gate_start, s_start: Initial m and s; a gate is open while |m| > exp(s).
            options: Those of FastGRNNCell.
        """
        rank_w, rank_u = rank_w or min(n_inputs, n_hidden), rank_u or n_hidden
        super().__init__(n_inputs, n_hidden, rank_w=rank_w, rank_u=rank_u, **options)
        self.m_W = nn.Parameter(torch.full((rank_w,), gate_start))
        self.m_U = nn.Parameter(torch.full((rank_u,), gate_start))
        self.s_W = nn.Parameter(torch.tensor(s_start))
        self.s_U = nn.Parameter(torch.tensor(s_start))
        with torch.no_grad():  # the products begin as large as those of an ordinary cell
            self.W2.div_(gate_start)
            self.U2.div_(gate_start)
        self.register_buffer("open_W", torch.ones(rank_w))
        self.register_buffer("open_U", torch.ones(rank_u))

    def gates(self) -> tuple[Tensor, Tensor]:
        """Return the gates of W (r_w,) and of U (r_u,); zeros are ranks that are gone."""
        found = [torch.sign(m) * torch.relu(m.abs() - torch.exp(s)) * still
                 for m, s, still in ((self.m_W, self.s_W, self.open_W),
                                     (self.m_U, self.s_U, self.open_U))]
        return found[0], found[1]

    def learnt_ranks(self) -> tuple[int, int]:
        """Return how many gates of W and of U are open."""
        w, u = self.gates()
        return int((w != 0).sum()), int((u != 0).sum())

    def weights(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the gated factors."""
        gate_w, gate_u = self.gates()
        return (self.W1 * gate_w, self.W2), (self.U1 * gate_u, self.U2)

    def gate_parameters(self) -> list[nn.Parameter]:
        """Return m and s of both: the parameters whose weight decay sets the ranks."""
        return [self.m_W, self.m_U, self.s_W, self.s_U]

    @torch.no_grad()
    def keep_largest(self, rank_w: int, rank_u: int) -> None:
        """Close all but the largest gates for good, weighted by the factors behind them.

        Raises:
            ShapeError: More than there are, or none.
        """
        for name, rank in (("W", rank_w), ("U", rank_u)):
            first, second = getattr(self, f"{name}1"), getattr(self, f"{name}2")
            if not 1 <= rank <= first.shape[1]:
                raise ShapeError(f"1 to {first.shape[1]} ranks", str(rank), where=f"`{name}`",
                                 hint="a cell without inputs or memory learns nothing")
            gate = self.gates()[0 if name == "W" else 1]
            strength = gate.abs() * first.norm(dim=0) * second.norm(dim=1)
            still = torch.zeros_like(gate)
            still[strength.topk(rank).indices] = 1.0
            getattr(self, f"open_{name}").copy_(still)

    @torch.no_grad()
    def extract(self) -> FastGRNNCell:
        """Return an ordinary low-rank cell of the open gates alone, which computes the same.

        The gate is split evenly between both factors.

        Raises:
            ShapeError: No gate of W, or none of U, is open.
        """
        rank_w, rank_u = self.learnt_ranks()
        small = FastGRNNCell(self.n_inputs, self.n_hidden, rank_w=rank_w, rank_u=rank_u,
                             gate=self.gate, update=self.update)
        for name, gate in zip("WU", self.gates(), strict=True):
            alive = gate != 0
            root = gate[alive].abs().sqrt()
            first, second = getattr(self, f"{name}1"), getattr(self, f"{name}2")
            getattr(small, f"{name}1").copy_(first[:, alive] * root * torch.sign(gate[alive]))
            getattr(small, f"{name}2").copy_(second[alive] * root[:, None])
        for name in ("bias_gate", "bias_update", "zeta", "nu"):
            getattr(small, name).copy_(getattr(self, name))
        return small


class SparseTraining:
    """Hard thresholding in thirds of a training (Kusupati et al. 2018, section 3.2.2).

    Dense; then every 15 batches all but the largest weights are set to zero, and may
    grow again; then those that are zero stay so. Call `after_batch` after each update.
    """

    EVERY = 15

    def __init__(self, cell: FastGRNNCell, n_batches: int, *, kept_w: float, kept_u: float) -> None:
        """Plan a training of `n_batches` that keeps fractions of W's and of U's weights.

        Raises:
            ShapeError: A fraction is not in (0, 1].
        """
        for name, kept in (("kept_w", kept_w), ("kept_u", kept_u)):
            if not 0.0 < kept <= 1.0:
                raise ShapeError("a fraction above 0, at most 1", str(kept), where=f"`{name}`",
                                 hint="0.3 keeps the largest 30 %")
        self.n_batches, self.done = n_batches, 0
        self.kept = [(tensor, kept) for letter, kept in (("W", kept_w), ("U", kept_u))
                     for name, tensor in cell.named_parameters()
                     if name in (letter, f"{letter}1", f"{letter}2")]
        self.support: list[Tensor] = []

    @torch.no_grad()
    def after_batch(self) -> None:
        """Threshold where the schedule says so."""
        self.done += 1
        third = self.n_batches / 3
        if self.done <= third:
            return
        if self.done <= 2 * third:
            if self.done % self.EVERY == 0:
                for tensor, kept in self.kept:
                    tensor.mul_(support(tensor, kept))
            return
        if not self.support:
            self.support = [support(tensor, kept) for tensor, kept in self.kept]
        for (tensor, _), mask in zip(self.kept, self.support, strict=True):
            tensor.mul_(mask)


def support(tensor: Tensor, kept: float) -> Tensor:
    """Return a mask of the largest `kept` of a tensor's values; values tied with the last stay.

    The threshold is the percentile of |tensor| at 1 - kept, the next higher value, as EdgeML's.
    """
    size = tensor.abs()
    threshold = torch.quantile(size.flatten(), 1.0 - kept, interpolation="higher")
    return (size >= threshold).to(tensor.dtype)


def fake_quantize(matrix: Tensor) -> Tensor:
    """Return a matrix (inputs, outputs) as int8 holds it; the gradient passes unchanged.

    Each output's column has a power of two as its scale, 2**ceil(log2(max |column| / 127)):
    what `edge_sdk.fastgrnn.quantize` stores, bit for bit.
    """
    with torch.no_grad():
        # In double, so that a column is never given another power than there.
        largest = matrix.double().abs().amax(0) / 127.0
        mantissa, power = torch.frexp(largest)
        scale = torch.exp2((power - (mantissa == 0.5).int()).double())
        scale = torch.where(largest > 0, scale, torch.ones_like(scale))
        rounded = torch.clamp(torch.round(matrix.double() / scale), -127, 127) * scale
    return matrix + (rounded.to(matrix.dtype) - matrix).detach()


class FastGRNNClassifier(nn.Module):
    """A cell with normalization before it and a linear head behind it.

    `forward` reads whole sequences, `step` one frame; both give the same numbers.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, cell: FastGRNNCell, n_classes: int) -> None:
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(cell.n_hidden, n_classes)
        self.register_buffer("mean", torch.zeros(cell.n_inputs))
        self.register_buffer("scale", torch.ones(cell.n_inputs))
        self.labels: tuple[str, ...] = ()
        self.preprocessing: dict[str, Any] = {}

    def states(self, x: Tensor) -> Tensor:
        """Return the state after each frame, (B, T, H), of x (B, T, D).

        Raises:
            ShapeError: Another shape, or T is 0.
        """
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.cell.n_inputs:
            raise ShapeError(f"frames (B, T >= 1, {self.cell.n_inputs})", str(list(x.shape)),
                             where="`x`", hint="a sequence of length 0 has no answer")
        return self.cell.states((x - self.mean) * self.scale)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits (B, C) after the last frame of x (B, T, D).

        Args:
            x: Padded at the end where lengths differ.
            lengths: (B,) int64, 1 to T: whole frames of each; T by default.
        """
        states = self.states(x)
        if lengths is None:
            return self.classify(states[:, -1])
        return self.classify(states[torch.arange(len(x)), lengths - 1])

    def classify(self, h: Tensor) -> Tensor:
        """Return logits (..., C) of states (..., H)."""
        weight = self.head.weight
        if self.cell.quantized:
            weight = fake_quantize(weight.T).T
        return nn.functional.linear(h, weight, self.head.bias)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h' (B, H), logits (B, C)) of a frame x (B, D) and h (B, H)."""
        h = self.cell((x - self.mean) * self.scale, h)
        return h, self.classify(h)

    def export_arrays(self) -> dict[str, Any]:
        """Return the arguments of `edge_sdk.fastgrnn.Weights`."""
        head = self.head.weight.T
        return {
            **self.cell.export_arrays(),
            "head": _array(fake_quantize(head) if self.cell.quantized else head),
            "head_bias": _array(self.head.bias),
            "mean": _array(self.mean), "scale": _array(self.scale),
            "labels": self.labels, "preprocessing": self.preprocessing,
        }


class _Scan(torch.autograd.Function):
    """The cell over a sequence, with its backward pass written out, which is faster.

    Autograd records a dozen operations a step. Here the backward loop has three, because
    dh'/dp is known for all steps before it starts: with h' = z (h - zeta c) + (zeta + nu) c,
    dh'/dp = (h - zeta c) z (1 - z) + (zeta + nu - zeta z) (1 - c^2).
    """

    @staticmethod
    def forward(ctx: Any, wx: Tensor, u: Tensor, bias_gate: Tensor, bias_update: Tensor,
                zeta: Tensor, nu: Tensor) -> Tensor:
        """Return states (T, B, H) of wx (T, B, H), u (H, H), biases (1, H), scalars (1, 1)."""
        steps, n, hidden = wx.shape
        z, c = torch.empty_like(wx), torch.empty_like(wx)
        h = wx.new_zeros(steps + 1, n, hidden)
        ratio, total = float(zeta), float(zeta + nu)
        for t in range(steps):
            p = torch.addmm(wx[t], h[t], u)
            torch.add(p, bias_gate, out=z[t]).sigmoid_()
            torch.add(p, bias_update, out=c[t]).tanh_()
            difference = torch.sub(h[t], c[t], alpha=ratio)
            torch.addcmul(c[t] * total, z[t], difference, out=h[t + 1])
        ctx.save_for_backward(u, zeta, nu, z, c, h)
        return h[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of forward's arguments."""
        u, zeta, nu, z, c, h = ctx.saved_tensors
        through_gate = (h[:-1] - zeta * c) * z * (1.0 - z)
        through_update = (zeta + nu - zeta * z) * (1.0 - c * c)
        dp_dh = through_gate + through_update
        dh, dp = grads[0].clone(), torch.empty_like(z)
        back = u.T.contiguous()
        for t in range(len(z) - 1, -1, -1):
            torch.mul(dh[t], dp_dh[t], out=dp[t])
            if t > 0:
                dh[t - 1].addcmul_(dh[t], z[t]).addmm_(dp[t], back)
        hidden = u.shape[0]
        du = h[:-1].reshape(-1, hidden).T @ dp.reshape(-1, hidden)
        return (dp, du, (dh * through_gate).sum((0, 1))[None],
                (dh * through_update).sum((0, 1))[None],
                (dh * (1.0 - z) * c).sum().reshape(1, 1), (dh * c).sum().reshape(1, 1))


def apply(x: Tensor, factors: tuple[Tensor, ...]) -> Tensor:
    """Return x times one matrix, or two."""
    for factor in factors:
        x = x @ factor
    return x


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy()
