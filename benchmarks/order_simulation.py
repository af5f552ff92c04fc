"""The order of 20 million utterances: time to start and to restart, padding, memory, exactness.

    python benchmarks/order_simulation.py [--utterances 20000000]

A run starts on 64 processes and continues on 48. Each process computes the order by itself, as in
training; here all of them are one. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from valle.training.data.epochs import EpochOrder

BATCH_SIZE = 4608  # a multiple of 64 and of 48
MEAN_SECONDS, FRAME_RATE = 10.8, 50  # 60,000 h in 20 million utterances
WORKERS, SHARDS = 64, 20_000
SHARD_HOURS = 0.05  # of one worker's time, for a shard of 3 h of speech
FAILURES_PER_HOUR = 0.2  # of each worker: one in five hours


def make_lengths(count: int) -> np.ndarray:
    """Utterance lengths in frames, as of read speech: from 1 to 35 s."""
    seconds = np.random.default_rng(0).gamma(4.0, MEAN_SECONDS / 4.0, count)
    return (np.clip(seconds, 1.0, 35.0) * FRAME_RATE).astype(np.int32)


def simulate_order(lengths: np.ndarray) -> dict[str, float]:
    """Half an epoch on 64 processes, the rest on 48."""
    start = time.process_time()
    order = EpochOrder(lengths, BATCH_SIZE, seed=1)
    order.batch(0)
    started = time.process_time() - start
    steps = len(lengths) // BATCH_SIZE
    half = steps // 2
    start = time.process_time()
    again = EpochOrder(lengths, BATCH_SIZE, seed=1)
    again.batch(half)
    restarted = time.process_time() - start
    seen = np.zeros(len(lengths), np.uint8)
    for first, last, processes, one in ((0, half, 64, order), (half, steps, 48, again)):
        whole = one.epoch(0)[first * BATCH_SIZE : last * BATCH_SIZE]
        for rank in range(processes):
            # What `ParallelTrainer` takes: every `processes`-th place of each batch.
            np.add.at(seen, whole.reshape(-1, BATCH_SIZE)[:, rank::processes].reshape(-1), 1)
    batches = lengths[order.epoch(0)[: steps * BATCH_SIZE]].reshape(steps, -1)
    # Padding is within what one process computes at once: its share of a batch, sorted by length.
    share = batches.reshape(steps, -1, 64).transpose(0, 2, 1)
    padded = int(share.max(-1).sum()) * share.shape[-1]
    return {
        "start_cpu_s": round(started, 2),
        "restart_cpu_s": round(restarted, 2),
        "padding": round(1 - float(share.sum()) / padded, 4),
        "repeated": int((seen > 1).sum()),
        "left_out": int((seen == 0).sum()) - len(lengths) % BATCH_SIZE,
    }


def simulate_failures() -> dict[str, float]:
    """Preparation in shards by workers that fail and are replaced; time in hours."""
    rng = np.random.default_rng(0)
    done = np.zeros(SHARDS, np.int64)
    times = np.zeros(WORKERS)
    lost = failures = 0.0
    for worker in range(WORKERS):
        for shard in range(worker, SHARDS, WORKERS):
            while (life := rng.exponential(1 / FAILURES_PER_HOUR)) < SHARD_HOURS:
                times[worker] += life
                lost += life
                failures += 1
            times[worker] += SHARD_HOURS
            done[shard] += 1
    return {
        "failures": int(failures),
        "hours": round(float(times.max()), 2),
        "work_lost": round(lost / (SHARDS * SHARD_HOURS), 4),
        "shards_not_done_once": int((done != 1).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=20_000_000)
    arguments = parser.parse_args()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lengths = make_lengths(arguments.utterances)
    order = simulate_order(lengths)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    result = {
        "utterances": arguments.utterances,
        "hours": round(float(lengths.sum()) / FRAME_RATE / 3600),
        "order": order | {"simulation_memory_mb": round(memory / 1024)},
        "preparation": simulate_failures(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
