"""Acceptance tests: an application, as a node runs it, on the labelled studies of a hospital."""
