"""Real data sets as NumPy arrays: scikit-learn's digits, Omniglot, MNIST, CIFAR-10, FSDD.

Digits come with scikit-learn. The others are read from a folder that the user
names, by `--data` or by $EDGE_SDK_DATA, in the form in which they are published
or mirrored; nothing is ever downloaded or copied.
"""

from __future__ import annotations

import io
import os
import tarfile
import wave
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import DataError, MissingDependency


@dataclass(frozen=True)
class Dataset:
    """Images with labels, split once and for all.

    Images are uint8, shape (n, channels, height, width); labels int64, shape (n,).
    `pixel_max` is the value of full ink or light: divide by it to get 0..1.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    labels: tuple[str, ...]
    pixel_max: int
    license: str
    split: str


@dataclass(frozen=True)
class Recording:
    """One spoken digit: int16 samples (n,) at 8 kHz, of its speaker and index among hers or his."""

    samples: NDArray[np.int16]
    digit: int
    speaker: str
    index: int


def data_root(data: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder with the data sets: `data`, else $EDGE_SDK_DATA.

    Raises:
        DataError: Neither names an existing folder.
    """
    named = data or os.environ.get("EDGE_SDK_DATA")
    if not named:
        raise DataError(
            "a folder with data sets", "none", where="--data or $EDGE_SDK_DATA",
            hint="pass --data DIR; the digits need none",
        )
    root = Path(named)
    if not root.is_dir():
        raise DataError("an existing folder", repr(str(root)), where="--data or $EDGE_SDK_DATA",
                        hint="the folder holds omniglot/, mnist/, cifar10/, fsdd/")
    return root


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits, 8x8, values 0..16; 1,437 train and 360 test.

    The split is stratified with a fixed seed, so every command holds out the same 360.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingDependency(
            "scikit-learn, which carries the digits", "no module named sklearn", where="digits()",
            hint="pip install 'edge-inference-sdk[export]'",
        ) from error
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8).astype(np.uint8)
    parts = train_test_split(images, labels.astype(np.int64), test_size=360, stratify=labels,
                             random_state=0)
    train_x, test_x, train_y, test_y = parts
    return Dataset("digits", train_x, train_y, test_x, test_y, tuple("0123456789"), 16,
                   license="BSD-3-Clause (scikit-learn's copy of the UCI optical digits)",
                   split="stratified 1,437 train / 360 test, random_state 0")


def omniglot(data: str | os.PathLike[str] | None = None) -> Dataset:
    """Return Omniglot's 8 small-set alphabets at 32x32: 242 characters, 968 classes.

    A character turned by 0, 90, 180 or 270 degrees is a class of its own, as is
    customary. Drawers 1-15 train (14,520 images), drawers 16-20 test (4,840).
    Ink is bright; 105x105 is averaged down with PIL's antialiased box filter.

    Raises:
        DataError: The two zips are not there.
    """
    folder = data_root(data) / "omniglot"
    names = ("images_background_small1.zip", "images_background_small2.zip")
    drawings: dict[str, dict[int, NDArray[np.uint8]]] = {}
    for name in names:
        with zipfile.ZipFile(_existing(folder / name)) as archive:
            for member in archive.namelist():
                if member.endswith(".png"):
                    _, alphabet, character, file = member.split("/")
                    drawer = int(file[:-4].split("_")[1])
                    key = f"{alphabet}/{character}"
                    # The zips overlap in Greek and Latin: the later copy is the same picture.
                    drawings.setdefault(key, {})[drawer] = _ink(archive.read(member))
    splits: dict[bool, list[NDArray[np.uint8]]] = {True: [], False: []}
    ids: dict[bool, list[int]] = {True: [], False: []}
    labels: list[str] = []
    for key in sorted(drawings):
        for quarter in range(4):
            for drawer, image in sorted(drawings[key].items()):
                splits[drawer <= 15].append(np.rot90(image, quarter))
                ids[drawer <= 15].append(len(labels))
            labels.append(f"{key}@{90 * quarter}")
    return Dataset(
        "omniglot",
        np.stack(splits[True])[:, None], np.array(ids[True], np.int64),
        np.stack(splits[False])[:, None], np.array(ids[False], np.int64),
        tuple(labels), 255, license="MIT", split="drawers 1-15 train / 16-20 test",
    )


