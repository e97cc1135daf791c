"""Serves what the programs of jobs serve: each dashboard under a host name of its own."""
