"""Where results go: one file a kind, which exports a record of it; `kinds` lists them."""
