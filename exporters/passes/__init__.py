"""Rewrites of a torch model before it is lowered; one file each."""
