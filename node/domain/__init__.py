"""The node's nouns, from the standard library only."""
