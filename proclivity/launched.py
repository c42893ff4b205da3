"""One of the processes of a run that accelerate launched: `python -m proclivity.launched FOLDER`."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from pathlib import Path

from proclivity.launch import JOB, LIFELINE, OUTCOME, POLICY, error_file
from tasks.errors import UserError, one_line

POLL_S = 0.5
"""Seconds between looks at whether who launched this still lives."""


def main(folder: Path) -> int:
    threading.Thread(target=_die_without, args=(folder / LIFELINE,), daemon=True).start()
    rank = int(os.environ["RANK"])
    try:
        _tune(folder, rank)
    except Exception as e:
        error_file(folder, rank).write_text(json.dumps({"error": one_line(e)}))
        raise
    return 0


def _tune(folder: Path, rank: int) -> None:
    import torch

    from models import save
    from models.language_model import weights_hash
    from proclivity.job import plain_row
    from proclivity.run_job import prepared
    from rl_finetune import finetune_with_trl, get_method
    from rl_finetune.trl_run import gathered

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    config = json.loads((folder / JOB).read_text())
    begun = prepared(config)
    told = {"report_to": config["report_to"]} if "report_to" in config else {}
    tuned = finetune_with_trl(
        begun.reference,
        begun.task,
        begun.rows,
        get_method(config["method"]),
        begun.settings,
        seed=config["seed_tune"],
        control=config["control"],
        log_rows=begun.log_rows,
        scratch=Path(config["scratch"]),
        **told,
    )
    own = {"rank": rank, "pid": os.getpid(), "weights": weights_hash(tuned.lm.model)}
    ranks = gathered(own)
    if len({told["weights"] for told in ranks}) > 1:
        raise UserError(f"the {len(ranks)} processes do not agree on the weights that they trained")
    if rank == 0:
        save(tuned.lm.model, tuned.lm.tokenizer, folder / POLICY)
        made = {name: getattr(tuned, name) for name in ("reward", "step_s", "beta", "resumed_from_step")}
        log = [plain_row(row) for row in tuned.log]
        (folder / OUTCOME).write_text(json.dumps({**made, "log": log, "ranks": ranks}))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _die_without(lifeline: Path) -> None:
    """End this process as soon as nobody holds the lifeline."""
    with open(lifeline) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                os._exit(1)
            except BlockingIOError:
                time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
