"""Replicas as supervised process trees on this machine."""
