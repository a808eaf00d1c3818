"""Elastic building blocks in torch; one paper, one file."""
