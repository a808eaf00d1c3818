"""Sparse weights: what a finished file can save where its engine has no sparse kernels."""