def cifar10(data: str | os.PathLike[str] | None = None) -> Dataset:
    """Return CIFAR-10, 3x32x32: 50,000 train and 10,000 test images.

    Read from a tar of JPEG copies, `{train,test}/<class>/<n>.jpg`. JPEG is lossy:
    compare only with models trained on the same files.

    Raises:
        DataError: The tar is not there.
    """
    path = _existing(data_root(data) / "cifar10" / "cifar10-images.tar")
    from PIL import Image

    images: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
    names: dict[str, list[str]] = {"train": [], "test": []}
    with tarfile.open(path) as archive:
        for member in sorted((m for m in archive if m.name.endswith(".jpg")),
                             key=lambda m: m.name):
            part, name, _ = member.name.split("/")[-3:]
            file = archive.extractfile(member)
            assert file is not None  # a regular file, by its name
            picture = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
            images[part].append(picture.transpose(2, 0, 1))
            names[part].append(name)
    labels = tuple(sorted(set(names["train"])))
    ids = {part: np.array([labels.index(n) for n in names[part]], np.int64) for part in names}
    return Dataset("cifar10", np.stack(images["train"]), ids["train"],
                   np.stack(images["test"]), ids["test"], labels, 255,
                   license="none stated", split="the published 50,000 / 10,000, as JPEG copies")


def mnist(data: str | os.PathLike[str] | None = None) -> Dataset:
    """Return MNIST, 1x28x28, bright ink on black: 60,000 train and 10,000 test digits.

    Read from mnist_train.npz and mnist_test.npz, each with x (n, 28, 28) uint8 and y (n,).

    Raises:
        DataError: The files are not there, or hold something else.
    """
    folder = data_root(data) / "mnist"
    train_x, train_y = _npz(folder / "mnist_train.npz", 60_000)
    test_x, test_y = _npz(folder / "mnist_test.npz", 10_000)
    return Dataset("mnist", train_x, train_y, test_x, test_y, tuple("0123456789"), 255,
                   license="MIT (of the copy used)", split="the published 60,000 / 10,000")


def fsdd(data: str | os.PathLike[str] | None = None) -> list[Recording]:
    """Return the Free Spoken Digit Dataset: 3,000 recordings of 6 speakers, sorted by name.

    The official split holds out the indices 0-4 (300 recordings). License CC BY-SA 4.0.

    Raises:
        DataError: The tar is not there, or holds something else.
    """
    path = _existing(data_root(data) / "fsdd" / "fsdd-recordings.tar")
    found = []
    with tarfile.open(path) as archive:
        for member in sorted((m for m in archive if m.name.endswith(".wav")),
                             key=lambda m: m.name):
            digit, speaker, index = Path(member.name).stem.split("_")
            file = archive.extractfile(member)
            assert file is not None  # a regular file, by its name
            with wave.open(file) as wav:
                form = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
                if form != (8000, 1, 2):
                    raise DataError("8000 Hz, one channel of 16 bits", str(form),
                                    where=member.name, hint="take the published recordings")
                samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.int16)
            found.append(Recording(samples, int(digit), speaker, int(index)))
    return found


def _ink(png: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("L")
    small = picture.resize((32, 32), Image.Resampling.BOX)
    return 255 - np.asarray(small, dtype=np.uint8)


def _npz(path: Path, n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return n images (n, 1, 28, 28) and labels (n,) of an .npz with x and y."""
    hint = "take the published digits"
    try:
        with np.load(_existing(path)) as stored:
            x, y = stored["x"], stored["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError("an .npz with x and y", f"{type(error).__name__}: {error}",
                        where=str(path), hint=hint) from error
    if x.shape != (n, 28, 28) or x.dtype != np.uint8 or y.shape != (n,) or y.dtype.kind not in "iu":
        raise DataError(f"x ({n}, 28, 28) uint8 and y ({n},), class ids",
                        f"x {list(x.shape)} {x.dtype}, y {list(y.shape)} {y.dtype}",
                        where=str(path), hint=hint)
    return x[:, None], y.astype(np.int64)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError("a data file", "nothing", where=str(path),
                        hint="see the docstring of edge_sdk.data for the layout")
    return path
