"""The platform's services as plain processes: Postgres, Redis, Kafka and Kafka Connect, without a container engine."""
