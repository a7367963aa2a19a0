"""One training step compared with three full backward passes, in turn, in one process.

    python benchmarks/step.py [--cases mlp conv28 paper64] [--rounds 9]

Both sides train the same networks on the same batch with Adam. The baseline is the usual step of published VAE/GANs:
float32, torch's own modules and default optimisers, one forward pass, a full backward pass over the retained graph for
each network's loss, then three optimiser steps. Ours is the step of `vaegan train`: `VAEGANObjective`, in the number
format and memory layout of the row; a CPU that only emulates bf16 has no rows in it. Prints medians over the rounds and
counted operations (two per multiply-add) per image, then where the time of our step in float32 goes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from networks import CASES, Case
from torch import Tensor, nn

from vaegan.networks import build_parts
from vaegan.networks.kernels.few_channels import NarrowConv2d, NarrowInputConv2d
from vaegan.objectives import Noise, VAEGANObjective, trainable
from vaegan.operations import count_operations
from vaegan.training.device import autocast_for, computes_bf16, layout_of, tune_allocator
from vaegan.training.optimisers import assign_gradients, make_optimiser

Step = Callable[[], object]
GAMMA = 1e-3
COLUMNS = (
    "network", "step", "ms", "images/s", "GFLOP/image", "minimum", "GFLOP/s", "matrix product", "share", "ratio",
    "ratio, default allocator",
)  # fmt: skip
DEFAULT_ALLOCATOR = "baseline in a process with the default allocator"
SIZES = (1024, 2048, 4096)
PRODUCTS = ("mm", "addmm", "convolution_backward", "mkldnn_convolution", "_convolution")
"""Torch's names of matrix products and convolutions, the second and last with what they do around them."""
PROFILED = 5
DTYPES = {"fp32": torch.float32, **({"bf16": torch.bfloat16} if computes_bf16(torch.device("cpu")) else {})}


def networks(case: Case) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return encoder, decoder and discriminator, initialised the same each time."""
    torch.manual_seed(0)
    parts = build_parts(**case.architecture)
    return parts["encoder"], parts["decoder"], parts["discriminator"]


def batch(case: Case) -> Tensor:
    """Return a batch in [-1, 1]."""
    return (
        torch.rand(case.batch_size, *case.architecture["image_shape"], generator=torch.Generator().manual_seed(1)) * 2
        - 1
    )


def baseline_step(case: Case) -> Step:
    """Return the usual step: three full backward passes over one retained graph."""
    parts = networks(case)
    for part in parts:
        for module in part.modules():
            # Torch's own convolutions, as in published code.
            if isinstance(module, (NarrowConv2d, NarrowInputConv2d)):
                module.__class__ = nn.Conv2d
    enc, dec, dis = parts
    optimisers = [torch.optim.Adam(part.parameters(), 1e-4) for part in parts]
    features: list[Tensor] = []
    dis.get_submodule(str(dis.default_feature_layer)).register_forward_hook(lambda m, i, o: features.append(o))
    x, latent_dim = batch(case), case.architecture["latent_dim"]
    real, fake = torch.ones(case.batch_size), torch.zeros(case.batch_size)

    def step() -> None:
        features.clear()
        mu, logvar = enc(x)
        x_tilde = dec(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
        x_p = dec(torch.randn(case.batch_size, latent_dim))
        a, a_tilde, a_p = dis(x), dis(x_tilde), dis(x_p)
        gan = (
            F.binary_cross_entropy_with_logits(a, real)
            + F.binary_cross_entropy_with_logits(a_tilde, fake)
            + F.binary_cross_entropy_with_logits(a_p, fake)
        )
        llike = 0.5 * (features[1] - features[0].detach()).square().sum() / case.batch_size
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum() / case.batch_size
        all_gradients = []
        for part, loss in zip(parts, (kl + llike, GAMMA * llike - gan, gan), strict=True):
            for other in parts:
                other.zero_grad()
            loss.backward(retain_graph=True)
            all_gradients.append([p.grad for p in part.parameters()])
        for part, gradients, optimiser in zip(parts, all_gradients, optimisers, strict=True):
            for p, gradient in zip(part.parameters(), gradients, strict=True):
                p.grad = gradient
            optimiser.step()

    return step


def our_step(case: Case, precision: str, memory_format: str) -> Step:
    """Return our step."""
    parts = networks(case)
    for part in parts:
        part.to(memory_format=layout_of(memory_format))
    objective = VAEGANObjective(*parts, gamma=GAMMA, autocast=autocast_for(precision, torch.device("cpu")))
    weights = {name: trainable(part) for name, part in objective.parts.items()}
    optimisers = {name: make_optimiser("adam", of_part, lr=1e-4) for name, of_part in weights.items()}
    x = batch(case).contiguous(memory_format=layout_of(memory_format))
    images = 0

    def step() -> None:
        nonlocal images
        noise = Noise.draw(case.batch_size, case.architecture["latent_dim"], seed=0, images=images)
        images += case.batch_size
        for part, gradients in objective.step(x, noise).gradients.items():
            assign_gradients(weights[part], gradients)
            optimisers[part].step()
            optimisers[part].zero_grad()

    return step


def min_operations(case: Case) -> float:
    """Return 3e + 7d + 10s, the least operations per image for three exact gradients."""
    enc, dec, dis = networks(case)
    x, z = batch(case)[:2], torch.zeros(2, case.architecture["latent_dim"])
    e, d, s = (count_operations(call) / 2 for call in (lambda: enc(x), lambda: dec(z), lambda: dis(x)))
    return 3 * e + 7 * d + 10 * s


def products() -> dict[tuple[str, int], Step]:
    """Return square matrix products in each precision and size."""
    calls: dict[tuple[str, int], Step] = {}
    for precision, dtype in DTYPES.items():
        for size in SIZES:
            a, b = (torch.randn(size, size, generator=torch.Generator().manual_seed(i)).to(dtype) for i in range(2))
            calls[precision, size] = functools.partial(torch.mm, a, b)
    return calls


def seconds_of(call: Step) -> float:
    """Return the time of one call in seconds."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def send_timings(name: str, pipe: Connection) -> None:
    """Time a baseline step for each message until one is false."""
    step = baseline_step(CASES[name])
    while pipe.recv():
        pipe.send(seconds_of(step))


