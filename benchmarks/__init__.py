"""Benchmarks of what this plugin itself costs. To run them: `make bench`, or `python -m benchmarks`."""
