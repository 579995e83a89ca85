"""nnU-Net v2: a trained-model folder becomes an application without code; what its plans name is looked up here, never imported."""
