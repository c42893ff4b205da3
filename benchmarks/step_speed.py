"""Seconds per policy-gradient step: our loop, stock TRL, and the passes that no loop can avoid.

One process, one thread, one model (GPT-2 of 2 layers and width 64, made on the spot), the same prompts, the
same number of one-token completions; observers and logs off. The contestants take turns; a figure is the
median over all timed steps of all turns.

    python -m benchmarks.step_speed [--steps 40] [--turns 5] [--prompts 16] [--samples 4]
        [--clock wall|processor] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import tokenizers
import torch
import transformers
import trl

import models
from benchmarks.loop import seconds_of_steps
from benchmarks.machine import one_thread
from benchmarks.ratio import Ratio, side_by_side
from rl_finetune import Settings, get_method
from tasks import ANSWER_WORDS, Task, get_task, symbol_words

METHODS = {"rloo": 0.05, "grpo": 0.0}
"""Method and its KL coefficient: TRL's defaults. Above 0 the reference takes a forward pass of its own."""
LIMIT = 1.3
"""Times the sum of the unavoidable passes."""
FASTER = 3.0
"""Times faster than TRL, at the least."""
UNTIMED = 5
"""First steps of each turn: allocation, and lazy imports inside the first backward pass."""


@dataclass(frozen=True)
class Setting:
    """What every contestant is given."""

    folder: Path
    """Model and tokenizer, saved and loaded anew by each contestant at each turn."""
    prompts: int
    """Different prompts a step."""
    samples: int
    """Completions of each prompt."""
    steps: int
    """Timed steps a turn."""
    task: Task
    rows: datasets.Dataset
    """Fine-tuning rows at no evidence, one for each prompt of each step; prompts of 9 tokens."""
    clock: Callable[[], float]


def setting(folder: Path, prompts: int, samples: int, steps: int, clock: Callable[[], float]) -> Setting:
    """A shipped task, and a model with fresh weights that knows its words."""
    task = get_task("symbolic/first-last-vs-contains-2")
    words = ["<pad>", "<eos>", "<unk>", *symbol_words(16), "?", *ANSWER_WORDS]
    core = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(words), n_positions=32, n_embd=64, n_layer=2, n_head=4, pad_token_id=0, bos_token_id=1
    )
    config.eos_token_id = 1
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rows = task.prompts(prompts * (UNTIMED + steps), np.random.default_rng(0))
    return Setting(folder, prompts, samples, steps, task, rows, clock)


