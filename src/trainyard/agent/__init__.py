"""What runs beside each replica: standard library only, up in milliseconds."""
