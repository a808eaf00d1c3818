"""Reads and writes weights files, and loads them into a model strictly.

Two kinds are read, told apart by their content: safetensors, and torch's own
files, the latter never as arbitrary pickles. Only safetensors are written.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edge_sdk.artifact import publish, weights_digest
from edge_sdk.errors import CheckpointError

NAMED = 8
"""How many faulty tensors a message names before it only counts the rest."""

DIGEST = "weights_sha256"
WRAPPERS = ("state_dict", "model")
PREFIX = "module."  # DistributedDataParallel puts it before every name


def model_digest(model: nn.Module) -> str:
    """Return the weights digest of `model`: parameters and buffers, by name."""
    return tensors_digest(model.state_dict())


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the weights digest of named tensors; see `edge_sdk.artifact.weights_digest`."""
    return weights_digest({name: t.detach().cpu().numpy() for name, t in tensors.items()})


def save_weights(
    model: nn.Module, path: str | os.PathLike[str], metadata: Mapping[str, object],
) -> str:
    """Write the state of `model` as safetensors, all or nothing, and return its digest.

    Args:
        model: Its parameters and buffers are written.
        path: Ends in .safetensors.
        metadata: Kept in the file as text; the weights digest is added.

    Raises:
        OutputError: The folder is missing, not writable, or full.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    digest = tensors_digest(tensors)
    text = {key: str(value) for key, value in metadata.items()} | {DIGEST: digest}
    with publish(path) as (partial,):
        # Not `save_file`: that one creates files which only their owner may read.
        partial.write_bytes(save(tensors, text))
    return digest


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the text metadata of a safetensors file, {} of any other weights file.

    Raises:
        CheckpointError: `path` is no weights file, or a damaged one.
    """
    if not _is_safetensors(Path(path)):
        return {}
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(Path(path), error) from error


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `path` holds by name, unwrapped and without DDP's prefix.

    Values are tensors on the CPU; a torch file may hold other things under a
    name, which `load_weights` refuses.

    Raises:
        CheckpointError: No such file, not a weights file, truncated or damaged, or
            it holds no tensors by name.
    """
    path = Path(path)
    found = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    if found and all(name.startswith(PREFIX) for name in found):
        found = {name.removeprefix(PREFIX): value for name, value in found.items()}
    return found


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Copy the weights at `path` into `model`, every one of them or none.

    A half-precision file fills a float32 model. A tensor that the model ties to
    another may be absent if that other is there.

    Args:
        model: Gets the weights; untouched if they do not fit.
        path: A .safetensors file, or a torch .pt of a state_dict, bare or under
            `state_dict` or `model`, with or without the prefix `module.`.

    Raises:
        CheckpointError: The file can not be read (see `read_tensors`), or tensors
            are missing, extra, of another shape or kind, or hold NaN or infinity;
            they are named.
    """
    found = read_tensors(path)
    state = model.state_dict()
    if state and all(name.startswith(PREFIX) for name in state):  # a model wrapped itself
        found = {PREFIX + name: value for name, value in found.items()}
    tied = {_place(state[name]) for name in found if name in state}
    problems = [f"missing {name}" for name, tensor in state.items()
                if name not in found and not (tensor.numel() and _place(tensor) in tied)]
    problems += [f"extra {name}" for name in found if name not in state]
    shared = [name for name in state if name in found]
    misfits = [_misfit(name, found[name], state[name]) for name in shared]
    hint = "this file is of another model, or of another size of it"
    if not problems and not any(misfits):
        misfits = [_not_finite(name, found[name].to(state[name].dtype)) for name in shared]
        hint = "the training diverged, or the numbers overflow the model's dtype"
    problems += [misfit for misfit in misfits if misfit]
    if problems:
        raise CheckpointError(f"the {len(state)} tensors of {type(model).__name__}, all finite",
                              _listed(problems), where=str(path), hint=hint)
    with torch.no_grad():
        for name in shared:
            state[name].copy_(found[name])


def _listed(problems: Iterable[str]) -> str:
    problems = list(problems)
    more = len(problems) - NAMED
    return ", ".join(problems[:NAMED]) + (f", and {more} more" if more > 0 else "")


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape)


def _misfit(name: str, got: object, want: Tensor) -> str | None:
    if not isinstance(got, Tensor):
        return f"{name} is no tensor but {type(got).__name__}"
    if got.shape != want.shape:
        return f"{name} of shape {list(got.shape)} instead of {list(want.shape)}"
    if got.is_floating_point() != want.is_floating_point():
        return f"{name} of {got.dtype} instead of {want.dtype}"
    return None


def _not_finite(name: str, tensor: Tensor) -> str | None:
    if not tensor.is_floating_point() or bool(tensor.isfinite().all()):
        return None
    n_nan, n_inf = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    return f"{name} with {n_nan} NaN and {n_inf} infinite of {tensor.numel()} values"


def _is_safetensors(path: Path) -> bool:
    """Tell the kind by the first bytes: names lie, and users rename files.

    Raises:
        CheckpointError: Neither kind, or not to be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError("a weights file", (error.strerror or str(error)).lower(),
                              where=str(path),
                              hint="name a .safetensors or torch .pt file") from error
    if start[8:] == b"{":  # the header's length in 8 bytes, then its JSON
        return True
    if start.startswith((b"PK\x03\x04", b"\x80")):  # a zip, or a pickle of older versions
        return False
    got = f"{len(start)} bytes" if len(start) < 9 else f"a file that starts with {start[:4]!r}"
    raise CheckpointError("a .safetensors or torch .pt file", got, where=str(path),
                          hint="torch.save(model.state_dict(), 'model.pt') writes one")


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if DIGEST in metadata and tensors_digest(found) != metadata[DIGEST]:
        raise CheckpointError(f"weights of digest {metadata[DIGEST][:12]}",
                              tensors_digest(found)[:12], where=str(path),
                              hint="the file was damaged after it was written: fetch it again")
    return found


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "a torch file of tensors alone", "other pickled objects, or damage", where=str(path),
            hint="save the state_dict, not the model: torch.save(model.state_dict(), path)",
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    if isinstance(found, Mapping):
        wrapped = [found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        found = wrapped[0] if wrapped else found
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise CheckpointError(
            "tensors by name", f"a {type(found).__name__}", where=str(path),
            hint="save the state_dict: torch.save(model.state_dict(), path)",
        )
    return dict(found)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return CheckpointError("a whole weights file", f"a damaged one ({reason[0][:120]})",
                           where=str(path), hint="it was cut short or altered: copy it again")
