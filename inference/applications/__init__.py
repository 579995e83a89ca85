"""One folder an application; `catalog` finds them: built-ins, a folder, entry points."""
