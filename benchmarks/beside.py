"""Training beside another busy process: images/s by the number of threads and how they wait for work.

    python benchmarks/beside.py [--recipes mnist-mlp ...] [--policies default ...] [--seconds 6] [--rounds 3]

For each policy (variables of the environment, read as torch is imported), bare training steps run in a process of
their own: alone, beside a process with two busy threads that have nothing to do with OpenMP, such as a
browser's, and beside a second training under the same policy. All are measured in turn, on the number format and cores
that `vaegan train` would use; the table has medians over rounds. "alone" is compared with the first policy, torch's
default; a fair share beside the others is half of the policy's own images/s alone, on two cores.

`vaegan` starts as many threads as other programs leave cores free (`pick_device` in `src/vaegan/training/device.py`):
on two cores with a busy neighbour one, the last policy.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"GOMP_SPINCOUNT={num}": {"GOMP_SPINCOUNT": str(num)} for num in (1_000, 10_000)},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
NAMES = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS"}
SETTINGS = ("alone", "threads", "training")
SIDES = {"digits": 8, "mnist-mlp": 28, "mnist-conv": 28}
"""Side of the grey images of a recipe."""


def steps(name: str, seconds: float) -> float:
    """Return images/s of bare training steps, after one second to warm up."""
    import torch

    from vaegan.objectives import Noise
    from vaegan.recipes import config_for
    from vaegan.training.device import autocast_for, computes_bf16, layout_of, tune_allocator
    from vaegan.training.factories import build_model, build_objective, build_optimisers
    from vaegan.training.optimisers import assign_gradients

    tune_allocator()
    config, device = config_for(name), torch.device("cpu")
    shape, size = (1, SIDES[name], SIDES[name]), config.train.batch_size
    layout = layout_of("contiguous" if config.model.network == "mlp" else "channels_last")
    model = build_model(config, shape).train()
    model.to(memory_format=layout)  # type: ignore[call-overload]
    objective = build_objective(config, model, autocast_for("bf16" if computes_bf16(device) else "fp32", device))
    optimisers = build_optimisers(config, objective)
    x = torch.rand(size, *shape).contiguous(memory_format=layout)
    begin, seen, warm = time.perf_counter(), 0, False
    while (now := time.perf_counter()) < begin + seconds or not seen:
        if not warm and now > begin + 1:
            begin, seen, warm = now, 0, True
        result = objective.step(x, Noise.draw(size, model.latent_dim, seed=0, images=seen))
        for part, gradients in result.gradients.items():
            assign_gradients(objective.weights[part], gradients)
            optimisers[part].step()
            optimisers[part].zero_grad()
        seen += size
    return seen / (time.perf_counter() - begin)


def keep_busy() -> None:
    """Keep two threads busy until this process is ended; hashing leaves Python's lock to the other."""
    block = bytes(2**24)
    for _ in range(2):
        threading.Thread(target=lambda: [hashlib.sha256(block).digest() for _ in iter(int, 1)], daemon=True).start()
    threading.Event().wait()


def measure(name: str, policy: dict[str, str], setting: str, seconds: float) -> float:
    """Return images/s of a recipe in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | policy
    words = [sys.executable, __file__, "--seconds", str(seconds), "--measure"]
    other = None
    if setting != "alone":
        more = ["busy"] if setting == "threads" else [name, "--seconds", "3600"]
        other = subprocess.Popen([*words, *more], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(0 if setting == "threads" else 5)  # until it trains
    try:
        done = subprocess.run([*words, name], env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout)
    finally:
        if other is not None:
            other.kill()
            other.wait()


def runtime() -> str:
    """Return the OpenMP libraries that torch has loaded, and its number of threads."""
    import torch

    maps = Path("/proc/self/maps")
    loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "omp" in line} if maps.exists() else set()
    names = sorted({Path(path).name for path in loaded if any(part in path for part in ("gomp", "iomp", "libomp"))})
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, OpenMP: {', '.join(names) or 'unknown'}"


def main() -> None:
    """Measure recipes under all policies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement, without the first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure == "busy":
        keep_busy()
    elif options.measure:
        print(steps(options.measure, options.seconds))
        return
    print(f"{runtime()}\n")
    columns = ("recipe", "policy", "alone, images/s", "of the default", "beside threads", "of alone")
    columns += ("beside a training", "of alone")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in options.recipes:
        speeds: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for policy in options.policies:
                for setting in SETTINGS:
                    speeds[policy, setting].append(measure(name, POLICIES[policy], setting, options.seconds))
        for policy in options.policies:
            alone, threads, training = (statistics.median(speeds[policy, setting]) for setting in SETTINGS)
            default = statistics.median(speeds[options.policies[0], "alone"])
            print(
                f"| {name} | {policy} | {alone:.4g} | {alone / default:.2f} | {threads:.4g} | {threads / alone:.2f} | "
                f"{training:.4g} | {training / alone:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
