"""Every error this package raises on purpose: expected, got, where, and a hint.

The tree imports nothing, so that each room may raise from it. A command turns
an `EdgeError` into one message on stderr and exit status 1.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of all errors raised on purpose.

    Args:
        expected: What would have been right.
        got: What was there instead.
        where: The argument, tensor or file at fault.
        hint: What to do about it.
    """

    def __init__(
        self, expected: str, got: str | None = None, *, where: str | None = None, hint: str
    ) -> None:
        self.expected = expected
        self.got = got
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"expected {self.expected}"
        if self.got is not None:
            text += f", got {self.got}"
        if self.where is not None:
            text += f" - at {self.where}"
        return f"{text}\nhint: {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.expected, self.got, self.where, self.hint))


def _rebuild(
    kind: type[EdgeError], expected: str, got: str | None, where: str | None, hint: str
) -> EdgeError:
    return kind(expected, got, where=where, hint=hint)


class ShapeError(EdgeError):
    """An array or tensor has the wrong shape or dtype."""


class GranularityError(EdgeError):
    """A granularity is unknown, out of range, or has the wrong number of layers."""


class BudgetError(EdgeError):
    """A budget that nothing fits, or that is none."""


class NestingError(EdgeError):
    """A model holds no feed-forward network that can be nested, or not where named."""


class CheckpointError(EdgeError):
    """A checkpoint misses tensors, has others, or holds wrong shapes or NaN."""


class DataError(EdgeError):
    """A data set is absent or not laid out as expected."""


class MissingDependency(EdgeError):
    """A toolchain or engine is not installed; the hint names the pip extra."""


class UnsupportedPlatform(EdgeError):
    """A toolchain exists, but not for this operating system or processor."""


class UnsupportedModel(EdgeError):
    """A model, or a combination of options, that a target can not express."""


class FormatError(EdgeError):
    """A file is not an artifact of ours, or its bytes are damaged."""


class VersionError(FormatError):
    """An artifact was written by a newer version than this one."""


class ComparisonError(EdgeError):
    """A written file does not compute what the model computes."""


class OutputError(EdgeError):
    """The output can not be written: no such folder, no right, no space."""


class EngineError(EdgeError):
    """An inference engine refused a file or died while running it."""


class CodeError(EdgeError):
    """Codes, scores or a decoder that a code index can not take or does not have."""


class CalibrationError(EdgeError):
    """A calibration set is too small or too poor for the guarantee that was asked for."""


class VectorError(EdgeError):
    """Vectors that an index can not take: not finite, or without a direction."""


def from_status(name: str, text: str) -> EdgeError:
    """Return the exception for a status of the C core, by its name and its words there."""
    kinds: dict[str, tuple[type[EdgeError], str, str]] = {
        "ERR_WIDTH": (CodeError, "codes that fit the index's bits", "pass codes below 2**bits"),
        "ERR_NOT_FINITE": (CodeError, "finite numbers", "look where the model makes NaN"),
        "ERR_UNTRAINED": (ShapeError, "a dim the head was trained for", "see `dims`"),
        "ERR_DUPLICATE": (CodeError, "one class for each code", "pass duplicates='lowest'"),
        "ERR_FORMAT": (FormatError, "a file of this kind, undamaged", "write it again"),
        "ERR_VERSION": (VersionError, "a file of this version or older",
                        "update edge-inference-sdk"),
        "ERR_ABSENT": (CodeError, "an index built for this decoder",
                       "build it again with this decoder"),
    }
    kind, expected, hint = kinds.get(
        name, (ShapeError, "arguments within range", "see the docstring"))
    return kind(expected, text, hint=hint)
