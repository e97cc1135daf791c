"""The API, as data."""
