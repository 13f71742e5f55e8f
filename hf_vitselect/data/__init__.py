"""A row: its conversation, the layouts that hold one, its images and its id."""
