"""What a service owes the system: to end when told, and to say that it lives.

The protocol of sd_notify(3): lines of NAME=VALUE to the socket in $NOTIFY_SOCKET. Without a
supervisor all of it does nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from types import FrameType


class Supervisor:
    """The system's service manager, if this program was started by one.

    Reads $NOTIFY_SOCKET, and $WATCHDOG_USEC: after so many microseconds without a word it
    takes the service for dead.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of Linux's abstract sockets.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(microseconds) / 1e6 if microseconds.isdecimal() else None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def tell(self, *lines: str) -> None:
        """Send lines such as READY=1; a manager that does not listen is no reason to stop."""
        if self._address:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def alive(self) -> None:
        """Say that the service is at work."""
        if self._watchdog_s is not None:
            self.tell("WATCHDOG=1")

    @property
    def interval_s(self) -> float | None:
        """How often `alive` is wanted: half of what the manager waits; None without watchdog."""
        return None if self._watchdog_s is None else self._watchdog_s / 2


class Stop:
    """Whether SIGTERM or SIGINT has come; only the main thread may make one."""

    def __init__(self) -> None:
        # A pipe, not a lock: a signal may come at any point of this very thread.
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"x")

    def wait(self, seconds: float, supervisor: Supervisor) -> bool:
        """Wait so long, or until the signal comes; return whether it has."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            supervisor.alive()
            slice_s = left if supervisor.interval_s is None else min(left, supervisor.interval_s)
            select.select([self._reader], [], [], slice_s)
        return self.asked
