"""The lake: every record of every topic in Parquet, one file for one range of offsets.

    lake/<topic>/date=YYYY-MM-DD/<partition>-<first>-<last>.parquet       date of the event, in India

A file's name is what it covers, so the names say where to go on and nothing else has to be kept. Files are written
under another name, synced and renamed: what has its name is whole. Ranges of a partition never overlap; what a crash
between a merge and the removal of its parts leaves is tidied at the next start. A record that is no event is kept as
its bytes.

`rows` says which columns a record has, `stores` where files lie (a directory; `bucket`: behind S3's protocol), `files`
writes, reads and checks single files, `archive` is the one writer.
"""
