"""The fast receiving path: associations that peers request, each served by one thread from its first byte to its last."""
