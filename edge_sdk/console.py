"""What every command shares: where words go, and how errors end it.

Results go to stdout, progress and errors to stderr. An `EdgeError` ends with
exit status 1, wrong usage with 2, Ctrl-C with 130; none with a traceback.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from edge_sdk.errors import EdgeError

INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def say(text: str) -> None:
    """Print one line of result."""
    print(text, flush=True)


def command(
    main: Callable[..., None], *, interrupted: str = "nothing was written; run it again"
) -> typer.Typer:
    """Return `main` as a typer application whose errors end as this module says.

    Args:
        main: Its parameters are the options.
        interrupted: The hint on Ctrl-C.
    """
    app = _application()
    app.command()(_reporting(main, interrupted))
    return app


def commands(
    *, interrupted: str = "nothing was written; run it again", **mains: Callable[..., None]
) -> typer.Typer:
    """Return one typer application of several commands, each as `command` makes it.

    Args:
        interrupted: The hint on Ctrl-C.
        **mains: Each command's function by its name.
    """
    app = _application()
    for name, main in mains.items():
        app.command(name)(_reporting(main, interrupted))
    return app


def _application() -> typer.Typer:
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _reporting(main: Callable[..., None], interrupted: str) -> Callable[..., None]:
    @functools.wraps(main)
    def reported(*arguments: Any, **options: Any) -> None:
        try:
            main(*arguments, **options)
        except EdgeError as error:
            _end(f"{type(error).__name__}: {error}", 1)
        except KeyboardInterrupt:
            _end(f"Interrupted\nhint: {interrupted}", INTERRUPTED)
        except (typer.Exit, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("EDGE_SDK_TRACE"):
                traceback.print_exc()
            _end(f"{type(error).__name__}: {error}\n"
                 "hint: this was not foreseen; EDGE_SDK_TRACE=1 shows where it happened", 1)

    return reported


def _end(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    raise typer.Exit(status) from None


@contextmanager
def toolchain_silenced() -> Iterator[int]:
    """Keep what native toolchains print off the terminal; yields a descriptor of the real stderr.

    They write to the descriptors, past `sys.stdout`, and would spoil --json.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield saved[1]
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done on stderr, toolchain chatter kept off.

    A spinner on a terminal, one line a step elsewhere, nothing if `quiet`.
    """
    from rich.console import Console

    with toolchain_silenced() as stderr, os.fdopen(os.dup(stderr), "w") as stream:
        console = Console(file=stream)
        if quiet:
            yield lambda text: None
        elif console.is_terminal:
            with console.status("starting") as status:
                yield status.update
        else:
            yield lambda text: console.print(text, style="dim", highlight=False)
