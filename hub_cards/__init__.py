"""Jinja templates of the cards."""
