"""What the node tells about itself: events, and later metrics, health and audit."""