@contextlib.contextmanager
def baseline_process(case: Case) -> Iterator[Callable[[], float]]:
    """Yield a function that times a baseline step in another process, with the C library's default allocator."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=send_timings, args=(case.name, there), daemon=True)
    process.start()

    def time_step() -> float:
        here.send(True)
        return float(here.recv())

    yield time_step
    here.send(False)
    process.join()


def measure(case: Case, rounds: int) -> None:
    """Print the rows of one network."""
    sides: dict[str, tuple[str, Step]] = {
        "three full backward passes, fp32": ("fp32", baseline_step(case)),
        "ours, fp32": ("fp32", our_step(case, "fp32", "contiguous")),
    }
    if "bf16" in DTYPES:
        sides["ours, bf16"] = ("bf16", our_step(case, "bf16", "contiguous"))
        if case.architecture["network"] == "conv":
            sides["ours, bf16 channels_last"] = ("bf16", our_step(case, "bf16", "channels_last"))
    operations = {name: count_operations(step) / case.batch_size for name, (_, step) in sides.items()}
    squares = products()
    timed: dict[object, Callable[[], float]] = {
        name: functools.partial(seconds_of, call)
        for name, call in ({name: step for name, (_, step) in sides.items()} | squares).items()
    }
    with baseline_process(case) as timed[DEFAULT_ALLOCATOR]:
        for call in timed.values():
            call()
        seconds: dict[object, list[float]] = {name: [] for name in timed}
        for _ in range(rounds):
            for name, call in timed.items():
                seconds[name].append(call())
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    peaks = {of: max(2e-9 * size**3 / medians[p, size] for p, size in squares if p == of) for of in DTYPES}
    first = medians[next(iter(sides))]
    for name, (precision, _) in sides.items():
        speed, per_image = case.batch_size / medians[name], operations[name] / 1e9
        rate, peak = speed * per_image, peaks[precision]
        print(
            f"| {case.title}, batch {case.batch_size} | {name} | {1e3 * medians[name]:.1f} | {speed:.4g} "
            f"| {per_image:.4g} | {min_operations(case) / 1e9:.4g} | {rate:.0f} | {peak:.0f} | {rate / peak:.0%} "
            f"| {first / medians[name]:.2f} | {medians[DEFAULT_ALLOCATOR] / medians[name]:.2f} |",
            flush=True,
        )


def profile(case: Case) -> str:
    """Return where the time of our step in float32 goes."""
    step = our_step(case, "fp32", "contiguous")
    operations = count_operations(step)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED):
            step()
    times = Counter({event.key.split("::")[-1]: event.self_cpu_time_total for event in profiler.key_averages()})
    whole = times.total()
    products = sum(times.pop(name, 0) for name in PRODUCTS)
    rate = PROFILED * operations / products / 1e3  # times are in microseconds
    others = ", ".join(f"{name} {time / whole:.1%}" for name, time in times.most_common(5))
    return f"{case.title}: products and convolutions {products / whole:.0%} of the time, {rate:.0f} GFLOP/s; {others}"


def main() -> None:
    """Measure the chosen networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    tune_allocator()
    cpu = f"{torch.backends.cpu.get_cpu_capability()}, {' and '.join(DTYPES)}"
    print(f"torch {torch.__version__}, {cpu}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in options.cases:
        measure(CASES[name], options.rounds)
    print("\nOur step in float32:\n")
    for name in options.cases:
        print(profile(CASES[name]), flush=True)


if __name__ == "__main__":
    main()
