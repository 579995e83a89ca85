"""Bytes of instances, findings and results, under opaque names."""
