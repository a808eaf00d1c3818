"""`python -m edge_sdk.bench FILE...`: what files cost on this device, each in a process of its own.

`run.bench` measures, `result.Result` is what it gives, `stats` says how far figures may be
believed. This module imports nothing: it is loaded in the measured processes too.
"""
