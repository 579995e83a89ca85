"""A hundred studies, of which half are short, wrong, tilted or mixed, through Orthanc and the node: how each of them ends."""
