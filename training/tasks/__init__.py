"""The tasks, one file each: how a kind of recipe is fitted, judged and exported."""
