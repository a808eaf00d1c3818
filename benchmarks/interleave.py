"""Times several artifacts of one engine in one process, call by call in turn.

`python -m benchmarks.interleave` is the child that `interleave` starts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import edge_sdk
from edge_sdk.artifact import unpack_array


def interleave(
    peers: Sequence[tuple[Path, str]], *, rounds: int = 400, threads: int = 1,
    rotate: bool = True,
) -> list[float]:
    """Return the median latency in ms of each (file, granularity), taken in turns.

    With `rotate`, who comes first changes, so that no peer always follows the same one.
    """
    request = json.dumps({"peers": [[str(path), name] for path, name in peers],
                          "rounds": rounds, "threads": threads, "rotate": rotate})
    done = subprocess.run([sys.executable, "-m", "benchmarks.interleave"], input=request,
                          capture_output=True, text=True, check=True)
    times: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return times


def _child() -> None:
    request = json.loads(sys.stdin.read())
    engines = {path: edge_sdk.load(path, threads=request["threads"])
               for path in dict.fromkeys(path for path, _ in request["peers"])}
    calls = []
    for path, name in request["peers"]:
        golden = engines[path].metadata.golden.inputs
        calls.append((engines[path], {k: unpack_array(v)[:1] for k, v in golden.items()}, name))
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(request["rounds"] + 10):
        first = turn % len(calls) if request["rotate"] else 0
        for i in [*range(first, len(calls)), *range(first)]:
            engine, inputs, name = calls[i]
            start = time.perf_counter()
            engine.run(inputs, name)
            if turn >= 10:  # warm
                times[i].append((time.perf_counter() - start) * 1e3)
    print(json.dumps([statistics.median(taken) for taken in times]))


if __name__ == "__main__":
    _child()
