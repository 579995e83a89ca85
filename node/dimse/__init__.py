"""DICOM upper layer and DIMSE: the listener, and the requests that the node makes of its peers."""
