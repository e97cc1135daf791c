"""REST v1 and v1beta1 over HTTP/1.1."""
