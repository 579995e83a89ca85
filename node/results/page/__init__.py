"""Findings as pictures: the summary page, the map drawn over the images, and what draws them."""
