"""Own data of a table: which images its lines name, whether they may be learned from, and what is planned from them."""
