"""The requestor: associations that this node asks for, for C-STORE, C-ECHO and C-FIND, on a blocking socket in the caller's own thread."""
