"""Training: the frame, and each recipe in a tiny form on made data."""
