"""Subjects whose processes say what they are told to."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.bench import run
from edge_sdk.bench.result import Result
from edge_sdk.device import DeviceState, FixedDevice

QUICK = {"passes": 2, "rounds": 2, "seconds": 0.01}
COOL = FixedDevice(DeviceState(temperature_c=40.0, frequency_mhz=1000.0, throttled=False))

PRETENDER = """
import json, os, signal, sys, time
facts = json.loads(sys.argv[1])
say = lambda answer: print(json.dumps(answer), flush=True)
if "error" in facts:
    say({"error": facts["error"]}); sys.exit()
say({"engine": "pretender", "engine_version": "1", "load_ms": 5.0, "inputs": "none", "rows": [
    {"name": name, "kind": "granularity", "frames": None, "first_ms": 9.0, "warm_calls": 1,
     "calls_per_sample": 1} for name in facts["ms"]]})
n = 0
for line in sys.stdin:
    what, *rest = line.split()
    if what == "end":
        say({"ram": {"peak_mb": 50.0, "above_engine_mb": facts.get("above"), "engine_mb": 30.0,
                     "after_load_mb": 40.0}})
        break
    n += 1
    if n == facts.get("dies_at"):
        print("the last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if n == facts.get("silent_at"):
        time.sleep(600)
    if what == "spin":
        say({"n": 1000})
    else:
        if "log" in facts:
            open(facts["log"], "a").write(facts["name"] + " " + rest[0] + chr(10))
        say({"ms": [list(facts["ms"].values())[int(rest[0])]] * 3})
"""


@dataclass
class Pretender:
    """Stands where a `Subject` would; its process says it takes `ms`."""

    facts: dict
    name: str = "a"
    kind: str = "artifact"
    engine: str = "pretender"
    path: Path = Path("a")
    sha256: str = "0" * 64
    n_bytes: int = 1

    def command(self, folder, threads):
        return [sys.executable, "-S", "-c", PRETENDER,
                json.dumps({"name": self.name, "above": 20.0, **self.facts})], None

    def threads(self, asked):
        return asked


def pretend(*facts, **options) -> Result:
    subjects = [Pretender(each, name=f"file {i}") for i, each in enumerate(facts)]
    plain = {**QUICK, "device": COOL, "energy": False}
    return run.bench(subjects, **{**plain, **options})
