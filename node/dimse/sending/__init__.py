"""The sending path: associations that this node requests for C-STORE and C-ECHO, on a blocking socket in the caller's own thread."""
