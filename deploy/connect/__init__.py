"""The connectors: what Kafka Connect carries between Postgres and the log, one JSON file each."""
