"""Cards, plots and pages of a selection, without any network.

Only templates write markup. Markdown, HTML and Jinja in a column's name, a row, a path or a recipe are shown
literally.
"""

from hf_vitselect.report.tables import table

__all__ = ["table"]
