"""Bundles: folders `name.edge/` with all that a `Session` needs."""

from __future__ import annotations

from edge_sdk.bundle.cases import Cases, load_cases
from edge_sdk.bundle.folder import Bundle, Manifest, pack

__all__ = ["Bundle", "Cases", "Manifest", "load_cases", "pack"]
