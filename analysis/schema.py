"""What one run and one probe leave behind: flat rows of plain values, every column documented here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
"""Raised whenever a column changes its meaning; a reader refuses what is newer than itself."""
OLDEST = 1
"""The first schema whose columns mean what they do now. Columns that came since have `earlier` values."""


def _column(doc: str, default: Any) -> Any:
    return field(default=default, metadata={"doc": doc})


def later(column: Any, default: Any) -> Any:
    """A column that earlier records lack; what it holds for them is given."""
    return field(default=column.default, metadata={**column.metadata, "earlier": default})


def text(doc: str, default: str = "") -> Any:
    return _column(doc, default)


def count(doc: str, default: int = 0) -> Any:
    return _column(doc, default)


def number(doc: str) -> Any:
    return _column(doc + "; None where it was not measured", None)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What every row says about the model, the data and the pair it is about."""

    schema: int = count("version of this schema", SCHEMA)
    kind: str = text("'run' or 'probe'")
    key: str = text("hash of everything that can change the result; the name of the record's folder")
    study: str = text("name of the study")
    status: str = text("'ok' or 'failed'", "ok")
    error: str = text("why it failed, one line; empty when it did not")
    model: str = text("Hub name, folder, or embedded/<recipe>")
    revision: str = text("revision of the model, as it was named; empty for the hub's own choice")
    dtype: str = later(text("type of the weights: float32 or bfloat16", "float32"), "float32")
    device: str = later(text("what the model was on: cpu, cuda or mps; empty: not told"), "")
    trust_remote_code: bool = later(_column("whether code that comes with the model could run", False), False)
    init: str = text("'pretrained', or 'random' for the same architecture with untrained weights")
    dial: str = text("setting of the pre-training corpus, e.g. 'a' or 'b'; empty when the model has none")
    weights_hash: str = text("hash of the reference's weights: equal hashes, same model")
    data_hash: str = text("hash of the rows")
    config_hash: str = text("hash of the configuration")
    task: str = text("name of the pair, e.g. symbolic/first-last-vs-contains-2")
    target: str = text("target feature")
    spurious: str = text("spurious feature")
    target_family: str = text("family of the target feature")
    spurious_family: str = text("family of the spurious feature")
    others: str = later(text("further spurious features, separated by spaces; empty for a pair"), "")
    seed_data: int = count("seed of the rows")
    wall_s: float | None = number("wall time, seconds")
    versions: str = text("library versions, one string")
    started: str = text("ISO time of the start")


