"""Networks that recipes share, where MONAI has none of that name."""
