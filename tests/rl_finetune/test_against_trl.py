"""One plain SGD step of TRL's own trainers on the same batch: the same change of every parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models import LanguageModel
from models.answers import prompt_ids
from rl_finetune import Settings
from tasks import Task
from tests.rl_finetune.conftest import source_for

PROMPTS = ["a b c ?", "b c d a c b a ?", "c c ?", "d a b b ?"]
CHOSEN = ["amber", "birch amber", "birch", "amber"]
REJECTED = ["birch", "amber", "amber coral birch", "coral"]
BETA, RATE = 0.3, 1.0


def ours(lm: LanguageModel, reference: LanguageModel, task: Task, name: str, rows: Any) -> torch.Tensor:
    """Minus the rate times the gradient of our loss."""
    prompts, texts, rewards = rows
    source = source_for(lm, reference, task, name, Settings(answers="free", beta=BETA), 1)
    ids, again = prompt_ids(lm, prompts), source.policy.write(texts)
    scored = source.policy.score(lm.model, ids, again)
    drawn = source.held(ids, again, torch.tensor(rewards), scored)
    gradients = torch.autograd.grad(source.loss(drawn, scored), list(lm.model.parameters()))
    return -RATE * torch.cat([g.flatten() for g in gradients])


def theirs(
    lm: LanguageModel, reference: LanguageModel, trainer: Any, config: Any, rows: Any, out: Path, **more: Any
) -> torch.Tensor:
    """Change of the parameters after one step of the trainer on the whole batch, in order."""
    from datasets import Dataset

    lm.model.save_pretrained(out / "model")
    reference.model.save_pretrained(out / "reference")
    load = type(lm.model).from_pretrained
    model, other = load(out / "model"), load(out / "reference")
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    arguments = config(
        output_dir=str(out),
        per_device_train_batch_size=len(rows["prompt"]),
        max_steps=1,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        beta=BETA,
        use_cpu=True,
        bf16=False,
        disable_dropout=True,
        gradient_checkpointing=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )
    made = trainer(
        model=model,
        ref_model=other,
        args=arguments,
        train_dataset=Dataset.from_dict(rows),
        processing_class=lm.tokenizer,
    )
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "loss"), [("dpo", "sigmoid"), ("ipo-per-token", "ipo")])
def test_pairs(
    both: tuple[LanguageModel, LanguageModel], task: Task, name: str, loss: str, tmp_path: Path
) -> None:
    from trl import DPOConfig, DPOTrainer

    lm, reference = both
    pairs = [[c, r] for c, r in zip(CHOSEN, REJECTED, strict=True)]
    found = ours(lm, reference, task, name, (PROMPTS, pairs, [[1.0, 0.0]] * 4))
    rows = {
        "prompt": PROMPTS,
        "chosen": [" " + c for c in CHOSEN],
        "rejected": [" " + r for r in REJECTED],
    }
    expected = theirs(lm, reference, DPOTrainer, DPOConfig, rows, tmp_path, loss_type=loss)
    assert relative(found, expected) < 1e-5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("swapped", [False, True])  # in one of them the KL that it estimates is above 0
def test_kto(both: tuple[LanguageModel, LanguageModel], task: Task, tmp_path: Path, swapped: bool) -> None:
    from trl import KTOConfig, KTOTrainer

    lm, reference = both[::-1] if swapped else both
    said, desirable = [CHOSEN[0], REJECTED[1], REJECTED[2], CHOSEN[3]], [True, False, False, True]
    rewards = [[float(d)] for d in desirable]
    found = ours(lm, reference, task, "kto", (PROMPTS, [[s] for s in said], rewards))
    rows = {"prompt": PROMPTS, "completion": [" " + s for s in said], "label": desirable}
    expected = theirs(lm, reference, KTOTrainer, KTOConfig, rows, tmp_path)
    assert relative(found, expected) < 1e-5
