"""The world: Kafka, Redis, the lake, the config store, settings, logs and errors."""
