"""The papers that features are from, by the name under which a feature cites one."""

from __future__ import annotations

LOVERING_2021 = "Lovering et al. 2021"
CRUZ_2023 = "Cruz et al. 2023"
OWN = "this package"

PAPERS = {
    LOVERING_2021: (
        "Lovering, Jha, Linzen, Pavlick: Predicting inductive biases of pre-trained models",
        "https://openreview.net/forum?id=mNtmhaDkAr",
    ),
    CRUZ_2023: (
        "Cruz, Pona, Holness-Tofts, Schmied, Abia Alonso, Griffin, Cirstea: Reinforcement learning "
        "fine-tuning of language models is biased towards more extractable features",
        "https://arxiv.org/abs/2311.04046",
    ),
}
"""Authors and title, and address."""
