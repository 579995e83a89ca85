"""MONAI Bundles as applications without code: read once at import, kept as data beside the model, served without MONAI."""
