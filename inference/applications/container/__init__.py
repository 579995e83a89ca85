"""Applications that are containers of somebody else's: a folder of DICOM goes in, a folder comes out, and what is in it becomes findings.

The node starts an image that a digest names, without a network, and reads what it wrote as it would read a stranger's file. Nothing that
the container wrote is sent on as it is: masks, numbers and answers are findings as of any application, checked by the same gates and
written as objects by the node (docs/adr/ADR-0106-containers.md). What an operator says of one stands in `node.settings.container_yaml`.
"""
