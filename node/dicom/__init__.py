"""Bytes of a data set: elements and their value representations, headers, Part 10 files, UIDs. All other rooms read and write them here."""
