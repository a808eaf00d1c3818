"""Build a generated FastGRNN for three Cortex-M cores, run it in QEMU, compare it bit by bit.

Usage: python runtime/examples/microcontroller/run.py [--record]

Two firmwares for each core: one reads features, one makes them from samples with the core's
front end. Each must fit 16 KB of flash and 4 KB of RAM, and every feature, state and logit must
equal those of `edge_sdk.audio.log_mel` and `edge_sdk.fastgrnn.integer`. Flash, RAM and
instructions a step may differ from budget.json by 2 %. Instructions, not cycles: QEMU executes
each in the same virtual time.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk.audio.logmel import FEATURE_BITS, LogMelConfig, log_mel, tables
from edge_sdk.console import command, say
from edge_sdk.data import fsdd
from edge_sdk.errors import (
    BudgetError,
    ComparisonError,
    EngineError,
    MissingDependency,
    UnsupportedModel,
)
from edge_sdk.fastgrnn import FastGRNN
from edge_sdk.fastgrnn.integer import QuantizedWeights, quantize
from edge_sdk.fastgrnn.weights import Weights
from edge_sdk.zoo.fastgrnn import runtime_file

HERE = Path(__file__).resolve().parent
BUDGET = HERE / "budget.json"
TOLERANCE = 0.02
"""How far a figure may be from the recorded one, as a fraction of it."""

COMPILER, SIZE, MAKE, EMULATOR = \
    "arm-none-eabi-gcc", "arm-none-eabi-size", "make", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm make"
TOOLS = (COMPILER, SIZE, MAKE, EMULATOR)
LIMITS = {name: int(number) for name, number in
          re.findall(r"^(\w+_BYTES) \?= (\d+)$", (HERE / "Makefile").read_text(), re.MULTILINE)}
"""FLASH_BYTES, RAM_BYTES and STACK_BYTES of a firmware."""
TIME_LIMIT_S = 120

ICOUNT_SHIFT = 6
INSTRUCTION_NS = 2**ICOUNT_SHIFT
"""Virtual time of an instruction under -icount."""

WITHIN = 3
"""Instructions by which a count may be too high: those that read the counter, and its tick."""

SOURCES = ("features", "samples")
"""What a firmware reads: frames (T, D), or the sound (n,) that it makes them from."""

FRONT_END = LogMelConfig()

Sequence16 = NDArray[np.int16]


class Core(NamedTuple):
    """A processor, the board of QEMU that has one, and the period of its SysTick there."""

    name: str
    board: str
    tick_ns: float


CORES = (
    # QEMU has no board with an M0+; the microbit's M0 executes the same instruction set, ARMv6-M.
    Core("cortex-m0plus", "microbit", 62.5),
    Core("cortex-m3", "mps2-an385", 40.0),
    Core("cortex-m4", "mps2-an386", 40.0),
)


@dataclass(frozen=True)
class Firmware:
    """A linked firmware. RAM is all of it: state, buffers, and the stack's reserve."""

    core: Core
    source: str
    elf: Path
    flash_bytes: int
    ram_bytes: int

    @property
    def name(self) -> str:
        """How tables and budget.json call it."""
        return self.core.name if self.source == "features" else f"{self.core.name} {self.source}"


@dataclass(frozen=True)
class Run:
    """What a firmware told, for each frame of all sequences one after the other.

    Attributes:
        features: (n, D) int16, as the model got them.
        states: (n, H) int16.
        logits: (n, C) int32.
        class_ids: (n,) int32.
        source_instructions, step_instructions, result_instructions: (n,) int64, those of the
            front end (0 without), of `model_step` and of `model_result`; each is up to
            WITHIN too high, the front end's for each hop that it took.
        stack_bytes, stack_used_bytes: Reserved, and written at any time.
    """

    features: NDArray[np.int16]
    states: NDArray[np.int16]
    logits: NDArray[np.int32]
    class_ids: NDArray[np.int32]
    source_instructions: NDArray[np.int64]
    step_instructions: NDArray[np.int64]
    result_instructions: NDArray[np.int64]
    stack_bytes: int
    stack_used_bytes: int


