"""The stages of a study's way, one a file: index, settle, route, infer, encode, deliver; retention and the clock."""
