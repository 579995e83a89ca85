"""The sieve: a model's file is read as bytes and text, and what no model needs is refused by name, before any library loads it."""