def load(where: Setting) -> tuple[Any, Any]:
    """Model and tokenizer in 32-bit precision, without dropout."""
    model = transformers.AutoModelForCausalLM.from_pretrained(where.folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(where.folder)


def stock_trl(method: str, where: Setting) -> list[float]:
    """Seconds of each timed step of TRL's trainer, from the end of one step to the end of the next."""
    trainers: dict[str, tuple[Any, Any]] = {
        "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
    }
    trainer_class, config_class = trainers[method]

    class Clock(transformers.TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(where.clock())

    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments = config_class(
            output_dir=out,
            per_device_train_batch_size=where.prompts * where.samples,
            num_generations=where.samples,
            max_completion_length=1,
            max_steps=UNTIMED + where.steps,
            learning_rate=1e-3,
            beta=METHODS[method],
            use_cpu=True,
            bf16=False,
            disable_dropout=True,
            gradient_checkpointing=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            model_init_kwargs={"dtype": "float32"},
        )
        with contextlib.redirect_stdout(io.StringIO()):
            trainer = trainer_class(
                model=str(where.folder),
                reward_funcs=where.task.reward,
                args=arguments,
                train_dataset=where.rows,
                processing_class=load(where)[1],
                callbacks=[clock],
            )
            trainer.train()
    return [float(seconds) for seconds in np.diff(clock.ends)[UNTIMED - 1 :]]


def unavoidable(method: str, where: Setting) -> dict[str, list[float]]:
    """Seconds of each pass of each timed step, written out with nothing around them.

    A completion is one token, so one forward pass gives what sampling, scoring and the loss need: each prompt
    once, not each completion, and the logits at the last position alone. Tokenizing is left out.
    """
    model, tokenizer = load(where)
    reference, _ = load(where)
    beta = METHODS[method]
    texts = list(where.rows["prompt"])
    said = torch.tensor(tokenizer.convert_tokens_to_ids(list(where.task.answers.words or ())))
    right = said[torch.tensor(list(where.rows["label"]))]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    passes: dict[str, list[float]] = {
        name: [] for name in ("forward", "sampling", "reference", "backward", "optimiser")
    }
    generator = torch.Generator().manual_seed(0)

    def log_p(network: Any, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(input_ids=ids, logits_to_keep=1, use_cache=False).logits
        return logits[:, -1].log_softmax(-1)

    for step in range(UNTIMED + where.steps):
        rows = slice(step * where.prompts, (step + 1) * where.prompts)
        tokens = torch.tensor(tokenizer(texts[rows])["input_ids"])
        marks = [where.clock()]
        scores = log_p(model, tokens)
        marks.append(where.clock())
        drawn = torch.multinomial(scores.detach().exp(), where.samples, replacement=True, generator=generator)
        reward = (drawn == right[rows, None]).float()
        marks.append(where.clock())
        if beta:
            with torch.inference_mode():
                expected = log_p(reference, tokens).gather(1, drawn)
            reward -= beta * (scores.detach().gather(1, drawn) - expected)
        marks.append(where.clock())
        advantage = (reward - reward.mean(1, keepdim=True)) * where.samples / (where.samples - 1)
        loss = -(advantage * scores.gather(1, drawn)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(where.clock())
        optimiser.step()
        marks.append(where.clock())
        if step >= UNTIMED:
            for name, seconds in zip(passes, np.diff(marks).tolist(), strict=True):
                passes[name].append(seconds)
    return passes


def ours(method: str, where: Setting) -> list[float]:
    """Seconds of each timed step of our loop."""
    settings = Settings(
        steps=UNTIMED + where.steps,
        batch_size=where.prompts,
        samples_per_prompt=where.samples,
        beta=METHODS[method],
        log_points=0,
    )
    lm = models.load(str(where.folder))
    return seconds_of_steps(
        lm, where.task, where.rows, get_method(method), settings, clock=where.clock, untimed=UNTIMED
    )


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds are medians over steps and turns."""

    method: str
    contestant: str
    seconds: float
    turns: list[float]
    """The median of each turn."""
    to_unavoidable: float
    """Times the sum of the unavoidable passes."""
    steps: int

    @property
    def fastest_turn(self) -> float:
        return min(self.turns)

    @property
    def slowest_turn(self) -> float:
        return max(self.turns)


def measure(where: Setting, turns: int) -> tuple[list[Row], dict[str, dict[str, float]]]:
    """The table, and the median seconds of each unavoidable pass by method."""
    contestants: dict[str, Callable[[str, Setting], list[float]]] = {
        "ours": ours,
        "stock TRL": stock_trl,
    }
    rows, parts = [], {}
    for method in METHODS:
        turn_passes = []
        turn_times: dict[str, list[list[float]]] = {name: [] for name in contestants}
        for turn in range(turns):
            turn_passes.append(unavoidable(method, where))
            names = list(contestants) if turn % 2 else list(contestants)[::-1]
            for name in names:
                turn_times[name].append(contestants[name](method, where))
        parts[method] = {
            name: statistics.median(seconds for turn in turn_passes for seconds in turn[name])
            for name in turn_passes[0]
        }
        sums = [[sum(step) for step in zip(*turn.values(), strict=True)] for turn in turn_passes]
        floor = statistics.median(seconds for turn in sums for seconds in turn)
        for name, each in {"unavoidable passes": sums, **turn_times}.items():
            middle = statistics.median(seconds for turn in each for seconds in turn)
            of_turns = [statistics.median(turn) for turn in each]
            total = sum(map(len, each))
            rows.append(Row(method, name, middle, of_turns, middle / floor, total))
    return rows, parts


def ratios(*, quick: bool) -> list[Ratio]:
    """Our loop beside the passes that no loop avoids, and stock TRL beside our loop."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        where = setting(Path(folder), 16, 4, 10 if quick else 40, time.process_time)
        rows, _ = measure(where, 2 if quick else 5)
    for method in METHODS:
        of = {r.contestant: [1e3 * t for t in r.turns] for r in rows if r.method == method}
        mine, floor, theirs = of["ours"], of["unavoidable passes"], of["stock TRL"]
        found += [
            side_by_side(f"a step of {method}", mine, "unavoidable passes", floor, LIMIT, "ms"),
            side_by_side(
                f"a step of {method}, TRL's", mine, "stock TRL", theirs, FASTER, "ms", times_better=True
            ),
        ]
    return found


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40, help="timed steps a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--prompts", type=int, default=16, help="different prompts a step")
    parser.add_argument("--samples", type=int, default=4, help="completions of each prompt")
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="processor: seconds that this process computes, steadier on a busy machine",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()

    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter if asked.clock == "wall" else time.process_time
        where = setting(Path(folder), asked.prompts, asked.samples, asked.steps, clock)
        rows, parts = measure(where, asked.turns)

    machine = {
        "machine": f"{platform.system()} {platform.machine()}, one thread, {asked.clock} clock",
        "versions": f"python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, trl {trl.__version__}",
        "completions a step": asked.prompts * asked.samples,
    }
    if asked.json:
        print(json.dumps({**machine, "rows": [asdict(row) for row in rows], "passes": parts}, indent=2))
        return
    print(*(f"{name}: {value}" for name, value in machine.items()), sep="\n")
    print(f"\n{'method':8}{'contestant':20}{'ms a step':>10}{'turns from':>12}{'to':>8}{'/ unavoidable':>15}")
    for r in rows:
        times = f"{1e3 * r.seconds:10.2f}{1e3 * r.fastest_turn:12.2f}{1e3 * r.slowest_turn:8.2f}"
        print(f"{r.method:8}{r.contestant:20}{times}{r.to_unavoidable:15.2f}")
    for method, passes in parts.items():
        told = ", ".join(f"{name} {1e3 * seconds:.2f}" for name, seconds in passes.items())
        print(f"{method}: unavoidable ms: {told}")


if __name__ == "__main__":
    main()
