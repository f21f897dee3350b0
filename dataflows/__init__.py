"""Declared graphs: each module wires functions to topics, one OS process per flow."""
