"""Hostile bytes for every parser that a peer, or a file, can reach: coverage-guided in `make fuzz`, replayed and bounded in the tests."""
