"""The operator's web pages: a process of its own, which asks the journal and nothing else."""
