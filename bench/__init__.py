"""Benchmarks: figures with a baseline measured in the same run; `python -m bench` prints them and writes bench/results.json."""
