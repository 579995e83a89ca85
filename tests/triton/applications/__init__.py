"""Applications that tests bring: a folder each, as `models: applications:` names such folders."""
