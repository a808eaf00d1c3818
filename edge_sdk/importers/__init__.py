"""Reads what others published: their names, their layouts, their traps; one source, one file."""
