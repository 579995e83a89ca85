"""Encryption at rest: the files' form, the keys, decrypted copies in memory, and the blobs port on top of them (ADR-0023)."""
