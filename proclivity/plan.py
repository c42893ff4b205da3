"""From a study file to the jobs of a folder, and doing them."""

from __future__ import annotations

import csv
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from proclivity import composition
from proclivity.bandit_study import BanditStudy, expand_bandits
from proclivity.disk import full_disk, replace_json
from proclivity.executors import Executor, cores
from proclivity.expand import Config, draw_pairs, expand, expand_probes
from proclivity.job import KEPT
from proclivity.manifest import JOBS, describe, make_folder, write_manifest
from proclivity.progress import step_bar
from proclivity.runner import Job, Tally, run_jobs
from proclivity.shards import Shard, part_of
from proclivity.stage_study import StageStudy, expand_stages
from proclivity.store import Store, job_key
from proclivity.strict import Document
from proclivity.study import AnyStudy, ProbeStudy
from proclivity.text_study import TextStudy, expand_texts
from proclivity.workers import Workers
from tasks.errors import UserError, unknown

UNCHECKED = ("study", "arm", "seed_data", "seed_tune", "seed_warmup")
"""What does not matter to whether a job can be done: of jobs that differ in this alone one is checked."""


@dataclass(frozen=True)
class Plan:
    """A study's jobs, in the order in which they are done."""

    study: AnyStudy
    pairs: list[str]
    """The tasks drawn; the problems of a study of bandits or of texts."""
    jobs: list[Job]

    @property
    def runs(self) -> int:
        return len(self.jobs) - self.probes - self.reward_models

    @property
    def reward_models(self) -> int:
        return sum(is_reward_model(job.config) for job in self.jobs)

    @property
    def probes(self) -> int:
        return sum(job.config["job"] == "probe" for job in self.jobs)


def plan(study: AnyStudy, document: Document, *, fetch: bool = True) -> Plan:
    """Work out a study's jobs; what does not exist is refused before anything runs.

    Without `fetch` nothing is asked of a hub, and jobs on its models have no key.
    """
    keyed = partial(_all_keyed, fetch=fetch)
    if isinstance(study, BanditStudy):
        configs = expand_bandits(study, document)
        try:
            return Plan(study, list(study.bandits.problems), keyed(configs))
        except UserError as e:
            raise UserError(f"{document.name}: {e}") from e
    if isinstance(study, ProbeStudy):
        configs = expand_probes(study)
        return Plan(study, sorted({config["task"] for config in configs}), keyed(configs))
    jobs = composition.jobs()
    known = [field.name for field in fields(jobs.SETTINGS)]
    places: dict[tuple[str, ...], dict[str, Any]] = {("settings",): study.settings}
    for arm, told in ({} if isinstance(study, TextStudy | StageStudy) else study.arms).items():
        places["arms", arm, "settings"] = told.settings
        if told.reward_model:
            places["arms", arm, "reward_model", "settings"] = told.reward_model.settings
    for place, settings in places.items():
        for name in settings:
            if name not in known:
                raise document.error((*place, name), unknown("setting", name, known))
    try:
        if isinstance(study, TextStudy):
            return Plan(study, list(study.texts.problems), keyed(expand_texts(study, jobs.validate_settings)))
        if isinstance(study, StageStudy):
            stages = expand_stages(study, jobs.validate_settings)
            return Plan(study, list(study.stages.tasks), keyed(stages))
        configs = expand(study, validate=jobs.validate_settings)
        return Plan(study, draw_pairs(study), keyed(configs))
    except UserError as e:
        raise UserError(f"{document.name}: {e}") from e


def is_reward_model(config: Config) -> bool:
    """Whether a job trains a reward model."""
    return config["job"] == "reward_model" or config.get("stage") == "reward"


def keyed(configs: Sequence[Config]) -> list[Job]:
    """Configs with the keys of their records; one that cannot be done is refused."""
    return _all_keyed(configs, fetch=True)


def _all_keyed(configs: Sequence[Config], fetch: bool) -> list[Job]:
    jobs = composition.jobs()
    for config in {repr({n: v for n, v in c.items() if n not in UNCHECKED}): c for c in configs}.values():
        jobs.check(config)
    return [_keyed(c, jobs) if fetch or not _on_hub(c) else Job("", c) for c in configs]


