"""The matrix of meaning: whose is what comes? Its right ends are written by hand, in additions.txt and rewrites.txt, before the code."""
