"""A study of stages as one long table: measurements with what they are of."""

from __future__ import annotations

from pandas import DataFrame

from analysis.records import Study
from analysis.stage_schema import ACROSS, IN, PER_INPUT

CELL = ["task", "evidence_rate", "seed_data", "seed_tune"]
"""What runs that are compared share: SFT model, reward models, inputs; and the seed of the tuning."""
SWEPT = ["beta", "kl_place", "samples_per_prompt", "batch_size", "steps"]
"""Settings that an entry of a study can sweep."""
_TOLD = ["key", "stage", "policy", "method", "model", *CELL, *SWEPT, "completions"]


def has_stages(study: Study) -> bool:
    return len(study.stages) > 0 or "stages" in study.manifest.get("definition", {})


def along(study: Study) -> DataFrame:
    """One row a measurement of a finished stage at any step, with the columns of its record."""
    stages = study.stages[study.stages["status"] == "ok"]
    return study.measures.merge(stages[_TOLD], on="key", how="inner", validate="many_to_one")


def measured(table: DataFrame, measure: str, *, scope: str = PER_INPUT, shift: str | None = IN) -> DataFrame:
    """The rows of one measure; of every shift where None is given."""
    if scope not in (PER_INPUT, ACROSS):
        raise ValueError(scope)
    here = (table["measure"] == measure) & (table["scope"] == scope)
    return table[here if shift is None else here & (table["shift"] == shift)]
