"""Processes that are killed, stopped and doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from importlib.util import find_spec

from benchmarks.soak.campaign import Campaign
from benchmarks.soak.field import ENDS_S, PATIENCE, Command, Field, contents

RAY_ENDS_S = 180.0
"""The same under Ray: two agents of its own were seen to outlive it by a minute on a busy machine."""
START_S = 1.2
"""About how long the command line takes to its first job."""


def runners(campaign: Campaign) -> None:
    """kill -9 of the runner, at a random moment or just before a random change of a file."""
    _rounds(campaign, round(0.4 * campaign.kills), _kill_runner)


def workers(campaign: Campaign) -> None:
    """kill -9 of a worker at random moments."""
    _rounds(campaign, round(0.35 * campaign.kills), _kill_workers)


def two_runners(campaign: Campaign) -> None:
    """Two runners on one folder, of which one or both are killed at random moments."""
    done = round(0.4 * campaign.kills) + round(0.35 * campaign.kills)
    _rounds(campaign, campaign.kills - done, _kill_one_of_two)


def _rounds(campaign: Campaign, wanted: int, kill: object) -> None:
    """Kill until the study is done, in one folder after the other, until there were so many kills."""
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    done = 0
    while done < wanted:
        found = campaign.field(study)
        begun, n = done, 1
        while done < wanted and n:
            told, n, wrong = kill(campaign.rng, found, wanted - done)  # type: ignore[operator]
            if n:
                campaign.told(_NAMES[kill], told, wrong, n)
            if wrong and not n:
                campaign.told(f"{_NAMES[kill]}: none", told, wrong)
            done += n
        wrong = found.finish(undisturbed)
        campaign.told(f"{_NAMES[kill]}: to the end", f"all jobs done after {done - begun} kills", wrong)
        campaign.close(found, wrong)


def _kill_runner(rng: random.Random, found: Field, most: int) -> tuple[str, int, list[str]]:
    if rng.random() < 0.5:
        command = found.run(SOAK_SIGNAL=f"KILL:file:{1 + int(rng.expovariate(1 / 60))}")
        command.wait()
        killed, what = command.process.returncode == -signal.SIGKILL, "at a change of a file"
    else:
        command = found.run()
        time.sleep(rng.uniform(0.1, START_S + 1.5))
        killed, what = command.kill(), "at a random moment"
    wrong = _after(found, command)
    if not killed:
        return "finished", 0, wrong
    return what, 1, wrong


def _kill_workers(rng: random.Random, found: Field, most: int) -> tuple[str, int, list[str]]:
    command, n = found.run(), 0
    wrong: list[str] = []
    while n < most and command.running():
        time.sleep(rng.uniform(0.0, 0.8))
        if living := command.workers():
            with suppress(ProcessLookupError):
                os.kill(rng.choice(living), signal.SIGKILL)
                n += 1
        wrong += found.look()
    status = command.wait()
    wrong += _after(found, command)
    if status not in (0, 1):
        wrong.append(f"exit status {status}: {command.said[-300:]}")
    # A job that was alone twice when a worker was killed has failed by the rule, and is done again.
    if status == 1 and "worker process was killed, twice" not in command.said:
        wrong.append(f"failed for another reason: {command.said[-300:]}")
    return "runner went on" if status == 0 else "runner went on, a job failed and was done again", n, wrong


def _kill_one_of_two(rng: random.Random, found: Field, most: int) -> tuple[str, int, list[str]]:
    both = [found.run(workers=1), found.run(workers=1)]
    done, wrong = len(found.seen), list[str]()
    if rng.random() < 0.5:  # both at work
        while len(found.seen) < done + 8 and all(command.running() for command in both):
            wrong += found.watch(0.1)
    wrong += found.watch(rng.uniform(0.1, START_S + 1.5))
    n = min(most, rng.choice([1, 1, 2]))
    rng.shuffle(both)
    killed = sum(command.kill() for command in both[:n])
    for command in both[:n]:
        wrong += _after(found, command)
    for command in both[n:]:
        wrong += found.ended(command, 0)
    # What a killed runner was at is begun again, then or later: a job, and one just handed out.
    found.killed += killed
    if (again := found.twice()) > 2 * found.killed:
        wrong.append(f"{again} jobs were begun twice in a folder in which {found.killed} runners were killed")
    if killed == 0:
        return "finished", 0, wrong
    return "both" if killed == 2 else "one, the other went on to the end", killed, wrong


def _after(found: Field, command: Command, seconds: float = ENDS_S) -> list[str]:
    """What is wrong after a command was killed."""
    return found.look() + [f"left running: {told}" for told in command.orphans(seconds)]


def ray(campaign: Campaign) -> None:
    """kill -9 of a runner whose jobs are tasks of a Ray cluster that it started, and of Ray's workers."""
    if not find_spec("ray"):
        return
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    for what in ("the runner", "a worker", "the runner"):
        found = campaign.field(study)
        command = found.run("--executor", "ray")
        limit = time.monotonic() + PATIENCE
        while len(contents(found.folder)) < 10 and command.running() and time.monotonic() < limit:
            time.sleep(0.1)
        time.sleep(campaign.rng.uniform(0, 1))
        if what == "the runner":
            command.kill()
            wrong = _after(found, command, RAY_ENDS_S)
            wrong += ["it had ended before"] * (command.process.returncode >= 0)
        else:
            if living := command.workers("ray::"):
                os.kill(campaign.rng.choice(living), signal.SIGKILL)
            wrong = found.ended(command, 0)
        wrong += found.finish(undisturbed)
        campaign.told("kill -9 under Ray", f"{what}; done by the local executor afterwards", wrong)
        campaign.close(found, wrong)


