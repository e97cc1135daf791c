"""For our own tests and those of plug-in authors: virtual time, an executor of the mind, builders, a simulator."""
