"""Masks become segmentations: which frames there are, their pixels in every form, and the check that reads them back."""
