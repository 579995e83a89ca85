"""What the node tells about itself: events, metrics, signs of life, traces and the audit trail; and the pages that programs read."""
