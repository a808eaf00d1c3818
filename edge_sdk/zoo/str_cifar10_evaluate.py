"""What the runs of `str_cifar10_training` reach: accuracy, parameters, multiply-accumulates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edge_sdk.checkpoint import read_metadata
from edge_sdk.nn.budgets import count_layers, total_cost
from edge_sdk.zoo.str_cifar10_training import Images, Run, accuracy, load_model, normalize

FREE = ("stem",)
"""Layers that stay dense in every run."""


def layer_rows(model: nn.Module, image_size: int = 32) -> list[dict[str, Any]]:
    """Return the cost of each layer with a weight, for one image."""
    sample = normalize(torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8))
    return [{"name": row.name, "parameters": row.parameters, "kept": row.kept,
             "sparsity": row.sparsity, "macs": row.macs, "macs_kept": row.macs_kept}
            for row in count_layers(model, sample)]


def measure(run: Run, data: Images, folder: Path) -> dict[str, Any]:
    """Return what one finished run reaches on the held-out images.

    `sparsity` is that of the layers that may be sparse; `parameters` and `macs` count what
    is left of all layers, without biases and norms.
    """
    path = folder / f"{run.name}.safetensors"
    model = load_model(path)
    noted = read_metadata(path)
    sample = normalize(data.test[:1])
    rows = count_layers(model, sample)
    whole = total_cost(rows)
    sparse = total_cost([row for row in rows if row.name not in FREE])
    return {
        "name": run.name, "method": run.method, "percent": run.percent, "seed": run.seed,
        "top1": accuracy(model, data.test, data.test_labels), "n": len(data.test_labels),
        "sparsity": sparse.sparsity, "parameters": whole.kept, "macs": whole.macs_kept,
        "dense_parameters": whole.parameters, "dense_macs": whole.macs,
        "decay": float(noted["decay"]) if "decay" in noted else None,
        "reached": float(noted["reached"]) if "reached" in noted else None,
    }


def measure_all(runs: Iterable[Run], data: Images, folder: Path) -> dict[str, Any]:
    """Return the figures of the finished runs, and the names of the others."""
    wanted = list(runs)
    done = [run for run in wanted if (folder / f"{run.name}.safetensors").exists()]
    return {"runs": [measure(run, data, folder) for run in done],
            "not_trained": [run.name for run in wanted if run not in done]}


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each method and sparsity: means over seeds, spreads (n - 1) or None."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        groups[run["method"], run["percent"]].append(run)
    rows = []
    for (method, percent), members in sorted(groups.items(), key=lambda item: item[0][1]):
        top1 = [run["top1"] for run in members]
        row: dict[str, Any] = {
            "method": method, "percent": percent, "seeds": len(members),
            "top1": float(np.mean(top1)),
            "top1_spread": float(np.std(top1, ddof=1)) if len(top1) > 1 else None,
        }
        for key in ("sparsity", "parameters", "macs"):
            row[key] = float(np.mean([run[key] for run in members]))
        rows.append(row)
    return rows
