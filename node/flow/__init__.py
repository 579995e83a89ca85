"""The line of stages, one a file: index, settle, route, infer, encode, deliver; and the loop that steps them."""
