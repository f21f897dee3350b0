"""The read side over HTTP: routes of three lines over Redis, the lake and the config store."""
