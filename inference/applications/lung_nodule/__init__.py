"""Lung nodules on chest CT: where they are, how large and how dense. Trained on planted nodules; it has seen no real one."""
