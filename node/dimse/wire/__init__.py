"""The fast receiving path, and the codecs under it: PDUs (PS3.8 9.3) and command sets (PS3.7 6.3) as bytes, then sockets."""
