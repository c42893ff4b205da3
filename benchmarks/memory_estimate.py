"""The peak of a run's memory, measured in a process of its own, beside what is estimated before it starts.

    python benchmarks/memory_estimate.py [--json]

Growth of the resident memory over what the process has before it loads the model, on a CPU; a model of fresh
weights is written to a temporary folder first. Says how many times the measured peak the estimate is.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GPT2 = {"model_type": "gpt2", "n_positions": 128}
NEOX = {"model_type": "gpt_neox", "max_position_embeddings": 128}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2 8 x 512": {**GPT2, "n_embd": 512, "n_layer": 8, "n_head": 8},
    "gpt2 4 x 256": {**GPT2, "n_embd": 256, "n_layer": 4, "n_head": 4},
    "neox 6 x 512": {**NEOX, "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8,
                     "intermediate_size": 2048},
}  # fmt: skip
VOCABULARY = 20_000
TASK = "english/agreement-hard-length"
BY_TRL = {"answers": "free", "backend": "trl", "batch_size": 32, "eval_n": 32}
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sft, constrained, batch 64": ("gpt2 8 x 512", "sft", {}),
    "rloo, constrained, batch 256": ("gpt2 4 x 256", "rloo", {"batch_size": 256}),
    "rloo, constrained, batch 128, neox": ("neox 6 x 512", "rloo", {"batch_size": 128}),
    "rloo, free, batch 8": ("gpt2 4 x 256", "rloo", {"answers": "free", "batch_size": 8, "eval_n": 64}),
    "rloo, free, eval 400": ("gpt2 4 x 256", "rloo", {"answers": "free", "batch_size": 8, "eval_n": 400}),
    "sft on TRL": ("gpt2 8 x 512", "sft", BY_TRL),
    "rloo on TRL, lora 8, neox": ("neox 6 x 512", "rloo", {**BY_TRL, "lora": 8}),
}  # fmt: skip


def config_of(model: str, method: str, settings: dict[str, Any]) -> dict[str, Any]:
    from rl_finetune.settings import settings_from
    from tasks import Evidence

    usual = {
        "steps": 3,
        "log_points": 1,
        "log_n": 16,
        "eval_n": 64,
        "counterfactual_n": 0,
        "warmup_steps": 20,
    }
    told = settings_from({**usual, **settings}).told()
    cell = {"model": model, "init": "pretrained", "task": TASK, "control": ""}
    seeds = dict.fromkeys(("seed_data", "seed_tune", "seed_warmup"), 0)
    told_by = {"job": "run", "study": "single", "arm": "main", "method": method, "settings": told}
    return {**told_by, **cell, **seeds, **Evidence().config()}


def write(shape: str, folder: Path) -> None:
    """A model of fresh weights and a tokenizer that knows the task's words."""
    import numpy as np
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    from tasks import get_task

    rows = [
        get_task(TASK).quadrant(q, 400, np.random.default_rng(0), s)
        for q in ("both", "neither", "target_only", "spurious_only")
        for s in ("train", "validation", "test")
    ]
    words = sorted(
        {w for part in rows for prompt in part["prompt"] for w in prompt.split()}
        | set(get_task(TASK).for_seed(0).answers.words or ())
    )
    names = ["<pad>", "<eos>", "<unk>", *words]
    names += [f"unused{i}" for i in range(VOCABULARY - len(names))]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    told = dict(SHAPES[shape])
    config = AutoConfig.for_model(
        told.pop("model_type"), vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=1, pad_token_id=0, **told
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(config: dict[str, Any]) -> float:
    """Bytes by which the resident memory of this process grows at its peak."""
    import numpy as np
    import transformers  # noqa: F401

    import rl_finetune.warmup
    from proclivity.measured import answered_by_quadrant
    from proclivity.policy_job import make
    from proclivity.run_job import prepared

    if config["settings"].get("backend") == "trl":
        import trl

        trl.RLOOTrainer, trl.SFTTrainer, trl.RLOOConfig, trl.SFTConfig  # noqa: B018
    rl_finetune.warmup.MASS = 0.0
    before = resident()
    begun = prepared(config)
    made = make(
        config,
        begun.task,
        begun.rows,
        begun.lm,
        begun.reference,
        begun.policy,
        begun.settings,
        begun.log_rows,
        None,
    )
    asked = {"both": begun.task.quadrant("both", begun.settings.eval_n, np.random.default_rng(0))}
    answered_by_quadrant(made.lm, made.answering, begun.task, asked, begun.reference.model)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def resident() -> int:
    import os

    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(measure(json.loads(arguments.one)))
        return
    from proclivity.memory_needs import needed

    rows = []
    for name, (shape, method, settings) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(shape, Path(folder))
            config = config_of(folder, method, settings)
            told = subprocess.run(
                [sys.executable, __file__, "--one", json.dumps(config)],
                text=True,
                check=True,
                capture_output=True,
                cwd=ROOT,
            )
            found = float(told.stdout.splitlines()[-1])
            said = needed(config)
        assert said is not None
        rows.append(
            {
                "run": name,
                "model": shape,
                "measured_mb": found / 1e6,
                "estimated_mb": said.total / 1e6,
                "ratio": said.total / found,
                "parts": vars(said),
            }
        )
        if not arguments.json:
            parts = {k: round(v / 1e6) for k, v in vars(said).items()}
            numbers = f"{found / 1e6:8.0f} {said.total / 1e6:8.0f} {said.total / found:6.2f}"
            print(f"{name:40s} {shape:14s} {numbers} {parts}")
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
