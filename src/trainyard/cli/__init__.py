"""The command line: fast to start, speaks the REST API like any client."""
