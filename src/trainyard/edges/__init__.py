"""Ways in that do not know each other; each turns its protocol into calls of the service."""
