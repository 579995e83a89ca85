"""Deterministic simulation of the flow: the real stages on a real journal, with a clock, a disk, an archive, crashes and turns by seed.

`python -m tests.crash.simulation --schedules N --seed S` plays schedules; one that fails says its seed, and plays again the same.
"""
