"""Tuned together as alone: each policy has its own draws, gradient, log and end, whoever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from models import LanguageModel
from models.passes import compiled
from models.stacked import can_stack, share_weights, stacked
from models.train import Diverged
from rl_finetune import METHODS, Settings, Tuned, finetune, get_method
from rl_finetune.batches import others
from rl_finetune.replicas import _Stack, tune_together
from rl_finetune.tuning import Tuning
from tasks import Evidence, Task, UserError, get_task

SHORT = Settings(steps=4, batch_size=16, log_points=2, learning_rate=1e-4)
CELLS = ((0, 0.5), (1, 0.25), (2, 0.0))
"""Seed and evidence."""
OTHER = "symbolic/contains-1-vs-first-class"


def given(
    lm: LanguageModel, method: str, settings: Settings = SHORT, control: str = "", other: str = ""
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What tunings of the cells are given; the last may be on another task."""
    found = []
    for seed, rate in CELLS:
        name = other if other and seed == 2 else "symbolic/first-class-vs-coin"
        task = get_task(name).for_seed(seed)
        rows = task.mixture(Evidence("symmetric", rate), settings.rows, np.random.default_rng(seed))
        asked = {"both": task.quadrant("both", 32, np.random.default_rng(9), "validation").to_dict()}
        options = {"seed": seed, "control": control, "log_rows": asked}
        found.append(((lm, task, rows.to_dict(), get_method(method), settings), options))
    return found


def both(lm: LanguageModel, method: str, *asked: Any) -> tuple[list[Tuned], list[Tuned]]:
    """Policies tuned alone, and the same tuned together."""
    cells = given(lm, method, *asked)
    alone = [finetune(*cell, **options) for cell, options in cells]
    together = tune_together([Tuning(*cell, **options) for cell, options in cells])
    return alone, [tuned for tuned in together if isinstance(tuned, Tuned)]


def weights(tuned: Tuned) -> Tensor:
    return nn.utils.parameters_to_vector(tuned.lm.model.parameters()).detach()


def assert_same(alone: Sequence[Tuned], together: Sequence[Tuned], atol: float = 1e-4) -> None:
    for one, other in zip(alone, together, strict=True):
        assert other.stacked == len(alone)
        torch.testing.assert_close(weights(other), weights(one), atol=atol, rtol=0)
        assert other.reward == one.reward or (np.isnan(one.reward) and np.isnan(other.reward))
        for row, same in zip(other.log, one.log, strict=True):
            assert row == pytest.approx(same, abs=1e-4, nan_ok=True)


TRAINED = sorted(name for name, method in METHODS.items() if method.trains)


@pytest.mark.parametrize("method", TRAINED)
def test_each_policy_ends_where_it_would_alone(lm: LanguageModel, method: str) -> None:
    assert_same(*both(lm, method, replace(SHORT, beta=0.1)))


@pytest.mark.parametrize(
    ("settings", "control", "other"),
    [
        (replace(SHORT, samples_from="reference"), "", ""),
        (replace(SHORT, beta=0.1, kl_in="loss", kl_estimator="exact"), "random_reward", ""),
        (replace(SHORT, beta=0.1, kl_target=0.01, reuse=2), "shuffled_labels", ""),
        (replace(SHORT, bf16=True), "", OTHER),
        (SHORT, "", OTHER),
    ],
    ids=["pool", "loss", "adapted", "bf16", "tasks"],
)
def test_so_it_does_under_settings_controls_and_another_task(
    lm: LanguageModel, settings: Settings, control: str, other: str
) -> None:
    rough = 10 * SHORT.steps * SHORT.learning_rate if settings.bf16 else 1e-4
    assert_same(*both(lm, "rloo", settings, control, other), atol=rough)


def test_who_stands_beside_a_policy_changes_nothing_in_it(lm: LanguageModel) -> None:
    cells = given(lm, "rloo")
    three = tune_together([Tuning(*cell, **options) for cell, options in cells])
    two = tune_together([Tuning(*cell, **options) for cell, options in cells[1:]])
    kept = [replace(t, stacked=2) for t in three[1:] if isinstance(t, Tuned)]
    assert_same([t for t in two if isinstance(t, Tuned)], kept)


