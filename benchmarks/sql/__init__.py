"""SQL over a million jobs, beside the same questions asked page by page and of DuckDB."""
