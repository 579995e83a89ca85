"""Decoded instances become volumes in patient coordinates, and results find their way back to the source grid."""
