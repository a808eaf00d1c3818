"""Cascades: spend on an input no more than it needs.

`Cascade` evaluates levels, cheapest first, and stops at the first that is sure; `published`
and `risk` learn its thresholds. `Head` is the Matryoshka classifier that it evaluates,
`CoreFFN` a small elastic model that needs no engine.
"""

from __future__ import annotations

from edge_sdk.cascade.cascade import Answer, Answers, Cascade, CodeSignal, Level
from edge_sdk.cascade.ffn import CoreFFN
from edge_sdk.cascade.head import Head

__all__ = ["Answer", "Answers", "Cascade", "CodeSignal", "CoreFFN", "Head", "Level"]
