"""The upper layer (PS3.8) and the messages over it (PS3.7), shared by acceptor and requestor: PDUs and command sets as bytes, the
A-ASSOCIATE PDUs, and connections that read and send within time-outs that a peer cannot stretch."""
