"""The protocol's core: bytes in, bytes or an exception out; no I/O, no clock (spec/)."""
