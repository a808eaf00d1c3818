"""Where frames come from, a camera or files, and how they become a model's input.

A frame is an array: uint8 pixels (H, W) or (H, W, 3), or the model's own input. Files are .npy,
or pictures where Pillow is installed; the camera is picamera2's or OpenCV's, whichever is there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Metadata, TensorSpec
from edge_sdk.errors import DataError, MissingDependency, ShapeError, UnsupportedModel

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".webp"}
CAMERA_SIZE = 640, 480
LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. ITU-R BT.601, section 2.5.1: how much red, green and blue are of the brightness."""

MOST_BYTES = 1 << 26
"""Of a file: a larger one is no frame."""

Array = NDArray[Any]


class Frame(NamedTuple):
    """A frame that can be fetched: its name, and a function that may fail."""

    name: str
    fetch: Callable[[], Array]


class Camera(Protocol):
    """What the two camera libraries have in common here."""

    def read(self) -> Array:
        """Return pixels (H, W, 3) uint8, red first."""

    def close(self) -> None:
        """Let others use the camera."""


# ---- files ----------------------------------------------------------------------------


def files_in(paths: list[Path]) -> list[Path]:
    """Return the frames named, and those in the folders named, sorted by name in each.

    Raises:
        DataError: A path that does not exist, or no frame anywhere.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.iterdir()
                            if file.suffix.lower() in PICTURES | {".npy"})
        elif path.is_file():
            found.append(path)
        else:
            raise DataError("a file or a folder", "nothing", where=str(path),
                            hint="name existing ones with --frames")
    if not found:
        raise DataError(f"frames: .npy, {', '.join(sorted(PICTURES))}", "none",
                        where=", ".join(map(str, paths)), hint="name others with --frames")
    return found


def file_frames(paths: list[Path], *, forever: bool = False) -> Generator[Frame, None, None]:
    """Yield the frames in files, again from the first if `forever`; folders are read anew then.

    Raises:
        DataError: As `files_in`.
    """
    while True:
        for path in files_in(paths):
            yield Frame(str(path), lambda path=path: read_file(path))  # type: ignore[misc]
        if not forever:
            return


def read_file(path: Path) -> Array:
    """Return the pixels or the array in a file.

    Raises:
        DataError: It can not be read, or holds something else.
        MissingDependency: A picture, and Pillow is not installed.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"at most {MOST_BYTES} bytes", str(path.stat().st_size),
                            where=str(path), hint="scale the picture down")
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        picture = _pillow(path).open(path)
        return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
    except (DataError, MissingDependency):
        raise
    except Exception as error:  # Pillow's decoders have many ways to stumble over bytes
        raise DataError("a picture or an .npy", f"{type(error).__name__}: {error}",
                        where=str(path), hint="write the file again") from error


