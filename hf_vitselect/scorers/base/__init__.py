"""Base classes of scorers of one kind."""
