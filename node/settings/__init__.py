"""YAML becomes one frozen Config; every error names file, line, column, and what was meant."""
