"""The crash matrix: a real node with real peers is killed, starved and lied to, started again, and what it acknowledged is counted.

`python -m tests.crash` (`make crash`) runs hundreds of rounds; docs/crash-matrix.md says what each row means.
"""