def _on_hub(config: Config) -> bool:
    """Whether a job's model is neither embedded nor a folder."""
    model = config.get("model", "embedded/")
    return not model.startswith("embedded/") and not Path(model).exists()


def _keyed(config: Config, jobs: composition.Jobs) -> Job:
    """A config in which the jobs that it needs, configs of their own, are named by their keys."""
    needs = {name: _keyed(config[name], jobs).key for name in KEPT if isinstance(config.get(name), Mapping)}
    named = {**config, **needs}
    return Job(job_key(named, jobs.fingerprint(config)), named, needs)


def open_store(folder: Path) -> Store:
    """A folder's records, checked against the record schema."""
    return Store(folder, _check)


def _check(record: object) -> object:
    from analysis.records import check

    return check(record)


def run_plan(
    todo: Plan,
    folder: Path,
    *,
    on: Executor | None = None,
    retry_failed: bool = False,
    shard: Shard | None = None,
) -> tuple[Store, Tally]:
    """Bring every job of a plan, or of a shard of it, to a record in a folder, going on where an earlier
    runner stopped."""
    mine = part(todo, shard).jobs
    make_folder(folder)
    on = on or Executor(cores())
    workers = on.start(f"{composition.JOBS}:execute", todo.study.resources)
    store = open_store(folder)
    try:
        with closing(store.claims):
            return store, _run_plan(store, todo, mine, workers, on, retry_failed)
    finally:
        workers.kill()


def part(todo: Plan, shard: Shard | None) -> Plan:
    """A plan with the jobs of a shard alone."""
    if shard is None:
        return todo
    seconds = composition.jobs().estimate
    return replace(todo, jobs=part_of(todo.jobs, shard, lambda job: seconds(job.config)))


def _run_plan(
    store: Store, todo: Plan, mine: Sequence[Job], workers: Workers, on: Executor, retry_failed: bool
) -> Tally:
    folder = store.folder
    keys = {job.key for job in todo.jobs}
    needed = {key for job in todo.jobs for key in job.needs.values()}
    try:
        with store.claims.alone():
            write_manifest(
                folder, describe(todo.study.definition(), shlex.join(["proclivity", *sys.argv[1:]]))
            )
            with step_bar() as progress:
                looked = partial(progress, "reading what is there")
                corrupt, superseded = store.sweep(keys, needed, looked)
            judges = [job.key for job in todo.jobs if is_reward_model(job.config)]
            with full_disk(folder):
                replace_json(folder / JOBS, {"jobs": sorted(keys), "reward_models": sorted(set(judges))})
        for found in corrupt:
            note(f"{folder}/{found}; moved to {found.moved_to}, to be run again")
        if superseded:
            note(f"{len(superseded)} records of other sources or data were moved to {folder / 'superseded'}")
        unfinished = [job for job in mine if store.state(job.key) != "done"]
        configs = [job.config for job in unfinished]
        stacks: dict[str, tuple[str, int]] = {}
        if not on.address:  # of a cluster's machines the memory is not known here
            asks = todo.study.resources if on.ray else None
            composition.jobs().check_memory(configs, workers.n, asks)
        write_rows(folder, composition.jobs().learnability([job.config for job in todo.jobs]))
        if unfinished:
            with step_bar() as progress:
                composition.jobs().prepare(configs, progress)
                alike = composition.jobs().stacks(configs, on.replicas, progress, on.workers or 1)
            stacks = {job.key: told for job, told in zip(unfinished, alike, strict=True) if told[1] > 1}
        return run_jobs(store, mine, workers, retry_failed=retry_failed, stacks=stacks)
    except KeyboardInterrupt:
        again = shlex.join(["proclivity", *sys.argv[1:]])
        raise KeyboardInterrupt(f"; finished jobs are kept in {folder}; to go on: {again}") from None


def note(message: str) -> None:
    """Say something on the way, beside the answer."""
    print(f"proclivity: note: {message}", file=sys.stderr)


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put the learnability list into a study folder."""
    if not rows:
        return
    partial = folder / f".learnability.{os.getpid()}"
    with full_disk(folder):
        with open(partial, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        os.replace(partial, folder / "learnability.csv")
