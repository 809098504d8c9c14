"""Microbenchmarks: the paths of the library, one at a time."""