def missing_tools() -> list[str]:
    """Return the tools that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def build(
    core: Core, model: Path, out: Path, *, source: str = "features", **limits: int
) -> Firmware:
    """Compile and link a firmware.

    Args:
        core: One of CORES.
        model: The folder of model.c, model.h and front_end.h.
        out: A folder for the firmware.
        source: One of SOURCES.
        **limits: Some of LIMITS, in bytes; the Makefile's by default.

    Raises:
        BudgetError: It does not fit.
        EngineError: It does not compile.
    """
    variables = {"CORE": core.name, "SOURCE": source, "MODEL": model, "OUT": out, **limits}
    made = _run([MAKE, "-s", "-C", HERE, *(f"{name}={value}" for name, value in variables.items())])
    if made.returncode != 0:
        lines = [line for line in made.stderr.splitlines() if "error" in line or "region" in line]
        kind = BudgetError if "overflowed" in made.stderr else EngineError
        raise kind("a firmware that links", "; ".join(lines[:3]) or made.stderr, where=core.name,
                   hint="a smaller model, or other limits: see the Makefile")
    elf = out / "firmware.elf"
    text, data, bss = map(int, _run([SIZE, elf]).stdout.splitlines()[1].split()[:3])
    return Firmware(core, source, elf, flash_bytes=text + data, ram_bytes=data + bss)


def run(firmware: Firmware, sequences: Sequence[Sequence16]) -> Run:
    """Run `firmware` in QEMU on sequences of what its source reads.

    Raises:
        EngineError: It faulted, told too little, or its counter is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        counts, words = zip(*map(_input, sequences), strict=True)
        (files / "input.bin").write_bytes(b"".join(words))
        ended = _run([
            EMULATOR, "-M", firmware.core.board, "-display", "none", "-monitor", "none",
            "-serial", "none", "-semihosting-config", "enable=on,target=native",
            "-icount", f"shift={ICOUNT_SHIFT},align=off,sleep=off", "-kernel", firmware.elf,
        ], folder=files)
        if ended.returncode != 0:
            told = ended.stderr.strip().splitlines() or ["no words"]
            raise EngineError("a firmware that ends well", f"{ended.returncode}: {told[0]}",
                              where=firmware.name, hint="a fault: is the stack large enough?")
        return _told(firmware.core, files, n_frames=sum(counts))


