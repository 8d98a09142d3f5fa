"""Measures what the harness itself costs: `make bench`, or `python -m benchmarks`."""
