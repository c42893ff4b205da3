"""Tunings of one shape done together: one stacked model is trained, and each loss is its own policy's.

The policies share no parameter, so that the gradient of the sum of their losses is each one's own, and AdamW
goes element by element. Rows, draws, clipping, log and divergence are each tuning's own; only the forward
passes are made for all at once. On a GPU a small model leaves the card idle, and a stack does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from models.answers import next_token_logits
from models.final_states import before_answers, reading
from models.passes import compiled, compiling, mixed_precision
from models.stacked import can_stack, share_weights, stacked
from models.train import Diverged, Groups, Optimisation, train
from rl_finetune.batches import others
from rl_finetune.policy import ConstrainedPolicy, Ids
from rl_finetune.tuning import Tuned, Tuning
from tasks.errors import UserError


def tune_together(tunings: Sequence[Tuning]) -> list[Tuned | Diverged]:
    """Tune as each tuning would be alone on the same device, within rounding; one that diverges stops, and
    the others go on.

    They start from one model and have the same method and settings (UserError); `step_s` is a tuning's share.
    """
    check_alike(tunings)
    stack = _Stack(tunings)
    first = tunings[0]
    critics = [t.source.critic for t in tunings if t.source.critic is not None]
    step_s = float("nan")
    with compiling() as spent:
        try:
            step_s = train(
                stack.model,
                first.batches(),
                stack.loss,
                steps=first.steps,
                optimisation=Optimisation(first.settings.learning_rate),
                observe=stack.after,
                beside=nn.ModuleList(critics) if critics else None,
                clip=stack.clip,
            )
        except Diverged:
            if len(stack.stopped) < len(tunings):
                raise
    stack.release()
    n = len(tunings)
    return [
        stack.stopped.get(i) or tuning.done(step_s / n, spent.spent / n, n)
        for i, tuning in enumerate(tunings)
    ]


def check_alike(tunings: Sequence[Tuning]) -> None:
    """Refuse tunings that are of no one shape."""
    first = tunings[0]
    for each in tunings:
        name = each.task.name
        if not isinstance(each.policy, ConstrainedPolicy):
            raise UserError(f"{name}: only policies with answers=constrained are tuned together")
        if each.prior.model is not each.lm.model:
            raise UserError(f"{name}: a KL to another model than the reference; tune it one by one")
        if any(len(answer) != 1 for answer in each.policy.candidates):
            raise UserError(f"{name}: an answer of several tokens; such policies are tuned one by one")
        if each.lm.model is not first.lm.model or (each.method, each.settings) != (
            first.method,
            first.settings,
        ):
            raise UserError(f"{name}: tuned together are policies of one model, method and settings")
    if not can_stack(first.lm.model):
        kind = type(first.lm.model).__name__
        raise UserError(f"{first.lm.name}: {kind} has layers that cannot be stacked; tune it one by one")


class _Lane(ConstrainedPolicy):
    """The policy of one tuning, whose passes are made for all of the stack."""

    def __init__(self, policy: ConstrainedPolicy, stack: _Stack, number: int) -> None:
        self.bf16, self.words, self.candidates = policy.bf16, policy.words, policy.candidates
        self._stack, self._number = stack, number

    def _asked(self, model: Any, prompts: Ids) -> tuple[Tensor, Tensor]:
        return self._stack.asked(self._number, model, prompts)


class _Stack:
    def __init__(self, tunings: Sequence[Tuning]) -> None:
        self.tunings = tunings
        self.model = stacked([t.tuned.model for t in tunings])
        share_weights(self.model, [t.tuned.model for t in tunings])
        first = tunings[0].source
        self._policies = compiled(self.model) if tunings[0].settings.compile else self.model
        self._reference = first.reference
        self._own = [t.source.model for t in tunings]
        policies = [t.policy for t in tunings if isinstance(t.policy, ConstrainedPolicy)]
        self._bf16 = policies[0].bf16
        device = self.model.device
        self._words = torch.tensor([[a for (a,) in p.candidates] for p in policies], device=device)[:, None]
        for i, tuning in enumerate(tunings):
            lane = _Lane(policies[i], self, i)
            tuning.policy = lane
            tuning.source = replace(tuning.source, policy=lane)
        self.stopped: dict[int, Diverged] = {}
        self._values: list[float] = []
        self._ids: list[Ids] = []
        self._known: dict[tuple[bool, bool, bool], list[tuple[Tensor, Tensor]]] = {}

    def loss(self, batch: range, step: int) -> Tensor:
        """The loss of each tuning [tunings]; 0 of those that have stopped."""
        self.begin(batch)
        values = [self._loss(i, batch, step) for i in range(len(self.tunings))]
        self._go_on()
        self._known = {}
        return torch.stack(values)

    def begin(self, batch: range) -> None:
        """A step of which nothing has been asked yet."""
        self._ids, self._known = [t.data.part(batch).ids for t in self.tunings], {}

    def _loss(self, i: int, batch: range, step: int) -> Tensor:
        if i not in self.stopped:
            try:
                return self.tunings[i].loss(batch, step)
            except Diverged as e:
                self.stopped[i] = e
        return torch.zeros((), device=self.model.device)

    def asked(self, number: int, model: Any, prompts: Ids) -> tuple[Tensor, Tensor]:
        """Log-probabilities of a tuning's answers [rows, answers] and the states before them.

        The first that asks of a step has the pass made for all: their rows, or these moved on by one.
        """
        of_policy, moved = model is self._own[number], prompts != self._ids[number]
        asked = (of_policy, moved, torch.is_grad_enabled())
        if asked not in self._known:
            each = [others(ids) if moved else ids for ids in self._ids]
            self._known[asked] = self._pass(self._policies if of_policy else self._reference, each)
        return self._known[asked][number]

    def _pass(self, model: Any, each: Sequence[Ids]) -> list[tuple[Tensor, Tensor]]:
        rows = [prompt for ids in each for prompt in ids]
        with reading(model) as read, mixed_precision(model, self._bf16):
            said = next_token_logits(model, rows).log_softmax(-1)
        said = said.view(len(each), len(each[0]), -1)
        answers = said.gather(2, self._words.expand(-1, said.shape[1], -1)).log_softmax(-1)
        states = before_answers(model, read[0], rows).view(*said.shape[:2], -1)
        return list(zip(answers.unbind(), states.unbind(), strict=True))

    def clip(self, groups: Groups, most: float, values: Tensor, where: str) -> None:
        """Each tuning's gradient by its own norm. The weights of one that is no number are left to it."""
        grads = [p.grad for p in groups[0] if p.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
        shorter = (most / (norms + 1e-6)).clamp(max=1.0)
        for g in grads:
            g.mul_(shorter.view(-1, *[1] * (g.dim() - 1)))
        told = torch.stack([values, norms], dim=1).tolist()
        for i, tuning in enumerate(self.tunings):
            if i in self.stopped:
                continue
            value, *own = told[i]
            if tuning.source.critic is not None:
                own.append(float(nn.utils.clip_grad_norm_(tuning.source.critic.parameters(), most)))
            if not all(map(math.isfinite, (value, *own))):
                self.stopped[i] = Diverged(f"loss {value} and gradient norm {max(own)} at {where}")
        self._values = [value for value, _ in told]
        self._go_on()

    def _go_on(self) -> None:
        if len(self.stopped) == len(self.tunings):
            raise Diverged("all")

    def after(self, step: int, _: float) -> None:
        for i, tuning in enumerate(self.tunings):
            if i not in self.stopped:
                tuning.after(step, self._values[i])

    def release(self) -> None:
        """Let each policy have weights of its own."""
        for tuning in self.tunings:
            for parameter in tuning.tuned.model.parameters():
                parameter.data = parameter.data.clone()
