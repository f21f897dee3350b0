"""Reading what happened: DuckDB views over the lake, and the read functions on them."""
