"""Tests of node.dimse.ul."""
