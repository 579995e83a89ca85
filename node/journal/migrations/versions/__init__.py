"""One file a schema revision, in order; a committed one never changes."""
