"""What scorers of one kind share."""
