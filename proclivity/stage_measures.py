"""What a stage measures: rewards, use, distances, diversity, hacking; as tables beside its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proclivity.stage_data import rows_of
from proclivity.stage_study import Measuring
from tasks.generation.generation import IN, Generation, Row
from tasks.generation.own import knows_entailment

if TYPE_CHECKING:
    from analysis.measured import Measured
    from models import LanguageModel
    from rl_finetune.writing import Writing

Rewards = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
Table = list[dict[str, Any]]
PAIRS = 500
"""Pairs of completions to different inputs whose METEOR similarity is measured."""
MARGINAL = 32
"""Inputs of which the marginal distribution of a policy is the mean."""


@dataclass(frozen=True)
class Asked:
    """What a policy is measured with."""

    problem: Generation
    reference: LanguageModel
    """The SFT model."""
    learned: Rewards | None
    held_out: Rewards | None
    seed: int
    """Of the prompts."""
    sampling: int
    """Seed of what is sampled."""


@dataclass(frozen=True)
class Answering:
    """A policy: a model, and of how many completions it gives the one of highest learned reward."""

    lm: LanguageModel
    best_of: int = 1


def outputs_of(
    answering: Answering, asked: Asked, rows: Sequence[Row], samples: int, shift: str
) -> tuple[Table, Writing]:
    """Completions of rows with their rewards, and the writing that they are of."""
    import torch

    from analysis.stage_schema import Output
    from rl_finetune.writing import at_once, written

    problem, prompts = asked.problem, [row.prompt for row in rows]
    generator = torch.Generator(device=answering.lm.model.device).manual_seed(asked.sampling)
    n = answering.best_of
    chunk = at_once(answering.lm, problem.most)
    writing = written(answering.lm, problem, prompts, n * samples, asked.reference.model, generator, chunk)
    if n > 1:
        assert asked.learned
        writing = _best(writing, prompts, asked.learned, n)
    flat = [(i, k, text) for i, row in enumerate(writing.texts) for k, text in enumerate(row)]
    said, after = [text for *_, text in flat], [prompts[i] for i, *_ in flat]
    follows = problem.follows(after, said) if problem.has_gold else ["neither"] * len(said)
    # With the reference answers in one call, so that equal texts have equal rewards.
    every = ([*after, *prompts], [*said, *(row.completion for row in rows)])
    gold, learned, held_out = (
        list(rewards(*every)) if rewards else [None] * len(every[0])
        for rewards in (problem.reward if problem.has_gold else None, asked.learned, asked.held_out)
    )
    of_reference, by_learned = gold[len(said) :], learned[len(said) :]
    log_prob = writing.log_prob.ravel()
    table = [
        asdict(
            Output(
                shift=shift,
                input=i,
                sample=k,
                prompt=prompts[i],
                completion=text,
                reference=rows[i].completion,
                words=len(text.split()),
                rule=follows[at],
                gold=gold[at],
                learned=learned[at],
                held_out=held_out[at],
                log_prob=None if n > 1 else float(log_prob[at]),
                reference_gold=of_reference[i],
                reference_learned=by_learned[i],
                conflict=int(rows[i].conflict),
            )
        )
        for at, (i, k, text) in enumerate(flat)
    ]
    return table, writing


def _best(writing: Writing, prompts: Sequence[str], learned: Rewards, n: int) -> Writing:
    """Of each n completions the one of the highest learned reward, the first of equals."""
    after = [prompt for prompt, row in zip(prompts, writing.texts, strict=True) for _ in row]
    said = [text for row in writing.texts for text in row]
    rewards = np.array(learned(after, said)).reshape(len(prompts), -1, n)
    places = rewards.argmax(axis=2) + n * np.arange(rewards.shape[1])
    texts = [[row[k] for k in chosen] for row, chosen in zip(writing.texts, places, strict=True)]
    ids = [[row[k] for k in chosen] for row, chosen in zip(writing.ids, places, strict=True)]
    parts = {
        name: np.take_along_axis(getattr(writing, name), places, axis=1)
        for name in ("log_prob", "kl", "entropy", "tokens", "ended")
    }
    return replace(writing, texts=texts, ids=ids, **parts)


def measures_of(
    outputs: Table, writing: Writing, answering: Answering, step: int, shift: str, seed: int
) -> Table:
    """Rewards, use, distance and hacking, each with its interval over inputs."""
    from analysis.measured import Measured
    from analysis.outputs.hacking import hacking
    from analysis.stage_schema import PER_INPUT

    found = [_mean(name, outputs, column) for name, column in _REWARDS.items()]
    conflicts = [row for row in outputs if row["conflict"]]
    for name, rule in (("use", "spurious"), ("target use", "target")):
        told = [{**row, "is": float(row["rule"] == rule)} for row in conflicts]
        found.append(_mean(name, told, "is"))
    if answering.best_of == 1:
        for name in ("kl", "entropy"):
            values = getattr(writing, name)
            rows = [{"input": i, "of": float(v)} for i, row in enumerate(values) for v in row]
            found.append(_mean("token entropy" if name == "entropy" else name, rows, "of"))
    else:  # Beirami et al. 2024: how far the best of n can be
        n = answering.best_of
        bound = float(np.log(n) - (n - 1) / n)
        found.append(
            Measured(measure="kl bound", scope=PER_INPUT, value=bound, n=len(writing.texts), outputs=0)
        )
    hacked = hacking(writing.texts, pairs=PAIRS, seed=seed)
    found += [
        replace(hacked[0], measure="meteor similarity"),
        *hacked[1:],
    ]  # exact + stem: no WordNet is given
    return [_row(each, step, shift) for each in found]


_REWARDS = {"gold": "gold", "learned": "learned", "held-out": "held_out"}


def diversity_of(
    answering: Answering, asked: Asked, rows: Sequence[Row], writing: Writing, step: int, shift: str
) -> Table:
    """How various completions are, per input and across inputs."""
    from analysis.outputs.diversity import diversity, vocabulary_of
    from analysis.outputs.encoders import states_encoder
    from rl_finetune.writing import mixture

    found = diversity(
        writing.texts,
        encode=states_encoder(asked.reference),
        nli=asked.problem.entailment if knows_entailment(asked.problem) else None,
        # Of a tokenizer of words all that it has; one of pieces could write more.
        vocabulary=max(len(answering.lm.tokenizer), vocabulary_of(writing.texts)),
        compat="kirk2024",
        seed=asked.seed,
    )
    if answering.best_of == 1:
        prompts, first = [row.prompt for row in rows[:MARGINAL]], [row[0] for row in writing.ids[:MARGINAL]]
        found += diversity(
            writing.texts[:MARGINAL],
            measures=["entropy", "marginal entropy", "information"],
            log_probs=writing.log_prob[:MARGINAL].tolist(),
            mixture=mixture(answering.lm, prompts, first).tolist(),
            seed=asked.seed,
        )
    return [_row(each, step, shift) for each in found]


def choices_of(lm: LanguageModel, problem: Generation, rows: Sequence[Row], shift: str) -> Table:
    """The policy's probabilities of the answers that a task's rules could give, right one first."""
    from analysis.stage_schema import Choice
    from rl_finetune.writing import log_probs_after

    asked = {i: row for i, row in enumerate(rows) if len(row.choices) > 1}
    if not asked:
        return []
    prompts, texts = zip(*((row.prompt, row.choices) for row in asked.values()), strict=True)
    table: Table = []
    for i, row in zip(asked, log_probs_after(lm, problem, prompts, texts), strict=True):
        shares = np.exp(np.array(row) - np.logaddexp.reduce(row))
        table += [
            asdict(Choice(shift=shift, input=i, choice=c, probability=float(p))) for c, p in enumerate(shares)
        ]
    return table


def inputs_of(asked: Asked, told: Measuring, shift: str) -> list[Row]:
    """The prompts that every policy of a data seed is measured on."""
    return rows_of(
        asked.problem, told.inputs, asked.seed, "inputs", split="test", evidence=told.conflicts, shift=shift
    )


def point(answering: Answering, asked: Asked, told: Measuring, step: int) -> Table:
    """Measures on the way, in distribution: one completion to each of the first prompts."""
    rows = inputs_of(asked, told, IN)[: told.along]
    outputs, writing = outputs_of(answering, asked, rows, 1, IN)
    return measures_of(outputs, writing, answering, step, IN, asked.seed)


def _mean(name: str, rows: Table, column: str) -> Measured:
    """A mean over completions; its interval is over inputs, which completions are of."""
    from analysis.measured import Measured
    from analysis.stage_schema import PER_INPUT

    values: dict[int, list[float]] = {}
    for row in rows:
        if row[column] is not None:
            values.setdefault(row["input"], []).append(row[column])
    means = np.array([np.mean(each) for each in values.values()])
    if not len(means):
        return Measured(measure=name, scope=PER_INPUT, value=None, left_out=len(rows))
    low, high = _interval(means)
    count = sum(map(len, values.values()))
    return Measured(
        measure=name,
        scope=PER_INPUT,
        value=float(means.mean()),
        low=low,
        high=high,
        n=len(means),
        outputs=count,
        left_out=len(rows) - count,
    )


def _interval(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """95 % for a mean: Student's t; Wilson's for a share of which all or none are; none of equal others."""
    from scipy.stats import t as student

    n, mean = len(values), float(values.mean())
    if n > 1 and values.std():
        half = float(student.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / n**0.5
        return mean - half, mean + half
    if mean in (0.0, 1.0):
        edge = 1.96**2 / (n + 1.96**2)
        return (0.0, edge) if mean == 0 else (1 - edge, 1.0)
    return None, None


def _row(found: Measured, step: int, shift: str) -> dict[str, Any]:
    from analysis.stage_schema import Measurement

    return asdict(Measurement(step=step, shift=shift, **asdict(found)))


def share(name: str, holds: Sequence[bool], step: int, shift: str) -> dict[str, Any]:
    """A share of inputs as a measurement."""
    rows = [{"input": i, "is": float(yes)} for i, yes in enumerate(holds)]
    return _row(_mean(name, rows, "is"), step, shift)
