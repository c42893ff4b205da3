"""What a policy answers: numbers, or nothing."""

from __future__ import annotations

import pytest
import torch

from models import LanguageModel
from rl_finetune import answers_to, count_answers, policy_of
from tasks import Task
from tasks.errors import UserError


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_a_model_of_no_numbers_has_no_answers(lm: LanguageModel, task: Task, answers: str) -> None:
    with torch.no_grad():
        for weights in lm.model.parameters():
            weights.fill_(float("nan"))
    policy = policy_of(lm, task, answers)
    with pytest.raises(UserError, match="fresh: its answers' scores are NaN"):
        answers_to(lm, policy, task, ["a b c ?"])
    with pytest.raises(UserError, match="fresh: its answers' scores are NaN"):
        count_answers(lm, policy, task, {"prompt": ["a b c ?"], "label": [1]})
