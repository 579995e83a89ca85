"""Where cases come from, and on which side of the split each stands."""
