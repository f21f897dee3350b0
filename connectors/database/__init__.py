"""The config store: models, migrations, reads and writes."""
