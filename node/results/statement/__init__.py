"""The note that an application gave no result of a study."""
