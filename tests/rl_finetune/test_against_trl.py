"""One plain SGD step of TRL's own trainers on the same batch: the same change of every parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models import LanguageModel
from models.answers import prompt_ids
from rl_finetune import Settings
from rl_finetune.trl_trainers import save_without_dropout, trainer_of
from tasks import Task
from tests.rl_finetune.conftest import source_for

PROMPTS = ["a b c ?", "b c d a c b a ?", "c c ?", "d a b b ?"]
CHOSEN = ["amber", "birch amber", "birch", "amber"]
REJECTED = ["birch", "amber", "amber coral birch", "coral"]
BETA, RATE = 0.3, 1.0

pytestmark = pytest.mark.filterwarnings("ignore")


def ours(
    lm: LanguageModel, reference: LanguageModel, task: Task, name: str, rows: Any, **knobs: Any
) -> torch.Tensor:
    """Minus the rate times the gradient of our loss. Answers are texts, or token ids as they are."""
    prompts, answers, rewards = rows
    settings = Settings(answers="free", **{"beta": BETA, **knobs})
    source = source_for(lm, reference, task, name, settings, 1)
    said = isinstance(answers[0][0], str)
    ids, again = prompt_ids(lm, prompts), source.policy.write(answers) if said else answers
    scored = source.policy.score(lm.model, ids, again)
    drawn = source.held(ids, again, torch.tensor(rewards), scored)
    gradients = torch.autograd.grad(source.loss(drawn, scored), list(lm.model.parameters()))
    return -RATE * torch.cat([g.flatten() for g in gradients])


def theirs(
    lm: LanguageModel,
    reference: LanguageModel,
    name: str,
    rows: Any,
    out: Path,
    generated: list[list[int]] | None = None,
    reward: Any = None,
    **knobs: Any,
) -> torch.Tensor:
    """Change of the parameters after one step of the backend's trainer on the whole batch, in order."""
    save_without_dropout(reference.model, lm.tokenizer, out / "reference")
    settings = Settings(
        steps=1,
        batch_size=len(PROMPTS),
        samples_per_prompt=len(generated or PROMPTS) // len(PROMPTS),
        learning_rate=RATE,
        **{"beta": BETA, "answers": "free", "backend": "trl", "entropy_bonus": 0.0, **knobs},
    )
    made = trainer_of(
        name,
        out / "reference",
        out,
        lm.tokenizer,
        rows,
        settings,
        beta=settings.beta,
        most=8,
        reward=reward,
        optim="sgd",
        max_grad_norm=0.0,
    )
    if generated is not None:  # in the place of what the model would sample
        both = (generated, None) if name == "grpo" else generated
        made._generate_single_turn = lambda *_: both
    model = made.model
    model.load_state_dict(lm.model.state_dict())
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    made.train()
    return torch.cat([p.detach().flatten() for p in model.parameters()]) - before


@pytest.fixture
def both(lm: LanguageModel, peaked: LanguageModel) -> tuple[LanguageModel, LanguageModel]:
    """The reference is another model, so that its log-ratios matter."""
    with torch.no_grad():
        for p, q in zip(lm.model.parameters(), peaked.model.parameters(), strict=True):
            q.copy_(p + 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return lm, peaked


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_demonstrations(both: tuple[LanguageModel, LanguageModel], task: Task, tmp_path: Path) -> None:
    lm, reference = both
    found = ours(lm, reference, task, "sft", (PROMPTS, [[c] for c in CHOSEN], [[0.0]] * 4), beta=0.0)
    rows = {"prompt": PROMPTS, "completion": [" " + c for c in CHOSEN]}
    expected = theirs(lm, reference, "sft", rows, tmp_path, beta=0.0)
    tokens = sum(len(c.split()) + 1 for c in CHOSEN)  # its mean is over tokens, ours over answers
    assert relative(found, expected * tokens / len(CHOSEN)) < 1e-5


@pytest.mark.parametrize("name", ["dpo", "ipo-per-token"])
def test_pairs(both: tuple[LanguageModel, LanguageModel], task: Task, name: str, tmp_path: Path) -> None:
    lm, reference = both
    pairs = [[c, r] for c, r in zip(CHOSEN, REJECTED, strict=True)]
    found = ours(lm, reference, task, name, (PROMPTS, pairs, [[1.0, 0.0]] * 4))
    rows = {
        "prompt": PROMPTS,
        "chosen": [" " + c for c in CHOSEN],
        "rejected": [" " + r for r in REJECTED],
    }
    assert relative(found, theirs(lm, reference, name, rows, tmp_path)) < 1e-5


@pytest.mark.parametrize("swapped", [False, True])  # in one of them the KL that it estimates is above 0
def test_kto(both: tuple[LanguageModel, LanguageModel], task: Task, tmp_path: Path, swapped: bool) -> None:
    """A batch is its better answers and then its worse ones, as the backend writes its rows."""
    lm, reference = both[::-1] if swapped else both
    pairs = [[c, r] for c, r in zip(CHOSEN, REJECTED, strict=True)]
    found = ours(lm, reference, task, "kto", (PROMPTS, pairs, [[1.0, 0.0]] * 4))
    rows = {
        "prompt": PROMPTS * 2,
        "completion": [" " + said for said in (*CHOSEN, *REJECTED)],
        "label": [True] * 4 + [False] * 4,
    }
    assert relative(found, theirs(lm, reference, "kto", rows, tmp_path)) < 1e-5


REWARDS = [[1.0, 0.0, 0.25], [0.5, 0.75, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, -2.0]]
THIRD = ["coral", "birch", "birch birch", "amber"]


@pytest.mark.parametrize(
    ("name", "tokens", "knobs"),
    [
        ("rloo", 0, {"beta": 0.0}),
        ("rloo", 0, {"beta": BETA}),
        ("grpo", 0, {"beta": 0.0}),
        # TRL's KL is by tokens: that of a whole answer where this is one token.
        ("grpo", 1, {"beta": BETA, "kl_in": "loss", "kl_estimator": "k2"}),
        ("grpo", 1, {"beta": BETA, "kl_in": "loss", "kl_estimator": "k3"}),
    ],
)
def test_on_policy(
    both: tuple[LanguageModel, LanguageModel],
    task: Task,
    name: str,
    tokens: int,
    knobs: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Its logged loss is 0 whatever the rewards, and the parameters move all the same."""
    lm, reference = both
    texts = [list(three) for three in zip(CHOSEN, REJECTED, THIRD, strict=True)]
    source = source_for(lm, reference, task, name, Settings(answers="free"), 1)
    answers = [[ids[: tokens or None] for ids in row] for row in source.policy.write(texts)]
    flat = [value for row in REWARDS for value in row]

    def reward(prompts: list[str], **_: Any) -> list[float]:
        assert prompts == [p for p in PROMPTS for _ in range(3)]
        return flat

    found = ours(lm, reference, task, name, (PROMPTS, answers, REWARDS), **knobs)
    rows = {"prompt": PROMPTS, "label": [0] * 4}
    generated = [ids for row in answers for ids in row]
    expected = theirs(lm, reference, name, rows, tmp_path, generated, reward, **knobs)
    assert expected.norm() > 1e-3
    assert relative(found, expected) < 1e-5
