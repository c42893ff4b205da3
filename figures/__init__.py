"""What people see: a study's figures, drawn from its records alone."""

from figures.bits_along import draw_bits_along
from figures.cruz2023 import draw_cruz2023
from figures.dials import draw_dials
from figures.error_by_evidence import error_by_evidence, error_table
from figures.inheritance import draw_inheritance
from figures.kirk2024 import draw_kirk2024
from figures.lengths import draw_lengths
from figures.lovering2021 import draw_lovering2021
from figures.methods import draw_methods
from figures.pairs_heatmap import heatmap_table, pairs_heatmap
from figures.predicted import draw_predicted
from figures.style import Drawn, save
from figures.superhf2023 import draw_superhf2023
from figures.tajwar2024 import draw_tajwar2024
from figures.use_by_extractability import use_by_extractability
from figures.use_table import use_table

__all__ = [
    "Drawn",
    "draw_bits_along",
    "draw_cruz2023",
    "draw_dials",
    "draw_inheritance",
    "draw_kirk2024",
    "draw_lengths",
    "draw_lovering2021",
    "draw_methods",
    "draw_predicted",
    "draw_superhf2023",
    "draw_tajwar2024",
    "error_by_evidence",
    "error_table",
    "heatmap_table",
    "pairs_heatmap",
    "save",
    "use_by_extractability",
    "use_table",
]
