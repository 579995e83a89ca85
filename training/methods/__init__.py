"""Comparison of methods by one recipe's data: classical ones and networks of the field, on one split at one small size, in one table."""
