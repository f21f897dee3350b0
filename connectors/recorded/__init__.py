"""Recorded market data: CSV or Parquet files of ticks or bars, as one array of ticks in event-time order.

    files ─► form (from the column names) ─► columns (DuckDB) ─► rows, unreadable rows ─► merged by time ─► reports

What a file is, is seen from its column names; `docs/market-data.md` lists the forms. Times without an offset are India's.
A file that cannot be trusted as a whole is refused: missing columns, corrupt, empty, not in order of time. A row that
cannot be read is refused too (`strict`), or kept whole in `unreadable`. Rows that can be read but are wrong (a price of
zero, a duplicate) are passed on: the pipeline's gate judges them, as it does live.

`forms` opens a file as what it is, `columns` asks it for typed columns and judges its rows, `rows` makes ticks of them,
`notes` says what is peculiar about them, `instruments` whose they are; `reading` puts files together as a recording.
"""
