"""One store and its host: the identity that journal, blobs and spool share, and what the processes of a host leave each other.

Run folder, signs of life, wake-ups, the configuration in force.
"""
