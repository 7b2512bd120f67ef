"""Measurements. Each package prints a table and writes `results/NAME.json`: `python -m benchmarks.NAME`."""
