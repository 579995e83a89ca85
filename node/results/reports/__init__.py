"""Findings become structured reports on TID 1500, and the check that reads them back."""
