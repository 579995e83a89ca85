"""The result objects, judged by what others read in them."""
