"""PostgreSQL's wire protocol, version 3, over the sessions of edges/sql: psql, drivers and BI tools are its clients."""