def _pillow(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency("Pillow, which reads pictures", "no module named PIL",
                                where=str(path), hint="pip install pillow, or give .npy files"
                                ) from error
    return Image


# ---- camera ---------------------------------------------------------------------------


class PiCamera:
    """The camera of a Raspberry Pi, by picamera2."""

    def __init__(self, library: Any) -> None:
        self._camera = library.Picamera2()
        # picamera2 calls it BGR888 when the bytes in memory are red, green, blue.
        self._camera.configure(self._camera.create_video_configuration(
            main={"size": CAMERA_SIZE, "format": "BGR888"}))
        self._camera.start()

    def read(self) -> Array:
        """Return pixels (480, 640, 3) uint8, red first."""
        return np.asarray(self._camera.capture_array())

    def close(self) -> None:
        """Stop the camera."""
        self._camera.stop()
        self._camera.close()


class OpenCVCamera:
    """A USB camera, by OpenCV."""

    def __init__(self, library: Any) -> None:
        self._capture = library.VideoCapture(0)
        if not self._capture.isOpened():
            raise OSError("OpenCV finds no camera 0")

    def read(self) -> Array:
        """Return pixels (H, W, 3) uint8, red first.

        Raises:
            DataError: The camera gives none.
        """
        is_there, pixels = self._capture.read()
        if not is_there:
            raise DataError("a picture", "none", where="the camera", hint="is it connected?")
        return np.asarray(pixels)[..., ::-1]

    def close(self) -> None:
        """Let others use the camera."""
        self._capture.release()


CAMERAS: Mapping[str, Callable[[Any], Camera]] = {"picamera2": PiCamera, "cv2": OpenCVCamera}
"""By the module of their library, the first that is installed is taken."""


def open_camera() -> Camera:
    """Return the camera of the first library that is installed.

    Raises:
        MissingDependency: Neither is.
        DataError: There is no camera, or another program has it.
    """
    from importlib import import_module

    for name, make in CAMERAS.items():
        try:
            library = import_module(name)
        except ImportError:
            continue
        try:
            return make(library)
        except Exception as error:  # each library has errors of its own
            raise DataError("a camera", f"{type(error).__name__}: {error}", where=name,
                            hint="connect one, let this user use it (group video), "
                                 "or name files with --frames") from error
    raise MissingDependency("a camera library", f"neither {' nor '.join(CAMERAS)}",
                            where="--camera", hint="apt install python3-picamera2, or "
                            "pip install opencv-python-headless for a USB camera")


def camera_frames(camera: Camera) -> Generator[Frame, None, None]:
    """Yield frames of a camera without end; close it when they are no longer wanted."""
    number = 0
    try:
        while True:
            yield Frame(f"camera-{number}", camera.read)
            number += 1
    finally:
        with suppress(Exception):
            camera.close()


# ---- input ----------------------------------------------------------------------------


def input_of(frame: Array, metadata: Metadata, *, invert: bool = False) -> Array:
    """Return a frame as the model takes it.

    Pixels are cut to the middle square, averaged down or up to the model's size, made gray or
    of three channels, and normalized as `metadata.preprocessing` says: (pixel - mean) / std with
    pixels from 0 to 1. Any other array must be the model's input already.

    Args:
        frame: Pixels (H, W) or (H, W, 3) uint8, or the input.
        metadata: Of the model, which has one input (1, C, H, W) float32.
        invert: Bright is dark: for ink on paper and a model of light strokes on black.

    Raises:
        ShapeError: Neither of these.
        UnsupportedModel: The model does not take pictures, or does not say how.
    """
    spec, = metadata.inputs
    if frame.dtype == np.dtype(spec.dtype) and frame.shape in (spec.shape, spec.shape[1:]):
        return np.ascontiguousarray(frame.reshape(spec.shape))
    if frame.dtype != np.uint8 or frame.shape[2:] not in ((), (3,)) or frame.ndim < 2 \
            or 0 in frame.shape:
        raise ShapeError(f"pixels, uint8 (H, W) or (H, W, 3), or {spec.dtype} "
                         f"{list(spec.shape[1:])}", f"{frame.dtype} {list(frame.shape)}",
                         where="the frame", hint="see metadata.preprocessing")
    channels, height, width = _picture_shape(spec)
    mean, std = _normalization(metadata)
    pixels = frame[..., None] if frame.ndim == 2 else frame
    side = min(pixels.shape[:2])
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side].astype(np.float64) / 255
    if channels == 1 and square.shape[2] == 3:
        square = square @ LUMA[:, None]
    rows, columns = averaging(height, side), averaging(width, side)
    planes = [rows @ square[..., min(c, square.shape[2] - 1)] @ columns.T for c in range(channels)]
    scaled = np.stack(planes)
    scaled = ((1 - scaled if invert else scaled) - mean) / std
    return np.ascontiguousarray(scaled[None].astype(spec.dtype))


def averaging(n_out: int, n_in: int) -> NDArray[np.float64]:
    """Return the weights (n_out, n_in) that average n_in pixels to n_out by the area they share.

    Each row sums to 1.
    """
    edges = np.arange(n_out + 1) * (n_in / n_out)
    pixels = np.arange(n_in)
    shared = (np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels))
    weights: NDArray[np.float64] = np.maximum(shared, 0) * (n_out / n_in)
    return weights


def _picture_shape(spec: TensorSpec) -> tuple[int, int, int]:
    if len(spec.shape) != 4 or spec.shape[0] != 1 or spec.shape[1] not in (1, 3):
        raise UnsupportedModel("a model of pictures, (1, 1 or 3, H, W)", str(list(spec.shape)),
                               where=f"input {spec.name!r}", hint="give its inputs as .npy files")
    return spec.shape[1], spec.shape[2], spec.shape[3]


def _normalization(metadata: Metadata) -> tuple[float, float]:
    stored = metadata.preprocessing
    try:
        return float(stored["mean"]), float(stored["std"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedModel("mean and std in the model's preprocessing", str(stored),
                               where=metadata.model, hint="give its inputs as .npy files"
                               ) from error
