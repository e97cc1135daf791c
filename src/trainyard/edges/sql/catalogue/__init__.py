"""PostgreSQL's catalogue over the engine's tables: what psql, SQLAlchemy and BI tools ask before anything else."""
