"""The DICOM network: real sockets, a listener in this process, senders and receivers that are not hilum's."""
