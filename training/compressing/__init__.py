"""Smaller networks in the place of trained ones: thinner by pruning, taught by the larger, or in 8 bits; and the judge of all three."""
