"""Desired versus observed: brings every job one safe step nearer to what was asked."""
