"""Trading ideas, one file per idea; `protocol` says what a strategy is."""
