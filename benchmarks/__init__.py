"""Benchmarks: public API only, peers beside us in one run, results kept with their command."""
