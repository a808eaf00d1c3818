"""Write the vectors of the log-mel front end: `python tests/vectors/make_logmel.py`.

The answers come from NumPy (edge_sdk/audio/logmel.py), the inputs from the
generator of make.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.audio.logmel import LogMelConfig, log_mel, tables

HERE = Path(__file__).resolve().parent
HEADS = {
    "logmel_tables.txt": """\
# One front end a line; `python tests/vectors/make_logmel.py` writes this file.
# weights, sine and position: as edge_logmel_config has them, each number as hexadecimal digits,
# 4, 8 and 4 of them.
# name window hop n_fft n_bands floor_log2 weights sine position
""",
    "logmel.txt": """\
# One case a line; `python tests/vectors/make_logmel.py` writes this file.
# front: a name in logmel_tables.txt. samples: pieces, parted by commas: VALUE*COUNT, the same
# sample again and again, or @SEED:SHIFT*COUNT: SplitMix64 from that seed, of each word the upper
# 16 bits as an int16, divided by 2^SHIFT, rounded down. Features: int16, 4 hexadecimal digits
# each, a frame's bands together, frames parted by commas; - stands for none.
# name front samples -> features
""",
}
FRONTS = {
    "8k_32": LogMelConfig(), "16k_32": LogMelConfig(16000), "8k_1": LogMelConfig(n_bands=1),
    "8k_62": LogMelConfig(n_bands=62), "16k_62": LogMelConfig(16000, n_bands=62, low_hz=0.0),
    "8k_13_low": LogMelConfig(n_bands=13, low_hz=300.0, floor_log2=0),
    "16k_40_high": LogMelConfig(16000, n_bands=40, floor_log2=40),
}


def _random(seed: int) -> Any:
    spec = importlib.util.spec_from_file_location("make_codes", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Random(seed)


class Piece(NamedTuple):
    """`count` samples of one value, or random ones."""

    count: int
    value: int = 0
    seed: int | None = None
    shift: int = 0

    def __str__(self) -> str:
        what = f"{self.value}" if self.seed is None else f"@{self.seed}:{self.shift}"
        return f"{what}*{self.count}"

    def samples(self) -> NDArray[np.int16]:
        """Return them."""
        if self.seed is None:
            return np.full(self.count, self.value, np.int16)
        random = _random(self.seed)
        words = [random.word() >> 48 for _ in range(self.count)]
        return np.array(words, np.uint16).view(np.int16) >> self.shift


class Case(NamedTuple):
    """A signal, and the front end that hears it."""

    name: str
    front: str
    pieces: list[Piece]

    def samples(self) -> NDArray[np.int16]:
        """Return the signal, (n,) int16."""
        return np.concatenate([piece.samples() for piece in self.pieces])

    def line(self) -> str:
        """Return the case with its answer."""
        features = log_mel(self.samples(), FRONTS[self.front])
        answer = ",".join(hexadecimal(row) for row in features) or "-"
        return f"{self.name} {self.front} {','.join(map(str, self.pieces))} -> {answer}"


def hexadecimal(array: NDArray[Any]) -> str:
    """Return the numbers' bits, all digits of each."""
    digits = 2 * array.itemsize
    words = array.view(f"<u{array.itemsize}").tolist()
    return "".join(f"{word:0{digits}x}" for word in words)


def square(value: int, half: int, count: int) -> list[Piece]:
    """Return a square wave, `half` samples up, as many down."""
    return [Piece(half, value if i % 2 == 0 else -value - 1) for i in range(count)]


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for name, config in FRONTS.items():
        frame, hop = config.window, config.hop
        yield Case(f"silence_{name}", name, [Piece(frame + hop, 0)])
        yield Case(f"noise_{name}", name, [Piece(frame + 2 * hop + 7, seed=len(name))])
        yield Case(f"too_short_{name}", name, [Piece(frame - 1, 5)])
    for name in ("8k_32", "16k_32"):
        frame, hop = FRONTS[name].window, FRONTS[name].hop
        yield Case(f"full_scale_up_{name}", name, [Piece(frame, 32767)])
        yield Case(f"full_scale_down_{name}", name, [Piece(frame, -32768)])
        yield Case(f"fastest_square_{name}", name, square(32767, 1, frame + 1))
        yield Case(f"square_{name}", name, square(32767, 9, (frame + hop) // 9))
        yield Case(f"one_unit_{name}", name, [Piece(frame, 0), Piece(1, 1), Piece(frame)])
        yield Case(f"click_{name}", name, [Piece(frame // 2), Piece(1, -32768), Piece(2 * hop)])
        for shift in (3, 7, 11, 15):
            yield Case(f"noise_{shift}_{name}", name,
                       [Piece(frame + hop, seed=shift, shift=shift)])
    yield Case("louder_and_louder", "8k_32",
               [Piece(160, seed=9, shift=shift) for shift in range(15, -1, -1)])


def table_lines() -> Iterator[str]:
    """Yield the front ends."""
    for name, config in FRONTS.items():
        constants = tables(config)
        numbers = (config.window, config.hop, config.n_fft, config.n_bands, config.floor_log2)
        yield " ".join([name, *map(str, numbers), hexadecimal(constants.window),
                        hexadecimal(constants.sine), hexadecimal(constants.position)])


def files() -> dict[str, str]:
    """Return every file's text by its name."""
    lines = {"logmel_tables.txt": table_lines(), "logmel.txt": (case.line() for case in cases())}
    return {name: HEADS[name] + "".join(f"{line}\n" for line in made)
            for name, made in lines.items()}


if __name__ == "__main__":
    for file, text in files().items():
        (HERE / file).write_text(text, encoding="ascii", newline="\n")
        print(f"wrote   {file}  {len(text)} B")
