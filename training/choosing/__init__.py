"""Active learning: which images of an archive a reader should label next, by what a network that was trained already makes of them."""
