"""One training step: the way peers make it against ours, in turn, in one process.

    python benchmarks/step.py [--cases mlp conv28 paper64] [--rounds 9]

Both sides train the same networks on the same batch with Adam. The peers' step is the plain one that is found in
published VAE/GANs: float32, torch's own modules and default optimisers, one forward pass, then for each part's loss a
full backward pass over the retained graph, then three steps. Ours is what `vaegan train` does: `VAEGANObjective`, in
the number format and memory layout named in the row. Prints medians over the rounds, and the counted operations (two
per multiply-add) per image.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from networks import CASES, Case
from torch import Tensor, nn

from vaegan.networks import build_parts
from vaegan.networks.kernels.few_channels import NarrowConv2d, NarrowInputConv2d
from vaegan.networks.kernels.strided import StridedConv2d, StridedConvTranspose2d
from vaegan.objectives import Noise, VAEGANObjective, trainable
from vaegan.operations import count_operations
from vaegan.training.device import autocast_for, layout_of, tune_allocator
from vaegan.training.optimisers import assign_gradients, make_optimiser

Step = Callable[[], object]
GAMMA = 1e-3
COLUMNS = (
    "network", "step", "ms", "images/s", "GFLOP/image", "floor", "GFLOP/s", "matrix product", "share", "ratio",
    "to peers alone",
)  # fmt: skip
BY_THEMSELVES = "peers in a process of their own"
SIZES = (1024, 2048, 4096)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def networks(case: Case) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Encoder, decoder and discriminator with the same first weights each time."""
    torch.manual_seed(0)
    parts = build_parts(**case.architecture)
    return parts["encoder"], parts["decoder"], parts["discriminator"]


def batch(case: Case) -> Tensor:
    """One batch in [-1, 1]."""
    return (
        torch.rand(case.batch_size, *case.architecture["image_shape"], generator=torch.Generator().manual_seed(1)) * 2
        - 1
    )


def peers_step(case: Case) -> Step:
    """Make the step that peers use: three full backward passes over one retained graph."""
    parts = networks(case)
    for part in parts:
        for module in part.modules():
            # Torch's own convolutions, as peers have them.
            if isinstance(module, (NarrowConv2d, NarrowInputConv2d, StridedConv2d)):
                module.__class__ = nn.Conv2d
            elif isinstance(module, StridedConvTranspose2d):
                module.__class__ = nn.ConvTranspose2d
    enc, dec, dis = parts
    optimisers = [torch.optim.Adam(part.parameters(), 1e-4) for part in parts]
    caught: list[Tensor] = []
    dis.get_submodule(str(dis.default_feature_layer)).register_forward_hook(lambda m, i, o: caught.append(o))
    x, latent_dim = batch(case), case.architecture["latent_dim"]
    real, fake = torch.ones(case.batch_size), torch.zeros(case.batch_size)

    def step() -> None:
        caught.clear()
        mu, logvar = enc(x)
        x_tilde = dec(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
        x_p = dec(torch.randn(case.batch_size, latent_dim))
        a, a_tilde, a_p = dis(x), dis(x_tilde), dis(x_p)
        gan = (
            F.binary_cross_entropy_with_logits(a, real)
            + F.binary_cross_entropy_with_logits(a_tilde, fake)
            + F.binary_cross_entropy_with_logits(a_p, fake)
        )
        llike = 0.5 * (caught[1] - caught[0].detach()).square().sum() / case.batch_size
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum() / case.batch_size
        found = []
        for part, loss in zip(parts, (kl + llike, GAMMA * llike - gan, gan), strict=True):
            for other in parts:
                other.zero_grad()
            loss.backward(retain_graph=True)
            found.append([p.grad for p in part.parameters()])
        for part, gradients, optimiser in zip(parts, found, optimisers, strict=True):
            for p, gradient in zip(part.parameters(), gradients, strict=True):
                p.grad = gradient
            optimiser.step()

    return step


def our_step(case: Case, precision: str, memory_format: str) -> Step:
    """Make our step."""
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


def floor(case: Case) -> float:
    """3e + 7d + 10s, operations of one image."""
    enc, dec, dis = networks(case)
    x, z = batch(case)[:2], torch.zeros(2, case.architecture["latent_dim"])
    e, d, s = (count_operations(call) / 2 for call in (lambda: enc(x), lambda: dec(z), lambda: dis(x)))
    return 3 * e + 7 * d + 10 * s


def products() -> dict[tuple[str, int], Step]:
    """Square matrix products in each precision and size."""
    made: dict[tuple[str, int], Step] = {}
    for precision, dtype in DTYPES.items():
        for size in SIZES:
            a, b = (torch.randn(size, size, generator=torch.Generator().manual_seed(i)).to(dtype) for i in range(2))
            made[precision, size] = functools.partial(torch.mm, a, b)
    return made


def seconds_of(call: Step) -> float:
    """Time one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def answer(name: str, pipe: Connection) -> None:
    """Time a peers' step for each message that comes; the last one is empty."""
    step = peers_step(CASES[name])
    while pipe.recv():
        pipe.send(seconds_of(step))


@contextlib.contextmanager
def peers_by_themselves(case: Case) -> Iterator[Callable[[], float]]:
    """Seconds of a peers' step in a process of its own, with the C library's allocator as peers leave it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=answer, args=(case.name, theirs), daemon=True)
    process.start()

    def ask() -> float:
        ours.send(True)
        return float(ours.recv())

    yield ask
    ours.send(False)
    process.join()


def measure(case: Case, rounds: int) -> None:
    """Print the rows of one network."""
    sides: dict[str, tuple[str, Step]] = {
        "peers: three backwards, fp32": ("fp32", peers_step(case)),
        "ours, fp32": ("fp32", our_step(case, "fp32", "contiguous")),
    }
    sides["ours, bf16"] = ("bf16", our_step(case, "bf16", "contiguous"))
    if case.architecture["network"] == "conv":
        sides["ours, bf16 channels_last"] = ("bf16", our_step(case, "bf16", "channels_last"))
    operations = {name: count_operations(step) / case.batch_size for name, (_, step) in sides.items()}
    squares = products()
    timed: dict[object, Callable[[], float]] = {
        name: functools.partial(seconds_of, call)
        for name, call in ({name: step for name, (_, step) in sides.items()} | squares).items()
    }
    with peers_by_themselves(case) as timed[BY_THEMSELVES]:
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
            f"| {per_image:.4g} | {floor(case) / 1e9:.4g} | {rate:.0f} | {peak:.0f} | {rate / peak:.0%} "
            f"| {first / medians[name]:.2f} | {medians[BY_THEMSELVES] / medians[name]:.2f} |",
            flush=True,
        )


def main() -> None:
    """Measure the chosen networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    tune_allocator()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds in turn\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in options.cases:
        measure(CASES[name], options.rounds)


if __name__ == "__main__":
    main()
