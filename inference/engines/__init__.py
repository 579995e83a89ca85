"""Engines compute a model's outputs from its inputs; every one reads the same model repository."""
