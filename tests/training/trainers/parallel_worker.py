"""One process of several: trains both models, and the first prints their losses as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from parallel_training import make_trainer
from valle.training.trainers.process_group import open_process_group

if __name__ == "__main__":
    corpus, folder, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    losses = {}
    with open_process_group("cpu") as group:
        for stage in ("ar", "nar"):
            trainer = make_trainer(corpus, folder / "two" / stage, stage, group=group)
            losses[stage] = [trainer.step(number, number / steps) for number in range(steps)]
    if group.is_first:
        print(json.dumps(losses))
