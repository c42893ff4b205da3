"""The parser of `metrics`: what is measured of outputs and probabilities that any framework wrote."""

from __future__ import annotations

from typing import Any

from proclivity.arguments import Parser, a_count, a_seed, add_command


def add_metrics(commands: Any) -> None:
    """Every command under `metrics`."""
    about = "how varied are the outputs, per input and across inputs?"
    diversity = _metric(commands, "diversity", about, "FILE.jsonl", "kirk2024")
    about = "measure the cosine of encodings by this model, or by hashed-ngrams, which is none"
    diversity.add_argument("--encoder", metavar="NAME|PATH", help=about)
    diversity.add_argument("--nli", metavar="NAME|PATH", help="measure contradiction by this NLI model")
    about = "words that there could be (default: the different ones of the whole file)"
    diversity.add_argument("--vocabulary", type=a_count, metavar="N", help=about)
    about = "is the reward hacked? sameness, length, empty outputs, gold against proxy reward"
    hacking = _metric(commands, "hacking", about, "FILE.jsonl", "superhf2023")
    about = "a folder with WordNet, for METEOR with synonyms"
    hacking.add_argument("--wordnet", metavar="FOLDER", help=about)
    about = "pairs of outputs that METEOR looks at, at most (default: 20000)"
    hacking.add_argument("--pairs", type=a_count, default=20_000, metavar="N", help=about)
    about = (
        "how often is an output preferred to the reference answer? by a chat model, reward model or scores"
    )
    preference = _metric(commands, "preference", about, "FILE.jsonl")
    about = "ask the chat model at this address, of OpenAI's protocol; the key is in OPENAI_API_KEY"
    preference.add_argument("--endpoint", metavar="URL", help=about)
    preference.add_argument("--model", metavar="M", help="which chat model is asked there")
    about = "keep its answers in this file, and ask for none that is there (default: D/answers.jsonl)"
    preference.add_argument("--cache", metavar="FILE", help=about)
    about = "judge by the reward model in this folder"
    preference.add_argument("--reward-model", metavar="FOLDER", help=about)
    about = "are probabilities of answers as often right as they say?"
    calibration = _metric(commands, "calibration", about, "FILE.csv", "superhf2023")
    calibration.add_argument("--bins", type=a_count, default=10, metavar="N", help="default: 10")


def _metric(commands: Any, name: str, about: str, file: str, paper: str = "") -> Parser:
    command = add_command(commands, name, f"commands_metrics:{name}", about)
    command.add_argument("file", metavar=file, help="docs/metrics.md tells its columns")
    about = "one table for each value of this column (default: method, if there is one)"
    command.add_argument("--group", metavar="COLUMN", help=about)
    if paper:
        about = f"this paper's variants beside ours, defects included: {paper}"
        command.add_argument("--compat", metavar="PAPER", choices=(paper,), default="", help=about)
    command.add_argument(
        "--seed", type=a_seed, default=0, help="of resamples and of pairs drawn (default: 0)"
    )
    command.add_argument("--out", metavar="D", help="write table and picture here: CSV, PNG and PDF")
    return command
