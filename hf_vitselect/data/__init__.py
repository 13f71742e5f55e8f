"""Rows: their conversation, the layouts that hold one, their images and ids."""