@pytest.mark.parametrize(("ill", "told"), [("loss", "loss nan"), ("weights", "probabilities are NaN")])
def test_one_that_diverges_stops_alone_and_says_where(lm: LanguageModel, ill: str, told: str) -> None:
    """By its loss, and before its draws by probabilities that are no numbers."""
    cells = given(lm, "rloo")
    alone = [finetune(*cell, **options) for cell, options in cells]
    tunings = [Tuning(*cell, **options) for cell, options in cells]
    seen: list[int] = []
    loss = tunings[1].loss

    def spoilt(batch: range, step: int) -> Tensor:
        seen.append(step)
        value: Tensor = loss(batch, step)
        return value * torch.nan if step == 2 and ill == "loss" else value

    def spoil(step: int, now: LanguageModel) -> None:
        if step == 1 and ill == "weights":
            with torch.no_grad():
                next(now.model.parameters()).fill_(torch.nan)

    tunings[1].loss, tunings[1].observe = spoilt, spoil  # type: ignore[method-assign]
    first, end, last = tune_together(tunings)
    assert isinstance(end, Diverged)
    assert told in str(end)
    assert "at step 2 of 4" in str(end)
    assert max(seen) == 2
    assert isinstance(first, Tuned)
    assert isinstance(last, Tuned)
    assert_same([alone[0], alone[2]], [replace(t, stacked=2) for t in (first, last)])


def test_when_all_diverge_all_say_so(lm: LanguageModel) -> None:
    wild = replace(SHORT, learning_rate=1e30, steps=8)
    ends = tune_together([Tuning(*cell, **options) for cell, options in given(lm, "sft", wild)])
    assert all(isinstance(end, Diverged) for end in ends)


def test_gradients_are_clipped_by_each_ones_own_norm(lm: LanguageModel) -> None:
    """A policy with a gradient of a million times another's does not shorten the other's."""
    cells = given(lm, "sft", replace(SHORT, steps=1, log_points=0))
    tunings = [Tuning(*cell, **options) for cell, options in cells]
    loss = tunings[0].loss
    tunings[0].loss = lambda batch, step: 1e6 * loss(batch, step)  # type: ignore[method-assign]
    grads: list[Tensor] = []
    whole: list[Any] = []
    kept = torch.optim.AdamW.step

    def step(self: Any, *rest: Any) -> Any:
        grads.extend(p.grad.flatten(1) for p in self.param_groups[0]["params"] if p.grad is not None)
        whole.append(kept(self, *rest))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        tune_together(tunings)
    norms = torch.cat(grads, dim=1).norm(dim=1)
    assert norms[0] == pytest.approx(1, abs=1e-3)
    assert 1e-2 < norms[1] <= 1 + 1e-3


