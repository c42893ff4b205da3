"""What a run on a text problem leaves behind: a row for each point along it, every column documented here."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.schema import Identity, count, number, text


@dataclass(frozen=True, kw_only=True)
class TextRecord(Identity):
    """What a policy writes after some steps of tuning; `task` names the problem, and there is no feature."""

    kind: str = text("always 'text'", "text")
    method: str = text("how it was tuned: dpo, rloo, ...")
    samples_from: str = text("policy, reference, demonstrations or pairs: who gave the answers")
    beta: float | None = number("weight of the KL to the reference, or what is in its place")
    kl_place: str = text("where that KL entered, its direction and estimator")
    learning_rate: float | None = number("peak learning rate")
    batch_size: int = count("prompts per batch")
    samples_per_prompt: int = count("completions per prompt")
    reuse: int = count("optimiser steps per batch", 1)
    seed_tune: int = count("seed of the tuning")
    step: int = count("optimiser steps taken; 0 for the reference")
    steps: int = count("optimiser steps of the whole run; the row with as many is its end")
    completions: int = count("completions that it was tuned on up to here")
    n: int = count("test prompts, of a completion each, that what follows is of")
    reward: float | None = number("mean gold reward, the problem's own")
    reward_low: float | None = number("lower end of its 95 % interval over completions")
    reward_high: float | None = number("upper end")
    reward_learned: float | None = number("mean reward by the reward model that it was tuned on")
    length: float | None = number("mean number of words of a completion")
    length_low: float | None = number("lower end of its 95 % interval over completions")
    length_high: float | None = number("upper end")
    length_q05: float | None = number("5 % quantile of the number of words")
    length_q50: float | None = number("median")
    length_q95: float | None = number("95 % quantile")
    lengths: str = text("JSON object: how many completions have each number of words")
    ended: int = count("completions that ended before the limit, of n")
    tokens: float | None = number("mean number of tokens of a completion, its end among them")
    kl_reverse: float | None = number("KL(policy || reference), nats a completion, exact at each token")
    entropy: float | None = number("entropy, nats a completion, exact at each token")
    log_prob_chosen: float | None = number("mean log-probability of held-out chosen completions, nats")
    log_prob_rejected: float | None = number("the same of the rejected ones")
    pairs: int = count("preference pairs that the reward model, and an offline method, learnt from")
    pairs_length: float | None = number("mean number of words of their completions")
    pairs_shortest: float | None = number("5 % quantile of the number of words of their completions")
    reference_mode: int = count("commonest number of words in the reference's completions")
    reward_model: str = text("hash of the weights of the reward model")
    agreed: int = count("held-out pairs that the reward model orders as the gold reward does")
    agreed_n: int = count("how many of those were asked")
    step_s: float | None = number("seconds an optimiser step, measuring left out")
    threads: int = count("threads of the run")
