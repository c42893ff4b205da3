"""The command line: what can be asked for. The answers are in commands_*.py, imported when needed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from argparse import Action, Namespace
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from proclivity.answer import Answer, as_json
from proclivity.arguments import Parser, a_seed, add_command, add_fields, add_group, rates, replicas
from proclivity.cli_metrics import add_metrics
from proclivity.job import DTYPES
from tasks import INCLUDE
from tasks.errors import UserError, one_line

PAPERS = ("cruz2023", "lovering2021")
"""Whose definition of a feature's bits there is."""
REPRODUCED = (*PAPERS, "tajwar2024", "kirk2024", "superhf2023")
SCALES = ("smoke", "quick", "laptop", "gpu", "paper")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0, 1 (the study had failed runs), 2 (a user's mistake) or 130 (stopped)."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    signal.signal(signal.SIGTERM, _stop)
    try:
        try:
            return _run(argv)
        finally:
            if sys.stdout is not None:
                with _stdout():  # where a help text may still wait
                    sys.stdout.flush()
    except UserError as e:
        print(f"proclivity: error: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as e:
        print(f"proclivity: stopped{e}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as e:
        if e.errno is None:  # raised by a program, not by the system
            raise
        print(f"proclivity: error: {one_line(e)}", file=sys.stderr)
        return 2


def _run(argv: Sequence[str] | None) -> int:
    if sys.stdout is None:
        raise UserError("standard output is closed, and the answer has nowhere to go")
    with _stdout():
        arguments = parser().parse_args(argv)
    if arguments.include:
        os.environ[INCLUDE] = os.pathsep.join(os.path.abspath(path) for path in arguments.include)
    # With --json standard output is for the one JSON value, whatever a library prints.
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        answer = _answer(arguments)
    with _stdout():
        print(as_json(answer.data) if arguments.json else answer.text, flush=True)
    if answer.error:
        raise UserError(answer.error)
    return answer.status


@contextlib.contextmanager
def _stdout() -> Iterator[None]:
    """Name standard output as what could not be written, and let go of what waits for it."""
    try:
        yield
    except OSError as e:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        e.filename = "standard output"
        raise


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _answer(arguments: Namespace) -> Answer:
    module, _, function = arguments.body.partition(":")
    answer: Answer = getattr(import_module(f"proclivity.{module}"), function)(arguments)
    return answer


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="proclivity", description="Which feature will a language model use after you fine-tune it?"
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print versions and exit")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _tasks(add_group(commands, "tasks", "what is asked"))
    _models(add_group(commands, "models", "who is asked"))
    methods = add_group(commands, "methods", "how models are tuned")
    add_command(methods, "ls", "commands_lists:methods_ls", "list the methods")
    _single(commands)
    _studies(commands)
    add_metrics(add_group(commands, "metrics", "what outputs and probabilities from anywhere show"))
    cache = add_group(commands, "cache", "pre-trained embedded models on disk")
    add_command(cache, "ls", "commands_lists:cache_ls", "list what is cached")
    add_command(cache, "clear", "commands_lists:cache_clear", "remove all that is cached")
    return top


class _Version(Action):
    """Versions, found out only when they are shown."""

    def __call__(self, *_: object) -> NoReturn:
        from proclivity.manifest import versions

        print(versions())
        raise SystemExit(0)


def _tasks(commands: Any) -> None:
    ls = add_command(commands, "ls", "commands_tasks:ls", "list the tasks")
    ls.add_argument("--features", action="store_true", help="list the features instead")
    show = add_command(commands, "show", "commands_tasks:show", "show a task and rows of its quadrants")
    show.add_argument("task", metavar="TASK")
    show.add_argument(
        "--rows", type=int, default=3, metavar="N", help="rows a quadrant, or a kind of prompts (default: 3)"
    )
    validate = add_command(commands, "validate", "commands_tasks:validate", "check what a task promises")
    validate.add_argument("task", nargs="*", metavar="TASK")
    validate.add_argument("--all", action="store_true", help="every task")
    validate.add_argument(
        "--learnability", action="store_true", help="tune on each feature alone instead: can it be learnt?"
    )
    validate.add_argument("--out", metavar="D", help="folder of the learnability runs (default: out/NAME)")
    export = add_command(commands, "export", "commands_tasks:export", "write a task's rows as files")
    export.add_argument("task", metavar="TASK")
    export.add_argument("--out", metavar="D", required=True, help="a new or empty folder")
    export.add_argument(
        "--n",
        type=int,
        default=1000,
        help="rows a quadrant and split, or a file of a text-out task (default: 1000)",
    )
    export.add_argument(
        "--evidence", type=float, help="of a text-out task: share of conflicts in tuning rows (default: 0)"
    )
    export.add_argument("--seed", type=int, default=0, help="of the rows (default: 0)")
    new = add_command(
        commands, "new", "commands_tasks:new", "write a file with a task of your own, to change"
    )
    new.add_argument("name", metavar="NAME", help="such as mine/negated-vs-timed")
    new.add_argument("--out", metavar="FILE", help="default: the last part of NAME, with .py")


def _models(commands: Any) -> None:
    add_command(commands, "ls", "commands_lists:models_ls", "list the embedded models")
    pretrain = add_command(
        commands, "pretrain", "commands_lists:models_pretrain", "pre-train an embedded model, once"
    )
    pretrain.add_argument("model", metavar="MODEL", help="such as embedded/symbols")
    about = "keep N models along the pre-training in --out, the untrained one first; it is done anew"
    pretrain.add_argument("--checkpoints", type=int, metavar="N", help=about)
    pretrain.add_argument("--out", metavar="D", help="a new or empty folder for them")


def _single(commands: Any) -> None:
    probe = add_command(
        commands, "probe", "commands_steps:probe", "how extractable are a task's two features?"
    )
    about = "in place of --model: a folder of checkpoints (step-N, checkpoint-N), each of which is probed"
    probe.add_argument("--checkpoints", metavar="D", help=about)
    about = "revisions of the Hub model, each of which is probed"
    probe.add_argument("--revisions", metavar="A,B,...", help=about)
    _model_and_task(probe, required=False)
    _dtype(probe)
    probe.add_argument("--layers", default="last", help="all, last or 0,6,12 (default: last)")
    about = "linear, mlp, finetune (the whole model), variational (default: linear)"
    probe.add_argument("--probe", metavar="KIND", default="linear", help=about)
    about = "answer (where the answer is read), first, last, mean, or a place in the prompt (default: answer)"
    probe.add_argument("--site", default="answer", help=about)
    probe.add_argument("--n", type=int, default=2000, help="rows (default: 2000)")
    probe.add_argument("--input", choices=("model", "raw"), default="model", help="model, or the raw tokens")
    probe.add_argument("--shuffles", type=int, default=5, help="shuffled controls (default: 5)")
    probe.add_argument(
        "--orders", type=int, default=3, help="orders of the rows, for an interval (default: 3)"
    )
    about = "beside the bits, the MDL as this paper defined it, defects included: " + " or ".join(PAPERS)
    probe.add_argument("--compat", metavar="PAPER", choices=PAPERS, default="", help=about)
    about = "prompts a quadrant, to measure what layers are used for by erasing and swapping"
    probe.add_argument("--use", type=int, default=0, metavar="N", help=about)
    _seed_and_out(probe)
    finetune = add_command(
        commands,
        "finetune",
        "commands_steps:finetune",
        "tune a model; which feature does it use?",
        late=_settings,
    )
    _model_and_task(finetune)
    finetune.add_argument("--method", required=True, help="such as rloo (see proclivity methods ls)")
    _evidence(finetune)
    about = "tune on the reward model kept in this folder, in place of the task's own reward"
    finetune.add_argument("--reward-model", metavar="FOLDER", default="", help=about)
    about = "probe both features after steps 0, K, 2K, ... and the last"
    finetune.add_argument("--probe-every", type=int, metavar="K", help=about)
    finetune.add_argument("--control", choices=("random_reward", "shuffled_labels"), default="")
    _report_to(finetune)
    _seed_and_out(finetune)
    about = "train a reward model on preference pairs; which feature does it use?"
    reward = add_command(commands, "reward-model", "commands_single:reward_model", about, late=_training)
    _model_and_task(reward)
    _evidence(reward)
    about = "share of pairs whose answers have equal reward (default: 0)"
    reward.add_argument("--ties", type=float, default=0.0, metavar="RATE", help=about)
    about = "pairs of one half of the task's sources alone; the halves share none (default: all)"
    reward.add_argument("--half", type=int, choices=(1, 2), default=0, help=about)
    _report_to(reward)
    _seed_and_out(reward)
    use = add_command(
        commands,
        "use",
        "commands_single:use",
        "which feature does this model, tuned anywhere, use?",
        late=_measuring,
    )
    _model_and_task(use)
    _dtype(use)
    _seed_and_out(use, None, "that of the policy, or 0")


def _model_and_task(command: Parser, required: bool = True) -> None:
    about = "a Hub name, or NAME@REVISION, a folder, or embedded/RECIPE"
    command.add_argument("--model", required=required, help=about)
    command.add_argument("--init", choices=("pretrained", "random"), default="pretrained", help="weights")
    about = "let code that comes with the model run; the record says so (default: it is refused)"
    command.add_argument("--trust-remote-code", action="store_true", help=about)
    command.add_argument(
        "--task", required=True, help="such as symbolic/first-last-vs-contains-2, or tsv:FILE"
    )


def _evidence(command: Parser) -> None:
    command.add_argument("--evidence", type=float, default=0.0, metavar="RATE", help="k / N (default: 0)")
    command.add_argument("--evidence-kind", default="symmetric", help="default: symmetric")
    about = "share of rows whose label is not the target's (default: 0)"
    command.add_argument("--evidence-noise", type=float, default=0.0, metavar="RATE", help=about)
    about = "k / N of each further spurious feature of the task (default: that of --evidence)"
    command.add_argument("--evidence-others", type=rates, default=(), metavar="RATE[,RATE]", help=about)


def _report_to(command: Parser) -> None:
    about = (
        "with --backend trl: tensorboard, wandb or another tracker that transformers knows (default: none)"
    )
    command.add_argument("--report-to", metavar="TRACKER", default="none", help=about)


def _dtype(command: Parser) -> None:
    about = "type of the weights (default: float32)"
    command.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help=about)


def _seed_and_out(command: Parser, seed: int | None = 0, default: str = "0") -> None:
    about = f"of rows, tuning, and which answer word means which label (default: {default})"
    command.add_argument("--seed", type=a_seed, default=seed, help=about)
    command.add_argument("--out", metavar="D", help="keep the record in this folder, which `analyze` reads")


def _settings(command: Parser) -> None:
    from proclivity.composition import jobs

    add_fields(command.add_argument_group("settings"), jobs().SETTINGS)


def _measuring(command: Parser) -> None:
    from proclivity.composition import jobs

    only = ("answers", "eval_n", "counterfactual_n")
    add_fields(command.add_argument_group("settings"), jobs().SETTINGS, only)


def _training(command: Parser) -> None:
    from proclivity.composition import jobs

    only = ("steps", "batch_size", "learning_rate", "answers", "warmup_steps", "backend")
    measured = ("eval_n", "log_n", "log_points", "counterfactual_n")
    add_fields(command.add_argument_group("settings"), jobs().SETTINGS, (*only, *measured))


def _studies(commands: Any) -> None:
    study = add_group(commands, "study", "grids of runs and probes with one primary test")
    run = add_command(study, "run", "commands_study:run", "run a study, or go on with it")
    run.add_argument(
        "study", metavar="FILE|NAME", help="a YAML file, or a shipped study (see proclivity study ls)"
    )
    run.add_argument(
        "--dry-run", action="store_true", help="print runs, time, disk and the pairs drawn; run nothing"
    )
    about = "do only the K-th of N parts of the jobs, such as 3/16; into the same folder as the others"
    run.add_argument("--shard", metavar="K/N", help=about)
    _running(run)
    status = add_command(study, "status", "commands_store:status", "how far a study is")
    status.add_argument("folder", metavar="D")
    compact = add_command(
        study, "compact", "commands_study:compact", "a study's records as three small files"
    )
    compact.add_argument("folder", metavar="D")
    compact.add_argument("--out", metavar="E", required=True, help="where to")
    about = "what the policies of a study of stages wrote, as a file that `metrics` reads"
    outputs = add_command(study, "outputs", "commands_study:outputs", about)
    outputs.add_argument("folder", metavar="D")
    outputs.add_argument("--out", metavar="FILE", required=True, help="a JSONL file")
    outputs.add_argument("--shift", default="in", help="under which shift (default: in, which is none)")
    about = (
        "copy the records that one place has and another lacks; a place is a folder or a URL (s3://, hf://)"
    )
    sync = add_command(study, "sync", "commands_store:sync", about)
    sync.add_argument("source", metavar="FROM")
    sync.add_argument("target", metavar="TO")
    about = "remove what no study needs any more: superseded and corrupt records, what killed runners left"
    gc = add_command(study, "gc", "commands_store:gc", about)
    gc.add_argument("folder", metavar="D")
    gc.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
    add_command(study, "ls", "commands_study:ls", "list the shipped studies")
    analyze = add_command(commands, "analyze", "commands_analysis:analyze", "the claims as tables")
    analyze.add_argument("folder", metavar="D", nargs="+")
    analyze.add_argument("--all", action="store_true", help="every claim, arm by arm")
    figures = add_command(
        commands, "figures", "commands_analysis:figures", "draw a study's figures, PNG and PDF"
    )
    figures.add_argument("folder", metavar="D")
    figures.add_argument("--out", metavar="D", help="where to (default: D/figures)")
    report = add_command(commands, "report", "report:report", "a study as one self-contained HTML page")
    report.add_argument("folder", metavar="D")
    report.add_argument("--out", metavar="FILE", help="where to (default: D/report.html)")
    _predict(commands)
    reproduce = add_command(
        commands, "reproduce", "commands_study:reproduce", "run a paper's studies, tables and figures"
    )
    reproduce.add_argument("paper", metavar="PAPER", choices=REPRODUCED)
    reproduce.add_argument(
        "--scale", metavar="SCALE", choices=SCALES, default="quick", help=", ".join(SCALES)
    )
    _running(reproduce)


def _predict(commands: Any) -> None:
    about = "before tuning: which feature will be used, how sure"
    predict = add_command(commands, "predict", "commands_predict:predict", about)
    predict.add_argument("--model", help="a Hub name, or NAME@REVISION, a folder, or embedded/RECIPE")
    predict.add_argument("--task", help="such as symbolic/first-last-vs-contains-2")
    about = "study folders to predict from; those of probes alone bring baselines for --judge"
    predict.add_argument("--from", dest="from_", metavar="D", nargs="+", required=True, help=about)
    predict.add_argument("--evidence", type=float, default=0.0, metavar="RATE", help="k / N (default: 0)")
    predict.add_argument("--evidence-kind", default="symmetric", help="default: symmetric")
    predict.add_argument("--method", help="such as rloo (default: the one with most runs there)")
    about = "bits per label of the two features, in place of probing --model on --task"
    predict.add_argument("--bits", type=rates, default=(), metavar="TARGET,SPURIOUS", help=about)
    about = "say instead how well it predicts families, models and languages that it never saw"
    predict.add_argument("--judge", action="store_true", help=about)
    predict.add_argument("--out", metavar="D", help="with --judge: where to draw the figure")


def _running(command: Parser) -> None:
    command.add_argument("--out", metavar="D", help="the study's folder (default: out/NAME)")
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one a core; 0: this one)"
    )
    about = "where jobs are done: in processes of this machine, or on a Ray cluster (default: local)"
    command.add_argument("--executor", choices=("local", "ray"), default="local", help=about)
    about = (
        "with --executor ray: the cluster to join, as auto, HOST:PORT or ray://HOST:PORT (default: one of "
        "--workers CPUs, started for the command)"
    )
    command.add_argument("--address", metavar="A", help=about)
    about = "runs tuned together as one stacked model: N, or auto (default: as many as pay; none on a CPU)"
    command.add_argument("--replicas", metavar="auto|N", type=replicas, default=0, help=about)
    command.add_argument("--retry-failed", action="store_true", help="run failed jobs again")