def _input(sequence: Sequence16) -> tuple[int, bytes]:
    """Return a sequence's number of frames, and its part of input.bin."""
    n_frames = len(sequence)
    if sequence.ndim == 1:  # samples, in whole hops
        n_frames, hop = FRONT_END.n_frames(len(sequence)), FRONT_END.hop
        n_hops = n_frames - 1 + -(-FRONT_END.window // hop) if n_frames else 0
        padded = np.zeros(n_hops * hop, np.int16)
        used = sequence[: len(padded)]
        padded[: len(used)] = used
        sequence = padded
    return n_frames, np.uint16(n_frames).tobytes() + sequence.astype("<i2").tobytes()


SUMMARY = ("inputs", "hidden", "classes", "state_bytes", "stack_bytes", "stack_used_bytes",
           "loop_instructions", "loop_ticks")
"""The fields of `summary` in main.c, uint32."""


def _told(core: Core, files: Path, *, n_frames: int) -> Run:
    numbers = np.frombuffer((files / "summary.bin").read_bytes(), "<u4")
    summary = dict(zip(SUMMARY, map(int, numbers), strict=True))
    answer = np.dtype([
        ("source_ticks", "<u4"), ("step_ticks", "<u4"), ("result_ticks", "<u4"),
        ("class_id", "<i4"), ("logits", "<i4", summary["classes"]),
        ("features", "<i2", summary["inputs"]), ("state", "<i2", summary["hidden"])])
    answers = np.frombuffer((files / "answers.bin").read_bytes(), answer)
    if len(answers) != n_frames:
        raise EngineError(f"answers to {n_frames} frames", str(len(answers)), where=core.name,
                          hint="input.bin and main.c disagree")
    loop = int(_instructions(core, numbers[-1:])[0])
    if not 0 <= loop - summary["loop_instructions"] <= WITHIN:
        raise EngineError(f"a loop of {summary['loop_instructions']} instructions", str(loop),
                          where=core.name, hint="this QEMU's SysTick has another clock")
    source, step, result = (_instructions(core, answers[f"{part}_ticks"])
                            for part in ("source", "step", "result"))
    return Run(answers["features"], answers["state"], answers["logits"], answers["class_id"],
               source, step, result, summary["stack_bytes"], summary["stack_used_bytes"])


def _instructions(core: Core, ticks: NDArray[np.uint32]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.rint(ticks * (core.tick_ns / INSTRUCTION_NS)).astype(np.int64)
    return found


def measured(firmware: Firmware, ran: Run) -> dict[str, int | str]:
    """Return an entry of budget.json."""
    version = _run([COMPILER, "-dumpfullversion"]).stdout.strip()
    front_end = {"instructions_per_front_end": int(ran.source_instructions.max())} \
        if firmware.source == "samples" else {}
    return {**front_end, "instructions_per_step": int(ran.step_instructions.max()),
            "flash_bytes": firmware.flash_bytes, "ram_bytes": firmware.ram_bytes,
            "compiler": f"{COMPILER} {version}"}


def beyond(found: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """Return in words which of a firmware's figures are beyond TOLERANCE of the recorded."""
    words = []
    for name, value in recorded.items():
        if not isinstance(value, str) and abs(found[name] - value) > TOLERANCE * value:
            change = 100.0 * (found[name] / value - 1.0)
            words.append(f"{name} {found[name]}, recorded {value} ({change:+.1f} %)")
    return words


def _run(
    words: Sequence[str | Path], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(list(map(str, words)), cwd=folder, capture_output=True, text=True,
                              timeout=TIME_LIMIT_S, check=False)
    except FileNotFoundError:
        raise MissingDependency(str(words[0]), "nothing of that name", where="$PATH",
                                hint=f"apt install {PACKAGES}") from None


# --- the model and its frames -----------------------------------------------------------


def model() -> QuantizedWeights:
    """Return the model that the firmware holds: the zoo's spoken digits, as shipped."""
    return FastGRNN.load(runtime_file()).quantized()


def random_model(n_hidden: int) -> QuantizedWeights:
    """Return one of another size: 32 log-mel bands, ranks 14/14, 10 words.

    Random weights of the size of trained ones; the words it tells mean nothing.
    """
    random, n, h, r, classes = np.random.default_rng(5), FRONT_END.n_bands, n_hidden, 14, 10
    frames = [log_mel(sound, FRONT_END) / 2.0**FEATURE_BITS for sound in synthetic()]
    every = np.concatenate(frames)

    def normal(*shape: int) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = \
            (random.standard_normal(shape) * shape[0]**-0.5).astype(np.float32)
        return scaled

    weights = Weights(
        w=(normal(n, r), normal(r, h)), u=(normal(h, r), normal(r, h)),
        bias_gate=np.ones(h, np.float32), bias_update=normal(h), zeta=0.73, nu=0.02,
        head=normal(h, classes), head_bias=normal(classes),
        mean=every.mean(0).astype(np.float32), scale=(1.0 / every.std(0)).astype(np.float32),
        labels=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        preprocessing={"log_mel": asdict(FRONT_END)})
    return quantize(weights, features=frames)


def recorded(data: Path | None = None) -> list[Sequence16]:
    """Return FSDD's test split: the samples of 300 words, five of each digit and speaker.

    Raises:
        DataError: The data set is not there.
    """
    return [r.samples for r in fsdd(data) if r.index < 5]


def synthetic() -> list[Sequence16]:
    """Return ten made-up words of half a second: gliding harmonics in noise, 8 kHz."""
    random, time_s = np.random.default_rng(1), np.arange(4000) / 8000.0
    found = []
    for pitch_hz in np.linspace(90.0, 240.0, 10):
        phase = 2.0 * np.pi * pitch_hz * (time_s + 0.4 * time_s**2)
        voice = sum(np.sin(k * phase + random.uniform(0.0, 6.0)) / k for k in range(1, 12))
        sound = voice * np.sin(2.0 * np.pi * time_s)**2 + 0.1 * random.standard_normal(4000)
        found.append((4000.0 * sound).astype(np.int16))
    return found


def features(sounds: Sequence[Sequence16]) -> list[Sequence16]:
    """Return the frames (T, D) of each."""
    return [log_mel(sound, FRONT_END) for sound in sounds]


def generate(quantized: QuantizedWeights, folder: Path) -> None:
    """Write model.c, model.h and front_end.h into `folder`.

    Raises:
        UnsupportedModel: It listens through another front end than FRONT_END.
    """
    from edge_sdk.exporters.to_c import to_c

    trained_on = LogMelConfig(**quantized.preprocessing.get("log_mel", {}))
    if trained_on != FRONT_END:
        raise UnsupportedModel(str(FRONT_END), str(trained_on), where="`preprocessing`",
                               hint="change FRONT_END")
    real = [frames / np.float32(2**FEATURE_BITS) for frames in features(synthetic())]
    to_c(quantized, folder / "model.c", name="model", sequences=real, quantize="int8")
    constants = asdict(tables(FRONT_END))
    types = {"window": "int16_t", "sine": "int32_t", "position": "uint16_t"}
    arrays = [f"static const {types[name]} front_end_{name}[{len(values)}] = {{\n"
              f"    {', '.join(map(str, values))}}};" for name, values in constants.items()]
    (folder / "front_end.h").write_text(FRONT_END_H.format(
        arrays="\n".join(arrays), config=FRONT_END,
        words=(4 * FRONT_END.n_fft + 2 * FRONT_END.window + 3) // 4))


FRONT_END_H = """\
/* The constants of edge_sdk/audio/logmel.py for 25 ms windows every 10 ms, written by run.py. */
#include "edge_runtime.h"

#define FRONT_END_HOP {config.hop}
#define FRONT_END_WORDS {words} /* edge_logmel_size(), in words of 32 bits */

{arrays}

static const edge_logmel_config front_end = {{
    {config.window}, {config.hop}, {config.n_fft}, {config.n_bands}, {config.floor_log2},
    front_end_window, front_end_sine, front_end_position}};
"""


class Twin(NamedTuple):
    """What must come out for each frame.

    Features (n, D), states (n, H), logits (n, C), class_ids (n,).
    """

    features: NDArray[np.int16]
    states: NDArray[np.int16]
    logits: NDArray[np.int32]
    class_ids: NDArray[np.int64]


def twin(quantized: QuantizedWeights, frames: Sequence[Sequence16]) -> Twin:
    """Return what `edge_sdk.fastgrnn.integer` makes of sequences (T, D), one after the other."""
    states = np.concatenate([quantized.states(sequence) for sequence in frames])
    logits = quantized.logits(states)
    return Twin(np.concatenate(frames), states, logits, logits.argmax(1))


def demand_equal(firmware: Firmware, ran: Run, expected: Twin) -> None:
    """Raise ComparisonError unless every state, logit and class is the twin's."""
    for name, right in expected._asdict().items():
        told = getattr(ran, name)
        if told.shape != right.shape:
            raise ComparisonError(f"{name} {list(right.shape)}", str(list(told.shape)),
                                  where=firmware.name, hint="another model's firmware")
        differing = np.argwhere(told != right)
        if len(differing):
            at = tuple(differing[0])
            raise ComparisonError(
                f"the twin's {right[at]}", str(told[at]),
                where=f"{firmware.name}, {name} of frame {at[0]}",
                hint="the C and the NumPy of log_mel or fastgrnn.integer disagree: report it")


# --- the command ------------------------------------------------------------------------

COLUMNS = "{:<22} {:>8} {:>6} {:>9} {:>10} {:>8} {:>7}"


def main(
    record: Annotated[bool, typer.Option(help="Write budget.json anew.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of fsdd/; or $EDGE_SDK_DATA.")] = None,
) -> None:
    """Build, run and compare the firmwares of every core."""
    sounds, quantized = recorded(data), model()
    frames = features(sounds)
    expected, figures = twin(quantized, frames), {}
    say(f"model   {quantized.n_bytes} B of weights and constants")
    say(COLUMNS.format("instructions: the most", "flash B", "RAM B", "stack B", "front end",
                       "step", "result"))
    with tempfile.TemporaryDirectory() as folder:
        generate(quantized, Path(folder))
        for source, sequences in zip(SOURCES, (frames, sounds), strict=True):
            for core in CORES:
                firmware = build(core, Path(folder), Path(folder) / core.name / source,
                                 source=source)
                ran = run(firmware, sequences)
                demand_equal(firmware, ran, expected)
                figures[firmware.name] = measured(firmware, ran)
                say(COLUMNS.format(
                    firmware.name, firmware.flash_bytes, firmware.ram_bytes,
                    f"{ran.stack_used_bytes}/{ran.stack_bytes}", ran.source_instructions.max(),
                    ran.step_instructions.max(), ran.result_instructions.max()))
    say(COLUMNS.format("limit", LIMITS["FLASH_BYTES"], LIMITS["RAM_BYTES"], *[""] * 4).rstrip())
    say(f"check   {len(expected.states)} frames of {len(sounds)} words: every feature, state, "
        "logit and class equals NumPy's")
    if record:
        BUDGET.write_text(json.dumps(figures, indent=2) + "\n")
        say(f"wrote   {BUDGET.name}")
        return
    demand_within(figures)
    say(f"budget  within {TOLERANCE:.0%} of {BUDGET.name}")


def demand_within(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise BudgetError if a figure of a firmware is beyond its recorded one."""
    recorded_figures = json.loads(BUDGET.read_text())
    words = [f"{name}: {text}" for name, found in figures.items()
             for text in beyond(found, recorded_figures[name])]
    if words:
        raise BudgetError(f"figures within {TOLERANCE:.0%} of the recorded", "; ".join(words),
                          where=BUDGET.name, hint="if it is meant to be so: run.py --record")


app = command(main)

if __name__ == "__main__":
    app()
