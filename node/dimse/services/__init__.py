"""What this node does for peers that ask: one file a service, and the list of them."""
