"""The note that withdraws superseded results from an archive."""
