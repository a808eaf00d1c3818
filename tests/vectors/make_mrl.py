"""Write the vectors of Matryoshka heads and cascades: `python tests/vectors/make_mrl.py`.

The answers come from NumPy in float32, operation by operation as runtime/FORMAT.md has them
("Arithmetic"), so that every processor must give the very same bits. No number is denormal:
32-bit NEON would take it for 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

HERE = Path(__file__).resolve().parent
F = np.float32
NEVER = F(-3e38)
"""The logit of classes that there are not."""
NONE = (1 << 32) - 1

COMMON = """\
# One case a line; `python tests/vectors/make_mrl.py` writes this file.
# dims: the trained ones. tied: 1 for MRL-E. weights: of a tied head (n_classes, largest dim), else
# (n_classes, dim) for each dim in turn, row by row. biases: as many rows of n_classes. x: n
# embeddings. Floats are the 8 hexadecimal digits of an IEEE float32, parted by commas, or a
# recipe @seed:shift: SplitMix64 from that seed, of each word w the real (w / 2^40 - 2^23) /
# 2^(23 - shift), w / 2^40 rounded down. None is denormal, nor is any that comes up on the way.
"""
HEADS = {
    "mrl_logits.txt": """\
# Logits at one dim; flags: i for EDGE_MRL_INTERPOLATE, - for none.
# name n_classes dims tied normalized scale weights biases n x dim flags -> logits
""",
    "mrl_cascade.txt": """\
