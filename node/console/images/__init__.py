"""Images and masks as pictures for browsers: which images a series has, how they look, and where a mask lies on them."""
