"""Free sampling: the model's own distribution, whatever stands beside a prompt in its batch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from rl_finetune.rollouts import sample

VOCABULARY, EOS, MOST = 5, 1, 2
PROMPTS = [[2, 3, 4, 2, 0, 3], [4], [3, 3, 2]]


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def model(request: pytest.FixtureRequest) -> Any:
    wide = T5Config(
        vocab_size=VOCABULARY, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = GPT2LMHeadModel(config) if request.param == "gpt2" else T5ForConditionalGeneration(wide)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.dim() > 1:
                    # Far from uniform, and the prompt matters.
                    _ = parameter.mul_(12) if request.param == "gpt2" else parameter.normal_(std=1.0)
    made.eval()
    return made


def completions() -> list[tuple[int, ...]]:
    going = [t for t in range(VOCABULARY) if t != EOS]
    return [(EOS,), *itertools.product(going, range(VOCABULARY))]


def following(model: Any, prompt: list[int], said: Sequence[int]) -> torch.Tensor:
    """Probabilities of the next token after one prompt and what was said: no padding, no cache."""
    inputs = {"input_ids": torch.tensor([[*prompt, *said]])}
    if model.config.is_encoder_decoder:
        inputs = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([[0, *said]])}
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits[0, -1]
    return logits.double().softmax(-1)


def exact(model: Any, prompt: list[int]) -> list[float]:
    """Probability of every completion after one prompt: token by token, no padding, no cache."""

    out = []
    for completion in completions():
        p = 1.0
        for k, token in enumerate(completion):
            p *= float(following(model, prompt, completion[:k])[token])
        out.append(p)
    return out


def fits(found: list[list[int]], probabilities: list[float]) -> float:
    """p-value of a chi-square test, completions that are expected less than 5 times in one bin."""
    counts = Counter(tuple(row) for row in found)
    assert set(counts) <= set(completions())
    observed = [counts[c] for c in completions()]
    expected = [p * len(found) for p in probabilities]
    common = [i for i, e in enumerate(expected) if e >= 5]
    seen, wanted = [observed[i] for i in common], [expected[i] for i in common]
    rest = len(found) - sum(seen)
    if len(found) - sum(wanted) >= 1:
        seen, wanted = [*seen, rest], [*wanted, len(found) - sum(wanted)]
    total = sum(wanted)
    return float(chisquare(seen, [w * sum(seen) / total for w in wanted]).pvalue)


def test_the_probabilities_enumerate_everything(model: Any) -> None:
    tables = [exact(model, prompt) for prompt in PROMPTS]
    assert [sum(table) for table in tables] == pytest.approx([1.0] * 3)
    apart = [sum(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in itertools.combinations(tables, 2)]
    assert min(apart) > 0.1  # prompts differ enough that a mix-up would show


def test_samples_of_a_padded_batch_follow_the_model(model: Any) -> None:
    n = 2000
    found = sample(model, PROMPTS * n, most=MOST, eos=EOS, generator=torch.Generator().manual_seed(0))
    for i, prompt in enumerate(PROMPTS):
        assert fits(found[i :: len(PROMPTS)], exact(model, prompt)) > 1e-3
        wrong = exact(model, PROMPTS[(i + 1) % 3])
        assert fits(found[i :: len(PROMPTS)], wrong) < 1e-6  # the test can tell


def test_prompts_that_are_read_once_are_sampled_as_if_each_sample_had_its_own(model: Any) -> None:
    once, each = (
        sample(model, prompts, most=4, eos=EOS, generator=torch.Generator().manual_seed(0), samples=samples)
        for prompts, samples in ((PROMPTS, 50), ([p for p in PROMPTS for _ in range(50)], 1))
    )
    assert once == each


def test_samples_of_one_prompt_alone_follow_the_model(model: Any) -> None:
    found = sample(model, [PROMPTS[0]] * 2000, most=MOST, eos=EOS, generator=torch.Generator().manual_seed(1))
    assert fits(found, exact(model, PROMPTS[0])) > 1e-3


def test_sampling_stops_at_the_end_token(model: Any) -> None:
    found = sample(model, PROMPTS * 200, most=5, eos=EOS, generator=torch.Generator().manual_seed(2))
    assert all(EOS not in row[:-1] for row in found)
    assert all(row[-1] == EOS or len(row) == 5 for row in found)
    assert {len(row) for row in found} == {1, 2, 3, 4, 5}


def test_greedy_answers_are_the_most_probable_tokens_padded_or_not(model: Any) -> None:
    together = sample(model, PROMPTS, most=4, eos=EOS, generator=None)
    for prompt, found in zip(PROMPTS, together, strict=True):
        said: list[int] = []
        while len(said) < 4 and EOS not in said:
            said.append(int(following(model, prompt, said).argmax()))
        assert found == said


def test_the_generator_is_the_only_source_of_chance(model: Any) -> None:
    def draw(seed: int) -> list[list[int]]:
        torch.rand(1)
        return sample(model, PROMPTS * 20, most=3, eos=EOS, generator=torch.Generator().manual_seed(seed))

    assert draw(4) == draw(4) != draw(5)
