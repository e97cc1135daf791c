"""Trainyard keeps Vertex AI's training-job API true on any machine."""

__version__ = "0.1.0"
