"""Tests against real peers: a PACS, DCMTK's programs, independent validators and a viewer."""
