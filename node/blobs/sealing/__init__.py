"""Files that are encrypted on the disk: the format, the keys, what seals, what opens, and the blobs port on top of it (ADR-0023)."""
