"""Backups of the whole store while the node runs, and the way back."""
