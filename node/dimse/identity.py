"""Who hilum says it is on the network and in the files it writes."""

from importlib.metadata import version

from node.domain.uid import derive_uid

IMPLEMENTATION_CLASS_UID = derive_uid("hilum", "implementation")
"""One for all versions: the version name tells these apart (PS3.7 D.3.3.2)."""
IMPLEMENTATION_VERSION = f"HILUM_{version('hilum')}"[:16]
