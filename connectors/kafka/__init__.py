"""Kafka: source, sink, topic administration and the embedded broker."""
