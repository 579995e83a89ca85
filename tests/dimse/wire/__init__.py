"""Tests of node.dimse.wire."""
