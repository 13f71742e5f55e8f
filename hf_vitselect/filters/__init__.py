"""Reasons to leave a row out, one a file."""
