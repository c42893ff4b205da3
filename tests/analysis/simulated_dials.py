"""Records of a study of one feature's dials that never ran, with a known truth."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from analysis.primary import signed
from analysis.records import COLUMNS, LEARNABILITY, ProbeRecord, Study, frame
from tests.analysis.simulated_study import run_record

FEATURE = "f0"
LEVELS = {"useful": (0.0, 0.1, 0.25, 0.5, 1.0), "placebo": (0.5, 1.0), "frequency": (0.02, 0.1, 0.5)}


def models(seeds: int) -> dict[str, tuple[str, float, int]]:
    """Models by name: dial, level, seed."""
    found = {}
    for dial, levels in LEVELS.items():
        for level in levels:
            for seed in range(seeds):
                also = "useful.f0=0," if dial == "frequency" else ""
                found[f"embedded/symbols:{also}{dial}.f0={level:g},seed={seed}"] = (dial, level, seed)
    return found


def simulate(
    *,
    seeds: int = 5,
    others: int = 6,
    effect: float = 0.6,
    spread: float = 0.03,
    noise: float = 0.02,
    missing: float = 0.0,
    seed: int = 0,
) -> Study:
    """Bits of f0 fall from 0.9 by 0.6 times usefulness; its use rises by `effect` over the ranks.

    Pairs differ by an effect of their own. A share of cells is `missing`: their runs learnt nothing.
    """
    rng = np.random.default_rng(seed)
    runs, probes = [], []
    of_pair = {
        (o, arm): rng.uniform(-0.15, 0.15) for o in range(1, others + 1) for arm in ("main", "swapped")
    }
    for model, (dial, level, _) in models(seeds).items():
        rank = LEVELS["useful"].index(level) / 4 if dial == "useful" else 0.0
        shift = noise * rng.normal()
        hash_ = f"w{len(probes)}"
        for (other, arm), own in of_pair.items():
            roles = {"target": f"f{other}", "spurious": FEATURE}
            if arm == "swapped":
                roles = {"target": FEATURE, "spurious": f"f{other}"}
            about = {
                "model": model,
                "weights_hash": hash_,
                "init": "pretrained",
                "study": "dials",
                **roles,
                "task": f"symbolic/{roles['target']}-vs-{roles['spurious']}",
                "target_family": roles["target"],
                "spurious_family": roles["spurious"],
            }
            for role, name in roles.items():
                bits = 0.9 - 0.6 * rank if name == FEATURE else 0.5
                bits += spread * rng.normal()
                probes.append(
                    ProbeRecord(
                        key=f"p{len(probes)}",
                        role=role,
                        feature=name,
                        family=name,
                        n=2000,
                        bits_per_label=bits,
                        **about,
                    )
                )
            use = float(np.clip(0.2 + own + effect * rank + shift, 0, 1))
            more = {"arm": arm, "method": "rloo", "evidence_kind": "symmetric", "evidence_rate": 0.0}
            more |= {"third_accuracy": 0.55}
            runs.append(
                run_record(
                    rng,
                    use if arm == "main" else 1 - use,
                    learnt=bool(rng.random() >= missing),
                    n=400,
                    key=f"r{len(runs)}",
                    **more,
                    **about,
                )
            )

    def table(records, kind):
        columns = COLUMNS[kind]
        rows = [asdict(r) for r in records]
        rows = [{k: np.nan if v is None and columns[k] == "float" else v for k, v in r.items()} for r in rows]
        return frame(rows, columns)

    primary = {"claim": "H1b", "arm": "main", "method": "rloo", "statistic": "trend", "pairs": "learnable"}
    manifest = {"name": "dials", **signed(primary), "definition": {"probe": {"n": 2000}}}
    return Study("dials", manifest, table(runs, "run"), table(probes, "probe"), frame([], LEARNABILITY), [])


def relevelled(study: Study, rename: dict[str, str]) -> Study:
    """The same records under other models' names."""
    return replace(
        study, runs=study.runs.replace({"model": rename}), probes=study.probes.replace({"model": rename})
    )


__all__ = ["FEATURE", "LEVELS", "models", "relevelled", "simulate"]
