"""The domain's words: standard library only, no I/O, no clock."""
