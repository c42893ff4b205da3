"""Which feature conflict rows were answered by, as counts: random effects of families, and GEE by role."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from analysis.statistics.association import Array
from analysis.statistics.coefficient import Coefficient, line, no_fit
from analysis.statistics.dyadic import Dyads
from analysis.statistics.linear_regression import design_of, too_few
from analysis.statistics.marginal_logit import gee
from analysis.statistics.random_effects import FIXED_SD, mixed_logit

MIXED = "logistic, random effects"
BY_TARGET, BY_SPURIOUS = "GEE by target", "GEE by spurious"


def count_models(data: Dyads, answers: Array, terms: Sequence[str], formula: str) -> list[Coefficient]:
    """Of each pair of families k of n conflict rows answered by the spurious feature, on x and covariates.

    Args:
        formula: the fixed part; the groups of random effects are added to it.
        answers: [n] how many answers the use y of each row stands for; k is that share of them.
    """
    families = len(data.families)
    if why := too_few(data):
        fits = (MIXED, BY_TARGET, BY_SPURIOUS)
        return [no_fit(fit, formula, term, why, families) for fit in fits for term in terms]
    design = design_of(data)
    targets, spurious = (np.unique(codes, return_inverse=True)[1] for codes in (data.target, data.spurious))
    groups = {"target": targets, "spurious": spurious, "pair": np.arange(len(data))}
    # A family of one pair alone is the pair, and the pair has an effect of its own.
    groups = {name: of for name, of in groups.items() if name == "pair" or of.max() + 1 < len(data)}
    random = f"{formula} + {' + '.join(f'(1 | {name})' for name in groups)}"
    counts = np.round(answers)
    found = mixed_logit(np.round(data.y * counts), counts, design, list(groups.values()))
    half = float(norm.ppf(0.975)) * found.sd
    of = zip(groups, found.effects_sd, strict=True)
    note = "sd of effects: " + ", ".join(f"{name} {sd:.2g}" for name, sd in of)
    held = f"; beyond the prior's sd of {FIXED_SD:g}, which holds it back"
    rows = [
        line(
            MIXED, random, term, m, found.sd[i], (m - half[i], m + half[i]), math.nan, families,
            note + held if abs(m) > FIXED_SD else note,
        )
        if found.converged
        else no_fit(MIXED, random, term, "the fit did not converge", families)
        for i, (term, m) in enumerate(zip(terms, found.mean[1:], strict=True), start=1)
    ]  # fmt: skip
    for name, of_role in ((BY_TARGET, targets), (BY_SPURIOUS, spurious)):
        rows += gee(data.y, design, of_role, terms, name, formula)
    return rows