# Cascades. steps: dim:threshold. flags: i for EDGE_MRL_INTERPOLATE, a for EDGE_MRL_AGREE, e for
# EDGE_MRL_EVERY_STEP; the answers are then those of every step. previous: ids, or - for none.
# name n_classes dims tied normalized scale weights biases n x steps signal flags previous ->
#   id:step:confidence:sure
""",
}


# ---- the core's arithmetic, one rounding at a time ------------------------------------------


def exp(x: Floats) -> Floats:
    """Return e^x of x in [-87, 0] as the core computes it."""
    t = x * F(1.442695041)
    shifted = t + F(12582912.0)
    f = t - (shifted - F(12582912.0))
    p = np.full_like(x, 0.0013264727)
    for coefficient in (0.009671513, 0.055507336, 0.24022242, 0.693147, 1.0):
        p = p * f + F(coefficient)
    return (p.view(np.uint32) + (shifted.view(np.uint32) << np.uint32(23))).view(F)


def sums(logits: Floats, largest: np.float32) -> tuple[np.float32, np.float32]:
    """Return the sums of e^y and y e^y, y = logit - largest, over a multiple of 16 logits."""
    y = np.maximum(logits - largest, F(-87.0))
    e = exp(y)
    found = []
    for terms in (e, e * y):
        lanes = np.zeros(16, F)
        for row in terms.reshape(-1, 16):
            lanes = lanes + row
        for half in (8, 4, 2, 1):
            lanes = lanes[:half] + lanes[half : 2 * half]
        found.append(lanes[0])
    return found[0], found[1]


def padded(logits: Floats) -> Floats:
    """Fill up to a multiple of 16 logits."""
    return np.pad(logits, (0, -len(logits) % 16), constant_values=NEVER)


def confidence(logits: Floats, signal: str) -> np.float32:
    """Return the confidence of logits (n_classes,)."""
    n, largest = len(logits), logits.max()
    total, dot = sums(padded(logits), largest)
    if signal == "softmax":
        return F(1.0) / total
    if signal == "margin":
        others = padded(logits)
        others[logits.argmax()] = NEVER
        alone = np.full(16, NEVER, F)
        alone[0] = others.max()
        return (F(1.0) - sums(alone, largest)[0]) / total
    if n == 1:
        return F(1.0)
    h = (math.log(total) - float(dot) / float(total)) / math.log(n)
    return F(min(max(1.0 - h, 0.0), 1.0))


@dataclass(frozen=True, eq=False)
class Exact:
    """A head as the core computes it.

    Attributes:
        weights: (n_classes, dim) for each dim, or one for all of a tied head.
        biases: (n_classes,) for each of `weights`.
    """

    dims: tuple[int, ...]
    weights: Sequence[Floats]
    biases: Sequence[Floats]
    tied: bool = False
    normalized: bool = False
    scale: float = 1.0

    def logits(self, x: Floats, dim: int) -> Floats:
        """Return the logits (n_classes,) of x (d,) at one dim."""
        place = 0 if self.tied else self.dims.index(dim)
        total = np.zeros(len(self.biases[place]), F)
        for column, coordinate in zip(self.weights[place].T[:dim], x[:dim], strict=True):
            total = total + column * coordinate
        factor = F(1.0)
        if self.normalized:
            squares = 0.0
            for coordinate in x[:dim].tolist():
                squares += coordinate * coordinate
            factor = F(float(F(self.scale)) / max(math.sqrt(squares), 1e-12))
        return total * factor + self.biases[place]

    def verdicts(self, x: Floats, steps: Sequence[tuple[int, np.float32]], signal: str, *,
                 agree: bool = False, previous: int = NONE,
                 ) -> list[tuple[int, int, np.float32, bool]]:
        """Return (id, step, confidence, sure) of every step."""
        found = []
        for step, (dim, threshold) in enumerate(steps):
            logits = self.logits(x, dim)
            one, sure = int(logits.argmax()), confidence(logits, signal)
            if agree and one != previous:
                sure = F(0.0)
            found.append((one, step, sure, bool(sure > threshold)))
            previous = one
        return found


# ---- cases -----------------------------------------------------------------------------------


def reals(seed: int, n: int, shift: int = 0) -> Floats:
    """Return n float32 in [-2^shift, 2^shift) by SplitMix64 (Steele, Lea & Flood 2014)."""
    z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    whole = (z >> np.uint64(40)).astype(np.int64) - (1 << 23)
    return (whole * 2.0 ** (shift - 23)).astype(F)


@dataclass(frozen=True)
class Numbers:
    """A column of floats: given, or a recipe."""

    given: tuple[float, ...] = ()
    seed: int = 0
    shift: int = 0

    def take(self, n: int) -> Floats:
        """Return the n numbers."""
        if not self.given:
            return reals(self.seed, n, self.shift)
        assert len(self.given) == n, (len(self.given), n)
        return np.array(self.given, F)

    def __str__(self) -> str:
        return hexadecimal(self.given) if self.given else f"@{self.seed}:{self.shift}"


def hexadecimal(values: ArrayLike) -> str:
    """Return floats as one column."""
    return ",".join(f"{raw:08x}" for raw in np.asarray(values, F).reshape(-1).view(np.uint32))


@dataclass(frozen=True)
class Case:
    """One line; see `HEADS`. A threshold of None is the confidence of the first embedding."""

    name: str
    n_classes: int
    dims: tuple[int, ...]
    weights: Numbers
    biases: Numbers
    x: Numbers
    tied: bool = True
    normalized: bool = False
    scale: float = 1.0
    n: int = 1
    steps: tuple[tuple[int, float | None], ...] = ()
    signal: str = "softmax"
    flags: str = "-"
    previous: tuple[int, ...] = field(default=())

    def head(self) -> Exact:
        """Return the head that the columns describe."""
        depths = self.dims[-1:] if self.tied else self.dims
        cuts = np.cumsum([self.n_classes * depth for depth in depths])
        blocks = np.split(self.weights.take(int(cuts[-1])), cuts[:-1])
        weights = [block.reshape(self.n_classes, -1) for block in blocks]
        biases = self.biases.take(self.n_classes * len(depths)).reshape(len(depths), -1)
        return Exact(self.dims, weights, list(biases), self.tied, self.normalized, self.scale)

    def embeddings(self) -> Floats:
        """Return x, (n, largest dim)."""
        return self.x.take(self.n * self.dims[-1]).reshape(self.n, -1)

    def begin(self) -> str:
        """Return the columns that both files have."""
        dims = ",".join(map(str, self.dims))
        return (f"{self.name} {self.n_classes} {dims} {int(self.tied)} {int(self.normalized)} "
                f"{hexadecimal([self.scale])} {self.weights} {self.biases} {self.n} {self.x}")

    def thresholds(self, head: Exact, x: Floats) -> list[tuple[int, np.float32]]:
        """Return the steps, with the thresholds that are to be met exactly."""
        blank = [(dim, F(0)) for dim, _ in self.steps]
        met = head.verdicts(x, blank, self.signal, agree="a" in self.flags)
        return [(dim, verdict[2] if given is None else F(given))
                for (dim, given), verdict in zip(self.steps, met, strict=True)]

    def cascade_line(self) -> str:
        """Return the line in mrl_cascade.txt."""
        head, rows, answers = self.head(), self.embeddings(), []
        steps = self.thresholds(head, rows[0])
        for i, x in enumerate(rows):
            verdicts = head.verdicts(x, steps, self.signal, agree="a" in self.flags,
                                     previous=self.previous[i] if self.previous else NONE)
            leaves = next((j for j, verdict in enumerate(verdicts) if verdict[3]), len(steps) - 1)
            kept = verdicts if "e" in self.flags else [verdicts[leaves]]
            answers += [f"{one}:{step}:{hexadecimal([sure])}:{int(leave)}"
                        for one, step, sure, leave in kept]
        written = ",".join(f"{dim}:{hexadecimal([threshold])}" for dim, threshold in steps)
        previous = ",".join(map(str, self.previous)) or "-"
        return (f"{self.begin()} {written} {self.signal} {self.flags} {previous} -> "
                f"{','.join(answers)}")

    def logits_lines(self) -> Iterator[str]:
        """Yield the lines in mrl_logits.txt, one for each dim of the steps."""
        head, rows = self.head(), self.embeddings()
        for dim, _ in self.steps:
            found = [head.logits(x, dim) for x in rows]
            yield f"{self.begin()} {dim} {self.flags} -> {hexadecimal(found)}"


INF = math.inf
SIGNALS = ("softmax", "margin", "entropy")
COUNTS = (1, 2, 15, 16, 17, 63, 64, 65, 127, 129, 968, 1000)


def by_hand() -> Iterator[Case]:
    """Yield small cases whose answers can be seen."""
    eye = Numbers((1, 0, 0, 0, 1, 0, 0, 0, 1))
    zeros3 = Numbers((0.0, 0.0, 0.0))
    eye_case = Case("unit_vectors", 3, (1, 2, 3), eye, zeros3, Numbers((0.5, 2.0, 9.0)),
                    steps=((1, INF), (2, INF), (3, INF)), flags="e")
    yield eye_case
    yield replace(eye_case, name="leaves_at_once", steps=((1, -INF), (2, -INF)), flags="-")
    yield replace(eye_case, name="never_sure", steps=((1, INF), (3, INF)), flags="-")
    yield replace(eye_case, name="at_the_threshold_is_not_above_it",
                  steps=((1, None), (2, None), (3, None)), flags="-")
    yield replace(eye_case, name="just_below_the_confidence", steps=((2, 0.73), (3, 0.9)),
                  flags="-")
    yield replace(eye_case, name="no_agreement", steps=((1, 0.0), (2, 0.0), (3, 0.0)), flags="ae")
    yield replace(eye_case, name="agreement_with_what_was_before", flags="a", previous=(0,),
                  steps=((1, 0.3), (2, 0.0), (3, 0.0)))
    yield replace(eye_case, name="agreement_at_last", x=Numbers((0.5, 2.0, 1.0)), flags="a",
                  steps=((1, 0.1), (2, 0.1), (3, 0.1)))
    yield Case("all_equal_lowest_id", 17, (2,), Numbers((0.0,) * 34), Numbers((0.0,) * 17),
               Numbers((1.0, -1.0)), steps=((2, 0.0),))
    yield Case("equal_across_panels_lowest_id", 65, (1,), Numbers(
        tuple(1.0 if i in (63, 64) else -1.0 for i in range(65))), Numbers((0.0,) * 65),
        Numbers((8.0,)), steps=((1, 0.0),), signal="margin")
    yield Case("best_class_is_the_last", 16, (1,), Numbers((0.0,) * 15 + (1.0,)),
               Numbers((0.0,) * 16), Numbers((20.0,)), steps=((1, 0.5),), signal="entropy")
    yield Case("a_class_far_below", 2, (1,), Numbers((1.0, -1.0)), Numbers((0.0, 0.0)),
               Numbers((200.0,)), steps=((1, 0.5),), signal="margin")
    yield Case("largest_weights", 3, (2,), Numbers((1e15, -1e15, 1e15, 1e15, -1e15, 0.0)), zeros3,
               Numbers((1e15, 1e15)), steps=((2, 0.5),))
    yield Case("small_weights", 3, (2,), Numbers((1e-15, -1e-15, 3e-15, 1e-15, 0.0, 0.0)), zeros3,
               Numbers((1e-15, 1e-3)), steps=((2, 0.5),))
    yield Case("the_zero_vector_normalized", 3, (1, 3), eye, Numbers((0.0, 2.0, 1.0)), zeros3,
               normalized=True, scale=16.0, steps=((1, 0.9), (3, 0.9)), flags="e")
    yield Case("shorter_than_1e-12_normalized", 3, (3,), eye, zeros3,
               Numbers((2.0**-42, 2.0**-41, 0.0)), normalized=True, scale=16.0, steps=((3, 0.5),))
    yield Case("one_class", 1, (1, 2), Numbers((1.0, 1.0)), Numbers((0.0,)), Numbers((1.0, 1.0)),
               steps=((1, 0.5), (2, 0.5)), signal="entropy", flags="e")


def by_recipe() -> Iterator[Case]:
    """Yield cases of many sizes; what is tied, normalized, the signal and flags take turns."""
    shapes = [(8, 16, 32), (1, 2, 3, 5, 7), (4, 64), (32,), (16, 48, 96, 128)]
    for i, n_classes in enumerate(COUNTS * 2):
        dims, seed = shapes[i % len(shapes)], 100 * i
        turn = i + i // len(COUNTS)  # so that no count of classes is always tied
        tied, normalized = turn % 2 == 0, turn // 2 % 3 == 0
        made = Case(f"recipe_{i}", n_classes, dims, Numbers(seed=seed, shift=0),
                    Numbers(seed=seed + 1, shift=-2), Numbers(seed=seed + 2, shift=i % 4),
                    tied=tied, normalized=normalized, scale=12.5 if normalized else 1.0, n=3,
                    signal=SIGNALS[i % 3], steps=tuple((dim, 0.02 * i) for dim in dims))
        yield made
        yield replace(made, name=f"{made.name}_every_step", flags="e",
                      signal=SIGNALS[(i + 1) % 3])
        yield replace(made, name=f"{made.name}_agree", flags="ae", signal=SIGNALS[(i + 2) % 3],
                      previous=(0, n_classes - 1, NONE))
        if tied and dims[-1] > 8:
            cuts = sorted({1, dims[0] // 2 + 1, dims[-1] - 3, dims[-1]})
            yield replace(made, name=f"{made.name}_between", flags="i",
                          steps=tuple((dim, None) for dim in cuts))


def cascade_lines() -> Iterator[str]:
    """Yield the lines of mrl_cascade.txt."""
    for made in (*by_hand(), *by_recipe()):
        yield made.cascade_line()


def logits_lines() -> Iterator[str]:
    """Yield the lines of mrl_logits.txt."""
    for made in (*by_hand(), *by_recipe()):
        plain = made.flags.strip("ae") or "-"
        if made.n_classes <= 17 and not made.name.endswith(("_every_step", "_agree")):
            yield from replace(made, flags=plain, n=min(made.n, 2)).logits_lines()


def files() -> dict[str, str]:
    """Return every file's text by its name."""
    lines = {"mrl_logits.txt": logits_lines, "mrl_cascade.txt": cascade_lines}
    return {name: COMMON + HEADS[name] + "".join(f"{line}\n" for line in make())
            for name, make in lines.items()}


if __name__ == "__main__":
    for file, text in files().items():
        (HERE / file).write_text(text, encoding="ascii", newline="\n")
        print(f"wrote   {file}  {len(text)} B  {text.count(' -> ')} cases")
