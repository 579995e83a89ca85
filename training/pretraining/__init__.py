"""Pre-training: first weights of a recipe's network that are learned from images without labels."""
