"""What a study of probes alone measured of each reference and task."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from analysis.records import Study


def is_of_probes(study: Study) -> bool:
    """Whether a study has probes, and no run by its definition."""
    return bool(study.manifest.get("primary", {}).get("claim") == "probes")


def probes_table(study: Study) -> DataFrame:
    """One row a model and task: bits per label of both features (NaN: no cheaper than shuffled labels), the
    labels needed until the probe pays 0.5 bits (NaN: more than it was given), and the frozen probe's U."""
    probes = study.probes[
        (study.probes["status"] == "ok") & study.probes["role"].isin(["target", "spurious"])
    ]
    probes = probes.assign(bits=probes["bits_per_label"].where(~probes["censored"].astype(bool)))
    keys = ["model", "task"]
    names = {"bits": "bits", "labels_needed_high": "labels"}
    wide = probes.groupby([*keys, "role"])[list(names)].mean().unstack("role")
    columns = {
        f"{name} {role}": wide.get((column, role), np.nan)
        for column, name in names.items()
        for role in ("target", "spurious")
    }
    found = DataFrame(columns, index=wide.index)
    return found.join(probes.groupby(keys)["frozen_U"].mean()).reset_index()