@dataclass(frozen=True, kw_only=True)
class RunRecord(Identity):
    """One fine-tuning run. Rates are stored as k of n: `errors_*` of `n_*`, greedy answers."""

    kind: str = text("always 'run'", "run")
    arm: str = text("main, random_init, swapped, one_sided, random_reward, shuffled_labels", "main")
    third_feature: str = text("the other catalogue feature that best tells both from neither")
    third_accuracy: float | None = number("its accuracy, 0.5 to 1")
    evidence_kind: str = text("symmetric, one_sided or one_sided_balanced")
    evidence_rate: float | None = number("share of rows in which the features disagree, 0 to 1")
    evidence_k: int = count("tuning rows in which the features disagree")
    evidence_n: int = count("tuning rows")
    evidence_mi: float | None = number("mutual information of spurious feature and label, bits")
    label_prior: float | None = number("share of tuning rows with label 1")
    evidence_noise: float | None = later(
        number("share of tuning rows asked for whose label is not the target's"), 0.0
    )
    evidence_others: str = later(
        text(
            "for each further spurious feature the share of rows asked for in which it disagrees with the "
            "target, separated by spaces; evidence_rate for those not given"
        ),
        "",
    )
    evidence_flipped: int = later(count("tuning rows whose label is not the target's, of evidence_n"), 0)
    evidence_mi_target: float | None = later(number("mutual information of target and label, bits"), None)
    bayes_accuracy: float | None = later(
        number("best accuracy on the tuning labels of any rule that reads the features"), None
    )
    distinct_counterexamples: int = count("different counter-examples among the tuning rows")
    exposures: int = count("times a counter-example was shown")
    method: str = text("how it was tuned: sft, rloo, ...")
    answers: str = text("'constrained' to the answer words or 'free'", "constrained")
    control: str = text("'', random_reward or shuffled_labels")
    seed_pretrain: int = count("seed of the pre-training")
    seed_warmup: int = count("seed of the format warm-up")
    seed_tune: int = count("seed of the tuning")
    episodes: int = count("prompts seen while tuning")
    steps: int = count("batches, each of `reuse` optimiser steps")
    batch_size: int = count("prompts per batch")
    samples_per_prompt: int = count("sampled answers per prompt")
    learning_rate: float | None = number("peak learning rate")
    beta: float | None = later(number("weight of the KL to the reference, or what is in its place"), None)
    beta_last: float | None = later(number("the same at the end of the tuning"), None)
    kl_target: float | None = later(number("nats that beta was adapted to; 0 where it was fixed"), None)
    kl: str = later(text("where that KL entered, its direction and estimator"), "")
    samples_from: str = later(text("policy, reference, demonstrations or pairs: who gave the answers"), "")
    reuse: int = later(count("optimiser steps per batch", 1), 1)
    reward_role: str = later(
        text(
            "what the method does with the reward: none, advantage, weight, filter or pair; empty: not told"
        ),
        "",
    )
    negative_gradient: bool = later(_column("whether the method can push answers down", False), False)
    backend: str = later(
        text("whose training loop: 'native', or 'trl' for TRL's trainers", "native"), "native"
    )
    lora: int = later(count("rank of LoRA's adapters; 0 where all weights were tuned"), 0)
    processes: int = later(count("processes that a batch was split over", 1), 1)
    resumed_from_step: int = later(
        count("step at which a killed run was taken up again; 0 for one that was not"), 0
    )
    n_both: int = count("test rows of the quadrant both")
    errors_both: int = count("wrong greedy answers among them")
    n_neither: int = count("test rows of the quadrant neither")
    errors_neither: int = count("wrong greedy answers among them")
    n_target_only: int = count("test rows of the quadrant target_only")
    errors_target_only: int = count("wrong greedy answers among them")
    n_spurious_only: int = count("test rows of the quadrant spurious_only")
    errors_spurious_only: int = count("wrong greedy answers among them")
    p_error_both: float | None = number("mean probability of a wrong answer on both")
    p_error_neither: float | None = number("the same on neither")
    p_error_target_only: float | None = number("the same on target_only")
    p_error_spurious_only: float | None = number("the same on spurious_only")
    ece_both: float | None = later(
        number("expected calibration error of the likeliest answer's probability, on both"), None
    )
    ece_neither: float | None = later(number("the same on neither"), None)
    ece_target_only: float | None = later(number("the same on target_only"), None)
    ece_spurious_only: float | None = later(number("the same on spurious_only"), None)
    ece_calibrated_both: float | None = later(
        number("what it would be on average in as many rows of both if the probabilities were right"), None
    )
    ece_calibrated_neither: float | None = later(number("the same on neither"), None)
    ece_calibrated_target_only: float | None = later(number("the same on target_only"), None)
    ece_calibrated_spurious_only: float | None = later(number("the same on spurious_only"), None)
    brier_both: float | None = later(number("Brier score on both, summed over the answers: 0 to 2"), None)
    brier_neither: float | None = later(number("the same on neither"), None)
    brier_target_only: float | None = later(number("the same on target_only"), None)
    brier_spurious_only: float | None = later(number("the same on spurious_only"), None)
    nll_both: float | None = later(
        number("-log probability of the right answer on both, nats; None beside a Brier score: infinite"),
        None,
    )
    nll_neither: float | None = later(number("the same on neither"), None)
    nll_target_only: float | None = later(number("the same on target_only"), None)
    nll_spurious_only: float | None = later(number("the same on spurious_only"), None)
    invalid: int = count("greedy answers outside the answer words, of n_answers")
    ones: int = count("greedy answers that say label 1, of n_answers")
    n_answers: int = count("greedy answers over all quadrants")
    U: float | None = number("use: 0 = target rule, 1 = spurious rule; learnt runs only")
    D: float | None = number("error on spurious_only minus error on target_only: +1 = OR, -1 = AND")
    B: float | None = number("mean error on both and neither")
    label: str = text("target, spurious, OR, AND, mixed, constant, unlearnt or unmeasured")
    U_probability: float | None = number("use from mean probabilities of wrong answers; learnt runs only")
    reliance_target: float | None = number("signed answer change per flip of the target, minus placebo")
    reliance_spurious: float | None = number("the same for the spurious feature")
    reliance_n: int = count("counterfactuals behind each reliance; the fewer of the two")
    reward_train: float | None = number("mean reward over the last tenth of the tuning")
    reward_both_neither: float | None = number("mean reward on test rows of both and neither")
    reached_step: int = later(
        count(
            "batches done at the first of two log points in a row with a mean reward of 0.95 on both and "
            "neither; 0: never reached"
        ),
        0,
    )
    reached_reward: float | None = later(number("mean reward on both and neither at these two"), None)
    reached_U: float | None = later(number("mean use on validation rows at these two"), None)
    kl_forward: float | None = number("KL(reference || policy), nats per answer")
    kl_reverse: float | None = number("KL(policy || reference), nats per answer")
    entropy: float | None = number("entropy of the policy's answers, nats per answer")
    seen_errors: int = count("wrong greedy answers on counter-examples of the tuning rows")
    seen_n: int = count("how many of those were asked")
    fresh_errors: int = count("wrong greedy answers on fresh counter-examples")
    fresh_n: int = count("how many of those were asked")
    reward_model: str = later(
        text("key of the record (or folder) of the reward model tuned on; empty for the gold reward"), ""
    )
    reward_model_U: float | None = later(
        number("use of that reward model on the same test rows, if it had learnt"), None
    )
    reward_learned: float | None = later(
        number("mean learned reward on test rows of both and neither; reward_both_neither is the gold one"),
        None,
    )
    ties: int = later(count("a reward model's pairs of equal reward, of evidence_n"), 0)
    half: int = later(count("1 or 2: half of the sources that its pairs are of; 0 for all of them"), 0)
    step_s: float | None = number("mean time of a step, seconds")
    precision: str = later(
        text("of the products of matrices while tuning: float32 or bfloat16; empty: not told", "float32"), ""
    )
    stacked: int = later(
        count("runs tuned together as one stacked model; step_s and wall_s are this one's shares", 1), 1
    )
    compile_s: float | None = later(number("seconds of compiling, a part of wall_s"), None)
    threads: int = count("threads of the run")


