"""A service that classifies frames of a camera or of files within a budget, a JSON line each.

python classify.py digits.edge --frames pictures/ --latency-ms 20 --battery "last until 18:00"

The governor picks what to run for each frame, by the profile that `python -m edge_sdk.profile`
measured on this device. A frame that can not be read is counted and left out. SIGTERM ends the
service after the frame at work. Unknown values are null.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from frames import Frame, camera_frames, file_frames, files_in, input_of, open_camera
from supervision import Stop, Supervisor

from edge_sdk import Budget, Session
from edge_sdk.console import command
from edge_sdk.device import Device, DeviceIdentity, DeviceState
from edge_sdk.engines.process import peak_resident_mb, resident_mb
from edge_sdk.errors import BudgetError, DataError, EdgeError, OutputError, ShapeError

REFRESH_S = 1.0
"""How often the device is asked for its heat: each time starts a process on a Raspberry Pi."""

TOLD = ("id", "label", "confidence", "granularity", "dim", "plan", "known", "code_distance",
        "met", "late", "latency_ms", "reason")
"""What a line has of an answer; see `edge_sdk.session.Result`."""

STATE = ("temperature_c", "throttled", "battery_pct")
"""What it has of the device; see `edge_sdk.device.DeviceState`."""


class SteadyDevice:
    """This device, read at most once in `REFRESH_S`; for the session and for the lines."""

    def __init__(self) -> None:
        self._device = Device()
        self._read_at, self._state = -REFRESH_S, DeviceState()

    def read(self) -> DeviceState:
        """Return what was known at most `REFRESH_S` ago."""
        now_s = time.monotonic()
        if now_s - self._read_at >= REFRESH_S:
            self._read_at, self._state = now_s, self._device.read()
        return self._state

    def identity(self) -> DeviceIdentity:
        """Return which kind of device this is."""
        return self._device.identity()


class Service:
    """Classifies frames one by one; its memory does not grow with their number.

    Attributes:
        n_frames, n_bad: So far; bad ones are those that could not be read or fed.
    """

    def __init__(
        self, session: Session, device: SteadyDevice, *, budget: Budget | None,
        plan: str | None, strict: bool, invert: bool, most_bad: int,
    ) -> None:
        self._session, self._device = session, device
        self._budget, self._plan, self._strict = budget, plan, strict
        self._invert, self._most_bad = invert, most_bad
        self.n_frames = self.n_bad = self._bad_in_a_row = 0

    def line(self, frame: Frame) -> dict[str, Any]:
        """Return what is to be written about one frame.

        Raises:
            BudgetError: With `strict`, nothing meets the budget; or there is no profile.
            DataError: So many bad frames in a row that their source must be broken.
        """
        self.n_frames += 1
        line: dict[str, Any] = {"frame": frame.name, "time_s": round(time.time(), 3)}
        try:
            start = time.perf_counter()
            x = input_of(frame.fetch(), self._session.metadata, invert=self._invert)
            line["read_ms"] = (time.perf_counter() - start) * 1e3
            answer = asdict(self._session.classify(x, budget=self._budget, plan=self._plan,
                                                   strict=self._strict))
        except (DataError, ShapeError) as error:
            return line | self._bad(error)
        self._bad_in_a_row = 0
        state = self._device.read()
        return (line | {name: answer[name] for name in TOLD}
                | {name: getattr(state, name) for name in STATE}
                | {"ram_mb": resident_mb(), "peak_ram_mb": peak_resident_mb()})

    def _bad(self, error: EdgeError) -> dict[str, Any]:
        self.n_bad += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row >= self._most_bad:
            raise DataError("a frame that can be read", f"{self._bad_in_a_row} bad ones in a row; "
                            f"the last: {error}", where="the source of frames",
                            hint="look at the camera or the files") from error
        return {"error": f"{type(error).__name__}: {error}", "n_bad": self.n_bad}


def serve(service: Service, frames: Iterator[Frame], out: TextIO, *, rate_hz: float | None,
          stop: Stop, supervisor: Supervisor) -> None:
    """Write a line for each frame until there are no more, or the signal comes.

    Args:
        service: Classifies.
        frames: In order.
        out: Gets a line of JSON for each, at once.
        rate_hz: Frames a second at most; None for as many as there are.
        stop: The signal.
        supervisor: Hears of every frame.

    Raises:
        OutputError: A line can not be written.
        EdgeError: As `Service.line`.
    """
    due_s = time.monotonic()
    for frame in frames:
        if stop.wait(due_s - time.monotonic(), supervisor):
            return
        due_s = max(due_s, time.monotonic()) + (0 if rate_hz is None else 1 / rate_hz)
        line = service.line(frame)
        try:
            out.write(json.dumps(line) + "\n")
            out.flush()
        except BrokenPipeError:
            return  # the reader has had enough
        except OSError as error:
            raise OutputError("room for a line", error.strerror or str(error), where="--out",
                              hint="free some space") from error
        supervisor.alive()


@contextmanager
def opened(out: Path | None) -> Iterator[TextIO]:
    """Yield the file to add lines to, or stdout.

    Raises:
        OutputError: It can not be written.
    """
    if out is None:
        yield sys.stdout
        return
    try:
        stream = open(out, "a", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise OutputError("a file that can be written", error.strerror or str(error),
                          where=str(out), hint="check the path of --out") from error
    with stream:
        yield stream


def main(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, name.edge.")],
    frames: Annotated[list[Path] | None, typer.Option(
        help="A file or a folder of pictures or .npy; again for more.")] = None,
    camera: Annotated[bool, typer.Option("--camera", help="The camera instead.")] = False,
    forever: Annotated[bool, typer.Option("--forever", help="Begin the files again.")] = False,
    rate_hz: Annotated[float | None, typer.Option(help="Frames a second, at most.")] = None,
    latency_ms: Annotated[float | None, typer.Option(help="Budget: latency.")] = None,
    energy_mj: Annotated[float | None, typer.Option(help="Budget: energy of a frame.")] = None,
    memory_mb: Annotated[float | None, typer.Option(help="Budget: RAM of the model.")] = None,
    battery: Annotated[str | None, typer.Option(
        help='Budget: "last until 18:00", "last 6 h", "20 %".')] = None,
    risk: Annotated[float | None, typer.Option(help="Budget: of a cascade, 0 to 1.")] = None,
    plan: Annotated[str | None, typer.Option(
        help="A granularity or a cascade instead of a budget.")] = None,
    strict: Annotated[bool, typer.Option(
        "--strict", help="End if nothing meets the budget; else the fastest runs.")] = False,
    target: Annotated[str | None, typer.Option(help="Engine; the bundle's first.")] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Dark strokes on white paper.")] = False,
    most_bad: Annotated[int, typer.Option(min=1, help="Bad frames in a row that end it.")] = 100,
    out: Annotated[Path | None, typer.Option(help="A file to add lines to; stdout.")] = None,
) -> None:
    """Classify frames with BUNDLE within a budget, and print a line of JSON for each."""
    if bool(frames) == camera:
        raise typer.BadParameter("name files, or --camera", param_hint="--frames")
    if rate_hz is not None and not 0 < rate_hz <= 1000:
        raise typer.BadParameter("more than 0, at most 1000", param_hint="--rate-hz")
    limits = {"latency_ms": latency_ms, "energy_mj": energy_mj, "memory_mb": memory_mb,
              "battery": battery, "risk": risk}
    budget = Budget(**limits) if any(v is not None for v in limits.values()) else None  # type: ignore[arg-type]
    if budget is not None and plan is not None:
        raise typer.BadParameter("a budget or a plan, not both", param_hint="--plan")
    supervisor, stop, device = Supervisor(), Stop(), SteadyDevice()
    if frames:
        files_in(frames)  # a wrong path is told before the model is loaded
    session = Session.open(bundle, target=target, device=device, rate_hz=rate_hz)
    if budget is not None and session.governor is None:
        raise BudgetError("a profile of this device", "none in the bundle", where=str(bundle),
                          hint=f"python -m edge_sdk.profile {bundle}")
    service = Service(session, device, budget=budget, plan=plan, strict=strict, invert=invert,
                      most_bad=most_bad)
    source = camera_frames(open_camera()) if camera else file_frames(frames or [],
                                                                     forever=forever)
    supervisor.tell("READY=1", f"STATUS=classifying with {bundle.name}")
    with closing(source), opened(out) as stream:
        serve(service, source, stream, rate_hz=rate_hz, stop=stop, supervisor=supervisor)
    supervisor.tell("STOPPING=1")
    print(f"{'stopped' if stop.asked else 'done'}    {service.n_frames} frames, "
          f"{service.n_bad} bad", file=sys.stderr, flush=True)


app = command(main, interrupted="the lines until then were written")

if __name__ == "__main__":
    app()
