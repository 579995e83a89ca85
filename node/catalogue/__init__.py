"""The catalogue: published models by name, where their files lie, and how these come here."""
