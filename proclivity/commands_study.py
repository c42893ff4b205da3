"""study, reproduce: grids of runs and probes."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from proclivity import composition, memory_needs
from proclivity.answer import Answer, duration, failures, size, table
from proclivity.disk import full_disk
from proclivity.executors import Executor, executor_of
from proclivity.paper_answer import papers_table
from proclivity.plan import Plan, is_reward_model, part, plan, run_plan
from proclivity.remote import is_url, mirror, sent_to
from proclivity.shards import Shard, read_shard
from proclivity.study import BRADLEY_TERRY, ProbeStudy, Study, list_studies, load_study
from proclivity.study_head import Scale
from tasks.errors import UserError

if TYPE_CHECKING:
    from analysis.pairs.power import Power

SEEDS = ["seed_data", "seed_tune"]
BYTES_A_JOB = 16_000
"""Disk for a record with its log, files rounded up to blocks."""


def run(arguments: Namespace) -> Answer:
    study, document = load_study(arguments.study)
    todo = plan(study, document, fetch=not arguments.dry_run or bool(arguments.shard))
    on, shard = executor_of(arguments), read_shard(arguments.shard) if arguments.shard else None
    if arguments.dry_run:
        return _dry_run(part(todo, shard), on, shard)
    clock = time.perf_counter()
    with _written_to(arguments, study.name) as folder:
        _, tally = run_plan(todo, folder, on=on, retry_failed=arguments.retry_failed, shard=shard)
    seconds = time.perf_counter() - clock
    data = {
        "study": study.name,
        "folder": folder,
        "total": tally.total,
        "done": tally.done,
        "ran": tally.ran,
        "failed": tally.failed,
        "seconds": seconds,
    } | _told(shard)
    of = f"jobs of shard {shard}" if shard else "jobs"
    text = f"{folder}: {tally.done} of {tally.total} {of} done ({tally.ran} now), {duration(seconds)}"
    return Answer(data, text + failures(tally.failed, tally.total), status=1 if tally.failed else 0)


def _told(shard: Shard | None) -> dict[str, str]:
    return {"shard": str(shard)} if shard else {}


def _dry_run(todo: Plan, on: Executor, shard: Shard | None) -> Answer:
    jobs, asks = composition.jobs(), todo.study.resources
    work = sum(jobs.estimate(job.config) for job in todo.jobs)
    seconds = work / on.jobs_at_once(asks)
    about = "an unknown time" if math.isnan(seconds) else f"about {duration(seconds)}"
    disk = BYTES_A_JOB * len(todo.jobs)
    weights = " and the reward models' weights" if todo.reward_models else ""
    data = {
        "study": todo.study.name,
        "runs": todo.runs,
        "probes": todo.probes,
        "reward_models": todo.reward_models,
        "seconds": seconds,
        "workers": on.workers,
        "resources": asdict(asks),
        "bytes": disk,
        "primary": todo.study.definition()["primary"],
        "pairs": todo.pairs,
    } | _told(shard)
    arms = Counter(
        job.config["arm"]
        for job in todo.jobs
        if job.config["job"] != "probe" and not is_reward_model(job.config)
    )
    of = "pairs" if isinstance(todo.study, Study | ProbeStudy) else "problems"
    power = _power(todo)
    data["power"] = power and asdict(power)
    data["memory"] = memory_needs.told([job.config for job in todo.jobs])
    memory = memory_needs.lines(data["memory"])
    of_test = (
        "of the primary test, if every run learns"
        if _over_models(todo)
        else "of all pairs below, by Spearman's rho"
    )
    return Answer(
        data,
        f"{todo.study.name}{f' shard {shard}' if shard else ''}: "
        f"{_counted(todo.runs, todo.probes, todo.reward_models)}, {about} on "
        f"{on} after pre-training, {size(disk)}{weights}\n"
        f"each asks for {asks}\n"
        + "\n".join(f"  {name}: {n} runs" for name, n in arms.items())
        + "\nprimary test: "
        + ", ".join(f"{name} {value}" for name, value in data["primary"].items())
        + (f"\n{of_test}, {power}" if power else "")
        + ("\nmemory, by estimate:\n" + "\n".join(memory) if memory else "")
        + f"\n{len(todo.pairs)} {of}:\n"
        + "\n".join(f"  {pair}" for pair in todo.pairs),
    )


def _power(todo: Plan) -> Power | None:
    """Power of the test by permuted families on the pairs drawn, before anything is known of their bits; or
    of that of models within pairs."""
    of_families = isinstance(todo.study, Study) and todo.study.primary.test == "family_permutation"
    if not of_families and not _over_models(todo):
        return None
    from pandas import DataFrame

    from analysis.pairs.power import power_of_pairs
    from tasks import get_task

    drawn = [(name, get_task(name)) for name in todo.pairs]
    columns = ["kind", "target_family", "spurious_family"]
    rows = [(name.partition("/")[0], t.target.family, t.spurious.family) for name, t in drawn]
    pairs = DataFrame(rows, columns=columns)
    if of_families:
        return power_of_pairs(pairs)
    from analysis.pairs.power_over_models import power_over_models

    return power_over_models(pairs, len({job.config["model"] for job in todo.jobs}))


def _over_models(todo: Plan) -> bool:
    return isinstance(todo.study, Study) and todo.study.primary.test == "dyadic_robust"


def _counted(runs: int, probes: int, reward_models: int) -> str:
    if not reward_models:
        return f"{runs} runs and {probes} probes"
    return f"{runs} runs, {reward_models} reward models and {probes} probes"


def compact(arguments: Namespace) -> Answer:
    from analysis import read_study, write_compact

    study, out = read_study(mirror(arguments.folder)), Path(arguments.out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty")
    if study.problems:
        n, first = len(study.problems), study.problems[0]
        raise UserError(
            f"{arguments.folder}: {n} of its parts cannot be read, the first {first}; a copy would lose them "
            "for good, and study run makes records again"
        )
    write_compact(study, out)
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    judges = sum(int((kind["method"] == BRADLEY_TERRY).sum()) for kind in (study.runs, study.stages))
    texts = study.texts["key"].nunique()
    runs = len(study.runs) + len(study.bandits) + texts + len(study.stages) - judges
    probes = len(study.probes)
    data = {"folder": out, "runs": runs, "probes": probes, "reward_models": judges, "files": files}
    text = f"{out}: {_counted(runs, probes, judges)} in {size(sum(files.values()))}"
    return Answer(data, text)


def outputs(arguments: Namespace) -> Answer:
    """What the policies of a study of stages wrote, as the lines that `metrics` reads."""
    from analysis import read_study

    study, out = read_study(mirror(arguments.folder)), Path(arguments.out)
    told = study.outputs.merge(study.stages[["key", "task", "evidence_rate", "policy", *SEEDS]], on="key")
    if not told["prompt"].any():
        why = (
            "its texts were left out when it was compacted"
            if len(told)
            else "no policy of it has written any"
        )
        raise UserError(f"{arguments.folder} has no outputs to write: {why}")
    told = told[told["shift"] == arguments.shift]
    if not len(told):
        known = ", ".join(sorted(set(study.outputs["shift"])))
        raise UserError(f"--shift {arguments.shift}: no outputs; there are some under {known}")
    rows = told.drop(columns="input").rename(
        columns={
            "key": "run",
            "prompt": "input",
            "completion": "output",
            "policy": "method",
            "gold": "score",
            "reference_gold": "reference_score",
            "learned": "proxy",
        }
    )
    rows = rows.assign(gold=rows["score"])
    names = [
        "run",
        "task",
        "evidence_rate",
        "method",
        *SEEDS,
        "input",
        "output",
        "reference",
        "log_prob",
        "gold",
    ]
    rows = rows[[*names, "proxy", "score", "reference_score"]].dropna(axis=1)
    with full_disk(out.parent):
        rows.to_json(out, orient="records", lines=True, force_ascii=False)
    data = {"file": out, "outputs": len(rows), "columns": list(rows)}
    return Answer(data, f"{out}: {len(rows)} outputs of {told['policy'].nunique()} policies")


def ls(arguments: Namespace) -> Answer:
    rows = []
    for name in list_studies():
        study, _ = load_study(name)
        rows.append({"study": name, "paper": study.paper, "scale": study.scale, "question": study.question})
    return Answer(rows, table(rows))


def reproduce(arguments: Namespace) -> Answer:
    """Every shipped study of the paper at this scale: PAPER-SCALE, and those called PAPER-WHAT-SCALE.

    The paper's claims stand at the end, beside all of these studies.
    """
    first, last = f"{arguments.paper}-", f"-{arguments.scale}"
    named = [name for name in list_studies() if name.startswith(first) and name.endswith(last)]
    names = sorted(named, key=len)
    if not names:
        has = {name.rpartition("-")[2] for name in list_studies() if name.startswith(first)}
        scales = " or ".join(scale for scale in get_args(Scale) if scale in has)
        raise UserError(f"{arguments.paper} has no study at scale {arguments.scale}; it has {scales}")
    found = [_reproduce(name, arguments, first=name == names[0]) for name in names]
    claims = papers_table([answer.data["claims"]["paper"] for answer in found], arguments.paper)
    text = "\n\n".join(filter(None, [*(answer.text for answer in found), claims]))
    data = {"studies": [answer.data for answer in found]}
    return Answer(data, text, max(answer.status for answer in found))


def _reproduce(name: str, arguments: Namespace, *, first: bool) -> Answer:
    from proclivity.commands_analysis import claims_of, draw
    from proclivity.report import write_report

    study, document = load_study(name)
    folder = _folder(arguments, study.name)
    if is_url(arguments.out or ""):
        raise UserError(f"--out {arguments.out}: must be a folder; study sync sends it there afterwards")
    if arguments.out and not first:
        folder = folder.with_name(f"{folder.name}-{study.name}")
    clock = time.perf_counter()
    _, tally = run_plan(
        plan(study, document), folder, on=executor_of(arguments), retry_failed=arguments.retry_failed
    )
    claims = claims_of(folder)
    figures = draw(folder, folder / "figures")
    page = write_report(folder, folder / "report.html")
    seconds = time.perf_counter() - clock
    data = {
        "study": study.name,
        "folder": folder,
        "claims": claims.data,
        "figures": figures,
        "report": page.data["path"],
        "seconds": seconds,
        "failed": tally.failed,
    }
    alone = papers_table([claims.data["paper"]], str(study.paper))
    files = f"{folder / 'figures'}: figures and tables in {len(figures)} files"
    lines = [claims.text.removesuffix(alone).rstrip(), "", files, page.text, f"{folder}, {duration(seconds)}"]
    text = "\n".join(lines) + failures(tally.failed, tally.total)
    return Answer(data, text, status=1 if tally.failed else 0)


@contextmanager
def _written_to(arguments: Namespace, name: str) -> Iterator[Path]:
    """The folder that a study is done in; where --out is a URL, what it publishes is sent there too."""
    url = arguments.out or ""
    if not is_url(url):
        yield _folder(arguments, name)
        return
    if not arguments.shard:
        raise UserError(
            f"--out {url}: runners cannot share work there; say which part this one does, such as --shard 1/1"
        )
    with sent_to(url, Path("out")) as folder:
        yield folder


def _folder(arguments: Namespace, name: str) -> Path:
    return Path(arguments.out or Path("out") / name)
