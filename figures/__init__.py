"""What people see: a study's figures, drawn from its records alone."""

from figures.bits_by_step import draw_bits_by_step
from figures.cruz2023 import draw_cruz2023
from figures.error_by_evidence import error_by_evidence, error_table
from figures.lovering2021 import draw_lovering2021
from figures.pairs_heatmap import heatmap_table, pairs_heatmap
from figures.use_by_extractability import use_by_extractability
from figures.use_table import use_table

__all__ = [
    "draw_bits_by_step",
    "draw_cruz2023",
    "draw_lovering2021",
    "error_by_evidence",
    "error_table",
    "heatmap_table",
    "pairs_heatmap",
    "use_by_extractability",
    "use_table",
]
