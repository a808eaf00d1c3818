"""A measured process, and what its owner asks of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from edge_sdk.engines.process import death, unpack_error
from edge_sdk.errors import EngineError

PATIENCE_S = 600.0
"""A process that says nothing for so long is ended."""

_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Process:
    """One file in one engine, started; see `edge_sdk.bench.child` for what it can be asked.

    Attributes:
        opened: Its first answer: what can be called.
    """

    def __init__(
        self, command: Sequence[str], *, where: str, threads: int = 1,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start it and wait until its calls are warm.

        Raises:
            EdgeError: As the engine raised it.
            EngineError: It can not be started, died, or says nothing.
        """
        self._where, self._patience_s = where, patience_s
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._overdue = False
        environment = {**os.environ, **dict.fromkeys(_POOLS, str(threads))}
        try:
            self._process = subprocess.Popen(
                command, env=environment, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=self._stderr)
        except OSError as error:
            self._stderr.close()
            raise EngineError("a program that runs on this machine", error.strerror or str(error),
                              where=where, hint="compile with this machine's own compiler"
                              ) from error
        try:
            self.opened = self.ask()
        except BaseException:
            self.close()
            raise

    def turn(self, row: int, seconds: float) -> list[float]:
        """Return the ms of a row's calls over so many seconds."""
        taken: list[float] = self.ask(f"turn {row} {seconds:.6f}")["ms"]
        return taken

    def spin(self, row: int, seconds: float) -> int:
        """Make a row's calls for so many seconds, and return how many they were."""
        return int(self.ask(f"spin {row} {seconds:.6f}")["n"])

    def end(self) -> dict[str, float | None]:
        """End the process and return its memory in MB."""
        ram: dict[str, float | None] = self.ask("end")["ram"]
        self._process.wait(timeout=self._patience_s)
        return ram

    def ask(self, line: str | None = None) -> dict[str, Any]:
        """Send a line and return the answer; without a line, only wait for one.

        Raises:
            EdgeError: As the engine raised it.
            EngineError: It died, or says nothing.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = threading.Timer(self._patience_s, self._give_up)
        alarm.start()
        try:
            if line is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            text = self._process.stdout.readline()
            answer = json.loads(text) if text else None
        except (BrokenPipeError, ValueError):
            answer = None
        finally:
            alarm.cancel()
        if answer is None:
            raise self._died()
        if "error" in answer:
            raise unpack_error(answer["error"])
        return dict(answer)

    def close(self) -> None:
        """End the process, whatever it does; closing twice is fine."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._stderr.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _give_up(self) -> None:
        self._overdue = True
        self._process.kill()

    def _died(self) -> EngineError:
        if self._process.poll() is None:
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace")
        got = f"silence for {self._patience_s:g} s" if self._overdue else \
            death(self._process.returncode, words)
        return EngineError("an engine that answers", got, where=self._where,
                           hint="selftest shows whether the file runs here")
