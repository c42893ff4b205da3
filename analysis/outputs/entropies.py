"""Entropies of what a policy writes, from the probabilities that it gives its own outputs. In nats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.measured import Measured
from analysis.stage_schema import ACROSS, PER_INPUT
from analysis.statistics.resampling import bootstrap, finite
from tasks.errors import UserError


def entropies(
    sizes: Sequence[int],
    log_probs: Sequence[Sequence[float]] | None,
    mixture: Sequence[float] | None,
    seed: int,
    resamples: int,
) -> dict[str, list[Measured]]:
    """What probabilities tell, as far as they are given, of inputs of which `sizes` are the outputs' numbers.

    Of `log_probs` the entropy given the input, of all outputs. With `mixture` too that of the first outputs,
    the marginal entropy, and their difference, at most the log of the inputs. Empty outputs count.

    Intervals are a bootstrap over inputs that holds the mixture as it is: to first order the inputs behind it
    do not move a marginal entropy, since over all texts each one's probabilities sum to 1.
    """
    some = [i for i, size in enumerate(sizes) if size]
    found: dict[str, list[Measured]] = {}
    of_first = of_mixture = np.zeros(len(some))

    def mean(name: str, scope: str, values: NDArray[np.float64], ceiling: float | None = None) -> Measured:
        low, high = bootstrap(values, resamples, seed)
        return Measured(
            measure=name,
            scope=scope,
            value=float(values.mean()),
            low=finite(low),
            high=finite(high),
            floor=0.0,
            ceiling=ceiling,
            n=len(values),
            outputs=sum(sizes) if scope == PER_INPUT else len(values),
            left_out=len(sizes) - len(values),
        )

    if log_probs is not None:
        if [len(each) for each in log_probs] != list(sizes):
            raise UserError(
                "log_probs: one number is needed for each output of each input, in the same order"
            )
        told = [np.asarray(log_probs[i], np.float64) for i in some]
        for i, each in zip(some, told, strict=True):
            _check_log_probs(each, f"log_probs of input {i}")
        of_first = np.array([each[0] for each in told])
        found["entropy"] = [mean("entropy", PER_INPUT, -np.array([each.mean() for each in told]))]
    if mixture is not None:
        if len(mixture) != len(sizes):
            raise UserError(f"mixture: {len(mixture)} numbers for {len(sizes)} inputs; one each is needed")
        of_mixture = np.asarray(mixture, np.float64)[some]
        _check_log_probs(of_mixture, "mixture")
        found["marginal entropy"] = [mean("marginal entropy", ACROSS, -of_mixture)]
    if log_probs is not None and mixture is not None:
        most = math.log(len(sizes))
        tells = of_first - of_mixture
        if tells.max() > most + 1e-3:
            i = some[tells.argmax()]
            raise UserError(
                f"mixture of input {i}: it is below the share of the input itself, one of {len(sizes)}"
            )
        found["entropy"].append(mean("entropy", ACROSS, -of_first))
        found["information"] = [mean("information", ACROSS, tells, most)]
    return found


def _check_log_probs(values: NDArray[np.float64], where: str) -> None:
    wrong = ~(np.isfinite(values) & (values <= 1e-6))
    if wrong.any():
        raise UserError(
            f"{where}: {values[wrong][0]} is no log-probability; finite numbers up to 0 are needed"
        )
