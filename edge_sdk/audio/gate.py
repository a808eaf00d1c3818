"""`Gate`: words, cut out of a stream of log-mel frames.

It compares a frame's loudness, the mean of its bands in octaves of energy, with a floor: the
lowest mean of three frames in the last two seconds (minimum statistics: Martin 2001,
doi:10.1109/89.928915). It needs no training and knows no speech: any sound that is short and
loud enough is a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.audio.logmel import FEATURE_BITS
from edge_sdk.errors import ShapeError


@dataclass(frozen=True)
class GateConfig:
    """When a word begins and ends. A frame is 10 ms, an octave of energy 3 dB.

    Attributes:
        on_octaves: Frames so far above the floor begin a word.
        on_frames: So many of them in a row; a click is in three.
        off_octaves: Frames farther above the floor keep it going.
        off_frames: So many that are not, in a row, end it.
        before, after: Quieter frames that belong to the word all the same.
        longest: Loud for so many frames is no word but noise: it gets no answer.
        start_octaves: What is assumed at first: silence is so far above the front end's floor.
        start_frames: For so long. A word that began under that assumption gets its answer
            only if it stands out from what was heard since.
    """

    on_octaves: float = 2.0
    on_frames: int = 4
    off_octaves: float = 1.5
    off_frames: int = 20
    before: int = 7
    after: int = 5
    longest: int = 150
    start_octaves: float = 3.0
    start_frames: int = 50


class Cut(NamedTuple):
    """What one more frame means for words.

    Attributes:
        begins: A word begins with the first of `frames`.
        frames: (k, D), the next frames of a word, k often 0: doubtful ones are held back.
        ends: The word has ended.
        dropped: It was none.
    """

    begins: bool
    frames: NDArray[np.int16]
    ends: bool
    dropped: bool


class Gate:
    """Cuts words out of a stream of frames, with a noise floor that adapts."""

    BLOCKS, BLOCK_FRAMES, SMOOTHED = 8, 25, 3

    def __init__(self, n_bands: int, floor_log2: int, config: GateConfig | None = None) -> None:
        """Begin a stream of frames of so many bands; `floor_log2` as in `LogMelConfig`."""
        self.config = config or GateConfig()
        # Loudness is the sum of SMOOTHED frames' integers: thresholds in the same unit.
        self._octave = n_bands * self.SMOOTHED << FEATURE_BITS
        self._on = round(self.config.on_octaves * self._octave)
        self._off = round(self.config.off_octaves * self._octave)
        self._start = round((floor_log2 + self.config.start_octaves) * self._octave)
        room = max(self.config.before + self.config.on_frames, self.config.off_frames) + 1
        self._ring = np.zeros((room, n_bands), np.int16)
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._recent: list[int] = []  # loudness of the last frames
        self._minima: list[int] = []  # of the last blocks
        self.frame = 0  # frames heard
        self.began = 0  # the loud frame that began the last word
        self._peak = 0  # its loudest three frames
        self._loud = 0  # loud frames in a row, in silence
        self._last_loud = 0
        self._given = 0  # frames before it belong to earlier words, or were given
        self._open, self._dropped = False, False

    @property
    def is_open(self) -> bool:
        """Whether a word is being heard."""
        return self._open and not self._dropped

    @property
    def is_settled(self) -> bool:
        """Whether the floor has been heard, not assumed."""
        return self.frame >= self.config.start_frames

    @property
    def floor_octaves(self) -> float:
        """What counts as silence now, log2 of energy."""
        return self._floor() / self._octave

    def push(self, frame: NDArray[np.int16]) -> Cut:
        """Take one more frame (n_bands,)."""
        at = self.frame
        self._ring[at % len(self._ring)] = frame
        loudness = int(frame.sum(dtype=np.int64))
        self._recent = [*self._recent[1 - self.SMOOTHED :], loudness]
        smooth = sum(self._recent) * self.SMOOTHED // len(self._recent)
        if at % self.BLOCK_FRAMES == 0:
            self._minima = [*self._minima[1 - self.BLOCKS :], smooth]
        self._minima[-1] = min(self._minima[-1], smooth)
        self.frame += 1
        above = loudness * self.SMOOTHED - self._floor()
        if not self._open:
            return self._in_silence(at, smooth, above)
        return self._in_word(at, smooth, above)

    def _floor(self) -> int:
        lowest = min(self._minima, default=self._start)
        return lowest if self.is_settled else min(lowest, self._start)

    def _in_silence(self, at: int, smooth: int, above: int) -> Cut:
        self._loud = self._loud + 1 if above > self._on else 0
        if self._loud < self.config.on_frames:
            return self._cut()
        self._open, self._last_loud, self._peak = True, at, smooth
        self.began = at - self.config.on_frames + 1
        self._given = max(self._given, self.began - self.config.before)
        return self._cut(begins=True, until=at + 1)

    def _in_word(self, at: int, smooth: int, above: int) -> Cut:
        self._peak = max(self._peak, smooth)
        if above > self._off:
            self._last_loud = at
        quiet = at - self._last_loud
        if quiet >= self.config.off_frames:
            ends = not self._dropped
            self._open, self._dropped, self._loud = False, False, 0
            return self._cut(ends=ends)
        if self._dropped:
            return self._cut()
        if at - self.began >= self.config.longest or \
                (self.frame == self.config.start_frames and self._peak - self._floor() <= self._on):
            self._dropped = True
            return self._cut(dropped=True)
        return self._cut(until=at + 1) if quiet <= self.config.after else self._cut()

    def _cut(self, *, begins: bool = False, until: int = 0, ends: bool = False,
             dropped: bool = False) -> Cut:
        """Return what is new: the frames not given yet, before `until`."""
        n, first = max(until - self._given, 0), self._given % len(self._ring)
        self._given += n
        # None or one is the rule, at every frame of a stream: a slice takes a third of the time.
        rows = slice(first, first + n) if n <= 1 else np.arange(first, first + n) % len(self._ring)
        return Cut(begins, self._ring[rows].copy(), ends, dropped)


def words(frames: NDArray[np.int16], floor_log2: int,
          config: GateConfig | None = None) -> list[tuple[int, int]]:
    """Return the words in a whole signal's frames: (begin, end), the first frame and one past.

    What a listener gives its model, to train and to calibrate on. The end of the signal ends
    a word.

    Args:
        frames: (T, n_bands) int16, as `log_mel` makes them.
        floor_log2: As in `LogMelConfig`.
        config: When a word begins and ends.

    Raises:
        ShapeError: Another shape or dtype.
    """
    if frames.ndim != 2 or frames.dtype != np.int16 or not frames.shape[1]:
        raise ShapeError("frames (T, n_bands), int16", f"{frames.dtype} {list(frames.shape)}",
                         where="`frames`", hint="as log_mel returns them")
    gate, found = Gate(frames.shape[1], floor_log2, config), []
    begin = end = 0
    for frame in frames:
        cut = gate.push(frame)
        if cut.begins:
            begin = end = gate.frame - len(cut.frames)
        end += len(cut.frames)
        if cut.ends:
            found.append((begin, end))
    return [*found, (begin, end)] if gate.is_open else found
