"""Records of a study that never ran, with a known truth: U follows relative extractability, or does not."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict

import numpy as np
from scipy.stats import norm

from analysis.primary import signed
from analysis.records import COLUMNS, LEARNABILITY, ProbeRecord, RunRecord, Study, frame

CONFLICTS = ("target_only", "spurious_only")


def run_record(rng, U, *, learnt=True, n=50, **fields):
    """A run whose two conflict quadrants are wrong at rate U."""
    base = 0.02 if learnt else 0.4
    errors = {q: int(rng.binomial(n, base)) for q in ("both", "neither")}
    errors |= {q: int(rng.binomial(n, U)) for q in CONFLICTS}
    B = (errors["both"] + errors["neither"]) / (2 * n)
    use = (errors["target_only"] + errors["spurious_only"]) / (2 * n) if B <= 0.1 else None
    label = "unlearnt" if use is None else "spurious" if use > 0.75 else "target" if use < 0.25 else "mixed"
    counts = {f"n_{q}": n for q in errors} | {f"errors_{q}": k for q, k in errors.items()}
    counts |= {f"p_error_{q}": k / n for q, k in errors.items()}
    return RunRecord(**counts, B=B, U=use, U_probability=use, label=label, **fields)


def simulate(
    *, families=16, pairs=40, effect=1.0, copies=2, levels=(0.0, 0.1, 0.5), seeds=(0, 1), methods=("rloo",),
    arms=("main",), dials=("",), unlearnt=0.0, failed=0, learnability=True, primary=None, seed=0,
) -> Study:  # fmt: skip
    """A study in which U(evidence 0) = Phi(effect * relative + target and spurious family effects)."""
    rng = np.random.default_rng(seed)
    bits = {d: np.exp(rng.uniform(np.log(0.1), np.log(0.9), families)) for d in dials}
    untrained = rng.uniform(0.2, 1.0, families)
    role = 0.5 * rng.normal(size=(2, families))
    cells = [(t, s) for t in range(families) for s in range(families) if t != s]
    runs, probes = [], []
    drawn = rng.permutation(len(cells))[:pairs]
    for number, (t, s) in enumerate(cells[i] for i in drawn):
        names = {"target": (t, number % copies), "spurious": (s, 0)}
        feature = {r: f"f{f}-{c}" for r, (f, c) in names.items()}
        pair = {
            "study": "simulated", "task": f"symbolic/{feature['target']}-vs-{feature['spurious']}",
            **feature, "target_family": f"f{t}", "spurious_family": f"f{s}",
        }  # fmt: skip
        third = {"third_feature": "f0-0", "third_accuracy": 0.8 if number % 10 == 9 else 0.55}
        bad = rng.random() < unlearnt
        for dial in dials:
            own = {"model": "embedded/symbols", "dial": dial, "weights_hash": f"w{dial}"}
            for input_, init, cost in (
                ("model", "pretrained", bits[dial]),
                ("model", "random", untrained),
                ("raw", "pretrained", untrained),
            ):
                for r, (f, _) in names.items():
                    more = own | ({"weights_hash": "random"} if init == "random" else {})
                    more |= {"input": input_, "init": init, "role": r, "feature": feature[r], "n": 2000}
                    value = float(cost[f] * np.exp(0.05 * rng.normal()))
                    probes.append(ProbeRecord(key=f"p{len(probes)}", bits_per_label=value, **more, **pair))
            relative = np.log2(bits[dial][t] / bits[dial][s])
            for arm in arms:
                control = arm in ("random_reward", "shuffled_labels")
                # A policy that starts from nothing owes nothing to what pre-training made easy.
                pull = 0.0 if control or arm == "random_init" else effect * relative + role[0, t] + role[1, s]
                start = {"init": "random" if arm == "random_init" else "pretrained"}
                start |= {"weights_hash": "r"} if arm == "random_init" else {}
                for method in methods:
                    for level in levels:
                        for tune in seeds:
                            U = float(norm.cdf(pull - (0 if control else 6 * level)))
                            about = own | start | pair | third | {"arm": arm, "method": method}
                            about |= {"evidence_rate": level, "evidence_kind": "symmetric", "seed_tune": tune}
                            record = run_record(
                                rng, U, learnt=not (bad or control), key=f"r{len(runs)}", **about
                            )
                            runs.append(record)
    runs = [
        dataclasses.replace(r, status="failed", error="NaN loss", U=None, B=None, label="")
        if i < failed
        else r
        for i, r in enumerate(runs)
    ]
    tried = [
        {"feature": f"f{f}-{c}", "family": f"f{f}", "recipe": "embedded/symbols", "method": "sft",
         "episodes": 1000, "seed": k, "dial": d, "accuracy": 0.99, "threshold": 0.95,
         "learnable": f != 1 or k == 0, "task": ""}
        for f in range(families) for c in range(copies) for k in range(3) for d in dials
    ]  # fmt: skip

    def table(records, kind):
        rows = [asdict(r) for r in records]
        columns = COLUMNS[kind]
        rows = [{k: np.nan if v is None and columns[k] == "float" else v for k, v in r.items()} for r in rows]
        return frame(rows, columns)

    manifest = {
        "name": "simulated",
        **signed(primary or {"claim": "H1a"}),
        "definition": {"probe": {"n": 2000}},
    }
    learnt = frame(tried if learnability else [], LEARNABILITY)
    return Study("simulated", manifest, table(runs, "run"), table(probes, "probe"), learnt, [])
