"""Where results go: a DIMSE peer or a folder."""