def paused(campaign: Campaign) -> None:
    """A runner is stopped, as by a sleeping laptop, until another has taken its claims; then it goes on."""
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    for _ in range(4):
        found = campaign.field(study)
        first = found.run(workers=1, SOAK_LEASE="2")
        time.sleep(campaign.rng.uniform(START_S, START_S + 1))
        os.killpg(first.process.pid, signal.SIGSTOP)
        second = found.run(workers=1, SOAK_LEASE="2")
        wrong = found.ended(second, 0)  # it can end only if it took what the first one had begun
        os.killpg(first.process.pid, signal.SIGCONT)
        wrong += found.ended(first, 0) + found.finish(undisturbed)
        campaign.told("runner asleep longer than its lease", "another took over; it woke and ended", wrong)
        campaign.close(found, wrong)


def interrupted(campaign: Campaign) -> None:
    """Ctrl-C or SIGTERM in every stage of a study."""
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    kept = r"^proclivity: stopped; finished jobs are kept in .*to go on: "
    stages = {
        "planning": r"^proclivity: stopped",
        "pre-training": kept,
        "running": kept,
        "publishing": kept,
    }
    for name in ("INT", "TERM"):
        found = campaign.field(study)
        for stage, words in stages.items():
            at = campaign.rng.randrange(1, 6)
            # To the group: a terminal and a service manager tell the runner and its workers.
            command = found.run(SOAK_SIGNAL=f"{name}:{stage}:{at}")
            wrong = found.ended(command, 130, f"(?m){words}")
            campaign.told(f"SIG{name}", stage, wrong)
        wrong = found.finish(undisturbed)
        campaign.told(f"SIG{name}: to the end", "all jobs done", wrong)
        at = campaign.rng.randrange(1, 60)
        command = found.command("analyze", str(found.folder), SOAK_SIGNAL=f"{name}:reading:{at}")
        campaign.told(f"SIG{name}", "analysing", found.ended(command, 130, "(?m)^proclivity: stopped"))
        wrong += found.ended(found.command("analyze", str(found.folder)), 0)
        campaign.close(found, wrong)


_NAMES: dict[object, str] = {
    _kill_runner: "kill -9 of the runner",
    _kill_workers: "kill -9 of a worker",
    _kill_one_of_two: "kill -9 beside a second runner",
}