def models(kind: str) -> list[Any]:
    size = {"vocab_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    found: list[Any] = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(3):
            torch.manual_seed(seed)
            if kind == "gpt2":
                config: Any = GPT2Config(vocab_size=24, n_positions=16, n_embd=32, n_layer=1, n_head=2)
                found.append(GPT2LMHeadModel(config).eval())
            else:
                config = GPTNeoXConfig(hidden_size=32, intermediate_size=64, **size)
                found.append(GPTNeoXForCausalLM(config).eval())
    return found


@pytest.mark.parametrize("kind", ["gpt2", "neox"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_stack_says_what_its_models_say(kind: str, padded: bool) -> None:
    each = models(kind)
    whole = stacked(each)
    ids = torch.randint(24, (3, 4, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    if padded:
        mask[:, 1, :3] = 0
    said = whole(input_ids=ids.flatten(0, 1), attention_mask=mask.flatten(0, 1), use_cache=False).logits
    for model, one, rows, inside in zip(each, said.view(3, 4, 7, 24), ids, mask, strict=True):
        own = model(input_ids=rows, attention_mask=inside, use_cache=False).logits
        torch.testing.assert_close(one[inside.bool()], own[inside.bool()], atol=1e-5, rtol=1e-4)


def test_each_is_told_of_its_own_rows_and_of_them_after_other_prompts(lm: LanguageModel) -> None:
    tunings = [Tuning(*cell, **options) for cell, options in given(lm, "kto", replace(SHORT, beta=0.1))]
    plain = [tuning.policy for tuning in tunings]
    _Stack(tunings).begin(range(16))
    for tuning, policy in zip(tunings, plain, strict=True):
        ids = tuning.data.part(range(16)).ids
        said = tuning.policy.write([[policy.words[i % 2]] for i in range(16)])  # type: ignore[attr-defined]
        for model in (tuning.source.model, lm.model):
            for rows in (ids, others(ids)):
                own = policy.score(model, rows, said).log_probs
                torch.testing.assert_close(tuning.policy.score(model, rows, said).log_probs, own)


def test_in_the_end_each_has_weights_of_its_own(lm: LanguageModel) -> None:
    for tuned in tune_together([Tuning(*cell, **options) for cell, options in given(lm, "sft")]):
        assert isinstance(tuned, Tuned)
        for parameter in tuned.lm.model.parameters():
            assert parameter.untyped_storage().nbytes() == parameter.numel() * parameter.element_size()


def test_weights_that_are_shared_move_with_the_stack() -> None:
    each = models("gpt2")
    whole = stacked(each)
    share_weights(whole, each)
    with torch.no_grad():
        whole.transformer.wte.weight[1] += 1
    assert torch.equal(each[1].lm_head.weight, whole.lm_head.weight[1])
    assert torch.equal(each[1].transformer.wte.weight, each[1].lm_head.weight)
    assert sum(p.numel() for p in whole.parameters()) == 3 * sum(p.numel() for p in each[0].parameters())


def test_what_cannot_be_stacked_is_refused_in_a_line(lm: LanguageModel, other: LanguageModel) -> None:
    assert not can_stack(other.model)
    free = replace(SHORT, answers="free")
    changed = Settings(**{**vars(SHORT), "batch_size": 8})
    for (cell, options), word in (
        (given(other, "rloo")[0], "cannot be stacked"),
        (given(lm, "rloo", free)[0], "answers=constrained"),
    ):
        with pytest.raises(UserError, match=word):
            tune_together([Tuning(*cell, **options)])
    ones = [Tuning(*cell, **options) for cell, options in given(lm, "rloo")[:1]]
    ones += [Tuning(*cell, **options) for cell, options in given(lm, "rloo", changed)[1:]]
    with pytest.raises(UserError, match="one model, method and settings"):
        tune_together(ones)


def test_a_twin_shares_weights_and_leaves_the_model_as_it_is(lm: LanguageModel) -> None:
    twin = compiled(lm.model)
    own = {id(p) for p in lm.model.parameters()}
    assert {id(p) for p in twin.parameters()} == own
    assert twin.base_model is not lm.model.base_model
    assert "forward" not in vars(lm.model.base_model)


def test_mixed_precision_rounds_the_tuning_and_not_the_weights(lm: LanguageModel, task: Task) -> None:
    rows = given(lm, "sft")[0][0][2]
    plain, mixed = (
        finetune(lm, task, rows, get_method("sft"), replace(SHORT, bf16=bf16), seed=0)
        for bf16 in (False, True)
    )
    assert mixed.lm.model.dtype == torch.float32
    gap = (weights(mixed) - weights(plain)).abs().max()
    assert 0 < gap < 4 * SHORT.steps * SHORT.learning_rate


def test_a_compiled_policy_learns_the_same_alone_and_in_a_stack(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for any compiler, and run without one."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    plain = [finetune(*cell, **options) for cell, options in given(lm, "rloo")]
    cells = given(lm, "rloo", replace(SHORT, compile=True))
    alone = finetune(*cells[0][0], **cells[0][1])
    assert alone.compile_s > 0 == plain[0].compile_s
    assert_same(plain[:1], [alone])
    together = tune_together([Tuning(*cell, **options) for cell, options in cells])
    assert_same(plain, [tuned for tuned in together if isinstance(tuned, Tuned)])
    assert "forward" not in vars(alone.lm.model.base_model)
