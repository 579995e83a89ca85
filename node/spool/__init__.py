"""The spool: what makes an acknowledged instance durable (write, flush, prove, recover) until the journal and the blobs have it."""
