"""Spoken digits as they are recognised, a JSON line each: a FastGRNN in the C core, no engine.

python speech.py --mic          or     python speech.py recording.wav

The same loop as `python -m edge_sdk.listen`, with what it costs in each line. SIGTERM ends it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from supervision import Stop, Supervisor

from edge_sdk import FastGRNN
from edge_sdk.audio import microphone, read_wav
from edge_sdk.audio.logmel import Samples
from edge_sdk.console import command, say
from edge_sdk.engines.process import peak_resident_mb, resident_mb
from edge_sdk.fastgrnn.early import EarlyDecision
from edge_sdk.listen import Listener
from edge_sdk.zoo.fastgrnn import runtime_file

BLOCK_MS = 20


def lines(blocks: Iterable[Samples], listener: Listener, stop: Stop,
          supervisor: Supervisor) -> Iterator[dict[str, Any]]:
    """Yield a line for each word; `load` is the share of real time that one core was at work.

    Args:
        blocks: Samples (n,) int16 of the listener's rate, in order.
        listener: Hears.
        stop: Ends it after the block at work.
        supervisor: Hears of every block.
    """
    n_samples, busy_s = 0, 0.0
    rate_hz = listener.config.rate_hz
    for block in blocks:
        if stop.asked:
            break
        start = time.perf_counter()
        heard = listener.push(block)
        busy_s += time.perf_counter() - start
        n_samples += len(block)
        supervisor.alive()
        for word in heard:
            yield _line(word, busy_s * rate_hz / n_samples)
    for word in listener.finish():
        yield _line(word, busy_s * rate_hz / max(n_samples, 1))


def _line(word: Any, load: float) -> dict[str, Any]:
    return {**asdict(word), "load": load, "ram_mb": resident_mb(),
            "peak_ram_mb": peak_resident_mb()}


def _blocks(samples: Samples, rate_hz: int) -> Iterator[Samples]:
    n = rate_hz * BLOCK_MS // 1000
    for start in range(0, len(samples), n):
        yield samples[start : start + n]


def main(
    file: Annotated[Path | None, typer.Argument(help="A wav file.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Listen to the microphone instead.")] = False,
    model: Annotated[Path | None, typer.Option(
        help="A .grnn of log-mel features; the zoo's spoken digits by default.")] = None,
) -> None:
    """Print a line of JSON for each word in FILE, or spoken into the microphone."""
    if (file is None) != mic:
        raise typer.BadParameter("name a wav file, or --mic", param_hint="FILE")
    supervisor, stop = Supervisor(), Stop()
    loaded = FastGRNN.load(model or runtime_file())
    path = model or "the zoo's model"
    early = EarlyDecision.from_dict(loaded.early, where=str(path)) if loaded.early else None
    listener = Listener(loaded, early=early)
    rate_hz = listener.config.rate_hz
    blocks: Any = microphone(rate_hz, BLOCK_MS) if file is None else \
        _blocks(read_wav(file, rate_hz).samples, rate_hz)
    supervisor.tell("READY=1")
    n_words = 0
    with closing(blocks):
        for line in lines(blocks, listener, stop, supervisor):
            n_words += 1
            say(json.dumps(line))
    supervisor.tell("STOPPING=1")
    print(f"{'stopped' if stop.asked else 'done'}    {n_words} words", file=sys.stderr, flush=True)


app = command(main, interrupted="words until then were printed")

if __name__ == "__main__":
    app()
