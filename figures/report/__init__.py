"""The report of a study: one self-contained HTML page."""

from figures.report.in_words import cannot_be_told, in_words, scale_in_words
from figures.report.page import Report, page
from figures.report.runs import failed_rows, run_sheets
from figures.report.sheets import Sheet, sheet_of_rows
from figures.report.svg import picture

__all__ = [
    "Report",
    "Sheet",
    "cannot_be_told",
    "failed_rows",
    "in_words",
    "page",
    "picture",
    "run_sheets",
    "scale_in_words",
    "sheet_of_rows",
]
