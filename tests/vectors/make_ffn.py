"""Write the vectors of MatFormer FFNs on the core: `python tests/vectors/make_ffn.py`.

The answers come from NumPy in float32, operation by operation as the core evaluates the `.mrl`
layers (runtime/FORMAT.md, "Arithmetic"), so that every processor must give the very same bits.
No number is denormal: 32-bit NEON would take it for 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the test that loads this file is elsewhere

from make_mrl import Numbers, hexadecimal  # noqa: E402

Floats = NDArray[np.float32]
F = np.float32

HEAD = """\
# One case a line; `python tests/vectors/make_ffn.py` writes this file.
# A MatFormer FFN, down(relu(up(x) + up_bias)) + down_bias, of its first `width` hidden units.
# widths: hidden units of the granularities; the last is d_ff. The block of hidden units between
# two widths is a head of n_classes units over n_inputs coordinates; `down` is a tied head of
# n_classes = dim whose dims are the widths. up: (d_ff, n_inputs), down: (dim, d_ff), row by row.
# x: n inputs. Floats are as in mrl_logits.txt: hexadecimal, or a recipe @seed:shift.
# name n_inputs dim widths up up_bias down down_bias n x width -> embeddings
"""


@dataclass(frozen=True)
class Case:
    """One FFN and its inputs; see `HEAD`."""

    name: str
    n_inputs: int
    dim: int
    widths: tuple[int, ...]
    up: Numbers
    up_bias: Numbers
    down: Numbers
    down_bias: Numbers
    x: Numbers
    n: int = 1

    def matrices(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return up, up_bias, down and down_bias."""
        d_ff = self.widths[-1]
        return (self.up.take(d_ff * self.n_inputs).reshape(d_ff, -1), self.up_bias.take(d_ff),
                self.down.take(self.dim * d_ff).reshape(self.dim, -1),
                self.down_bias.take(self.dim))

    def inputs(self) -> Floats:
        """Return x, (n, n_inputs)."""
        return self.x.take(self.n * self.n_inputs).reshape(self.n, -1)

    def embed(self, x: Floats, width: int) -> Floats:
        """Return the embedding (dim,) of x (n_inputs,), one rounding at a time."""
        up, up_bias, down, down_bias = self.matrices()
        hidden = np.maximum(_linear(up[:width], up_bias[:width], x), F(0))
        return _linear(down[:, :width], down_bias, hidden)

    def lines(self) -> Iterator[str]:
        """Yield a line for each width."""
        begin = (f"{self.name} {self.n_inputs} {self.dim} {','.join(map(str, self.widths))} "
                 f"{self.up} {self.up_bias} {self.down} {self.down_bias} {self.n} {self.x}")
        for width in self.widths:
            found = [self.embed(x, width) for x in self.inputs()]
            yield f"{begin} {width} -> {hexadecimal(found)}"


def _linear(weight: Floats, bias: Floats, x: Floats) -> Floats:
    total = np.zeros(len(bias), F)
    for column, coordinate in zip(weight.T, x, strict=True):
        total = total + column * coordinate
    return total + bias


def cases() -> Iterator[Case]:
    """Yield cases whose answers can be seen, and larger ones by recipe."""
    zeros = Numbers((0.0, 0.0))
    seen = Case("below_zero_adds_nothing", 1, 1, (1, 2), Numbers((1, -1)), zeros, Numbers((2, 5)),
                Numbers((0.5,)), Numbers((3, -3)), n=2)
    yield seen
    yield Case("biases_alone", 2, 2, (1, 2), Numbers((0.0,) * 4), Numbers((1.5, -1.5)),
               Numbers((1, 10, 2, 20)), Numbers((0.25, -0.25)), Numbers((7, 8)))
    shapes = ((5, 3, (1, 2, 7)), (16, 8, (4, 8, 16, 32)), (33, 17, (15, 16, 17, 65)),
              (100, 64, (64,)), (784, 64, (32, 64, 128, 256)))
    for i, (n_inputs, dim, widths) in enumerate(shapes):
        seeds = range(1000 * (i + 1), 1000 * (i + 1) + 5)
        up, up_bias, down, down_bias, x = (
            Numbers(seed=seed, shift=shift)
            for seed, shift in zip(seeds, (-2, -1, -2, 0, 1), strict=True))
        yield Case(f"recipe_{i}", n_inputs, dim, widths, up, up_bias, down, down_bias, x, n=2)


def files() -> dict[str, str]:
    """Return every file's text by its name."""
    lines = [line for case in cases() for line in case.lines()]
    return {"ffn.txt": HEAD + "".join(f"{line}\n" for line in lines)}


if __name__ == "__main__":
    for file, text in files().items():
        (HERE / file).write_text(text, encoding="ascii", newline="\n")
        print(f"wrote   {file}  {len(text)} B  {text.count(' -> ')} cases")
