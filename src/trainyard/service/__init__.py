"""What a call means, whatever edge it came through."""
