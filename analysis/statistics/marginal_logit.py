"""Logistic estimating equations: the same coefficients with errors grouped by one role at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.statistics.association import Array
from analysis.statistics.coefficient import Coefficient, line, no_fit

SEPARATED = 15.0
"""A fitted logit this far from 0: a term tells all 0 from all 1, and its coefficient has no finite value."""


def gee(
    rate: Array, design: Array, group: NDArray[np.intp], terms: Sequence[str], name: str, formula: str
) -> list[Coefficient]:
    """Coefficients of logit(rate) on a design with a constant, one line for each of `terms` but the constant.

    Independent working correlation, errors robust to what rows of one group share, with Mancl and DeRouen's
    correction for few groups, and Student's t with one degree of freedom for each group beyond the
    coefficients. What rows of different groups share through their other role they do not know.

    References:
        K.-Y. Liang, S. Zeger (1986), Longitudinal data analysis using generalized linear models.
        L. Mancl, T. DeRouen (2001), A covariance estimator for GEE with improved small-sample properties.
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_estimating_equations import GEE

    count = len(np.unique(group))
    freedom = count - design.shape[1]

    def none(why: str) -> list[Coefficient]:
        return [no_fit(name, formula, term, why, count) for term in terms]

    if freedom < 1:
        return none(f"{count} groups, {design.shape[1] + 1} are needed")
    order = np.argsort(group, kind="stable")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = GEE(rate[order], design[order], groups=group[order], family=Binomial())
            fit = model.fit(cov_type="bias_reduced")
            if fit is None or not fit.converged:
                return none("the fit did not converge")
            values, errors = np.asarray(fit.params), np.asarray(fit.bse)
        except (np.linalg.LinAlgError, ValueError) as e:
            return none(f"the fit failed ({e})")
    if np.abs(design @ values).max() > SEPARATED:
        return none("the fit runs off to infinity: a term separates the pairs")
    if not np.isfinite(values + errors).all() or (errors <= 0).any():
        return none("its errors are not finite")
    half = float(student.ppf(0.975, freedom)) * errors
    p = 2 * student.sf(np.abs(values / errors), freedom)
    return [
        line(name, formula, term, v, errors[i], (v - half[i], v + half[i]), p[i], count)
        for i, (term, v) in enumerate(zip(terms, values[1:], strict=True), start=1)
    ]