@dataclass(frozen=True, kw_only=True)
class ProbeRecord(Identity):
    """One feature probed on one pair's rows at one layer."""

    kind: str = text("always 'probe'", "probe")
    feature: str = text("the probed feature: the pair's target or its spurious feature")
    role: str = text("'target', 'spurious', or 'spurious_2' and so on: which of the task's features it is")
    family: str = text("its family")
    input: str = text("'model' for representations, 'raw' for the tokens themselves", "model")
    layer: int = count("layer; -1 is the last one, after the final norm", -1)
    site: str = text("position probed", "last_prompt")
    probe: str = text("kind of probe", "linear")
    step: int = later(count("steps of tuning that the probed policy had taken; 0 for a reference"), 0)
    U: float | None = later(number("use of that policy on validation rows, if it had learnt"), None)
    B: float | None = later(number("its mean error on both and neither of them"), None)
    n: int = count("labels the probe was given")
    seed_probe: int = count("seed of the probe")
    bits_per_label: float | None = number("extractability: code length mixed with a coin, bits per label")
    bits_total: float | None = number("the same, bits in total")
    bits_unmixed: float | None = number("code length without the coin, bits per label")
    orders: int = later(count("orders of the rows; bits and accuracy are means over them", 1), 1)
    bits_low: float | None = later(number("lower end of the 95 % interval over orders"), None)
    bits_high: float | None = later(number("its upper end"), None)
    control_mean: float | None = number("shuffled labels: mean bits per label")
    control_low: float | None = number("lower end of the control's interval")
    control_high: float | None = number("upper end of the control's interval")
    censored: bool = _column("not cheaper than the control's interval: bits are a lower bound at n", False)
    accuracy: float | None = number("accuracy on held-out rows, probe trained on all n")
    selectivity: float | None = number("accuracy minus the control's")
    converged: bool = _column("whether every fit converged", True)
    v_information: float | None = later(
        number("entropy of the labels minus their cost in the last block, bits per label"), None
    )
    labels_needed_low: float | None = later(
        number("labels seen up to which the probe still pays more than 0.5 bits a label"), None
    )
    labels_needed_high: float | None = later(
        number("labels seen when it first pays no more: with the one before, the reach of probe finetune"),
        None,
    )
    corpus_share: float | None = later(
        number("share of the documents read in pre-training in which the feature holds, if it is known"), None
    )
    compat: str = later(text("the paper whose definition gives the next column; empty for none"), "")
    compat_mdl: float | None = later(number("MDL by that definition, bits and nats added"), None)
    compat_n: int = later(count("labels that it is of"), 0)
    use_n: int = later(count("prompts asked with the feature erased from this state (LEACE)"), 0)
    use_changed: float | None = later(number("share of greedy answers that this changes"), None)
    use_changed_random: float | None = later(number("the same for random subspaces of equal rank"), None)
    use_conflict_error: float | None = later(number("error on the conflict quadrants meanwhile"), None)
    frozen_U: float | None = later(
        number(
            "share of conflict rows that a linear probe of this state, fitted on both and neither alone, "
            "answers by the spurious feature"
        ),
        None,
    )
    swap_n: int = later(count("pairs of prompts whose feature was swapped into this state"), 0)
    swap: float | None = later(number("mean change of p(label 1) towards the feature swapped in"), None)
    swap_random: float | None = later(number("the same for random subspaces of equal rank"), None)
    curve: str = text("JSON list of [n_train, n_eval, bits_probe, bits_mixed, correct], one per block")


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """Answers of one run on one cell of a task with several spurious features: a row of a long table."""

    key: str = text("key of the run")
    cell: str = text("quadrant and truths of the further spurious features, as in 'both 0 1'")
    target: int = count("truth of the target feature")
    spurious: int = count("truth of the spurious feature")
    others: str = text("truths of the further spurious features, separated by spaces")
    n: int = count("test rows")
    errors: int = count("wrong greedy answers among them")
    p_error: float | None = number("mean probability of a wrong answer")
    ones: int = count("greedy answers that say label 1")
    invalid: int = count("greedy answers outside the answer words")
    tuning_n: int = count("tuning rows of the cell")
    tuning_ones: int = count("those with label 1: a Bayes-optimal rule gives the label of most")
