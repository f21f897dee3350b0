"""Benchmarks: figures that the project promises, each from one command; `docs/benchmarks.md` holds the last ones."""
