"""Cards, plots and pages of a selection, without any network.

Only templates write markup. Markdown, HTML and Jinja in a column's name, a row, a path or a recipe are shown
literally.
"""
<<<<<<< HEAD

from hf_vitselect.report.card_files import card_files
from hf_vitselect.report.dataset_card import (
    Publish,
    card_data,
    dataset_card,
    subset_fingerprint,
    unfinished_card,
)
from hf_vitselect.report.html_page import html_page, write_report
from hf_vitselect.report.license import hub_license, license_names, license_warnings
from hf_vitselect.report.markdown import BEGIN, END, code, md
from hf_vitselect.report.merge_readme import mark_unfinished, merge_card, merge_section, read_card
from hf_vitselect.report.model_card import model_quick_start, model_section
from hf_vitselect.report.recipe_facts import published_recipe
from hf_vitselect.report.run_record import RunRecord
from hf_vitselect.report.tables import table

__all__ = [
    "BEGIN",
    "END",
    "Publish",
    "RunRecord",
    "card_data",
    "card_files",
    "code",
    "dataset_card",
    "html_page",
    "hub_license",
    "license_names",
    "license_warnings",
    "mark_unfinished",
    "md",
    "merge_card",
    "merge_section",
    "model_quick_start",
    "model_section",
    "published_recipe",
    "read_card",
    "subset_fingerprint",
    "table",
    "unfinished_card",
    "write_report",
]
=======
>>>>>>> main
