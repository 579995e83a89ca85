"""One file a schema revision, in order; a released one never changes. Numbers below the first were never released."""
