"""Fine-tuning an autoencoder: our training step compared with diffusers' script train_autoencoderkl.py.

    python studies/against_the_script.py                  # everything, about half an hour on two cores
    python studies/against_the_script.py --only speed     # one part: gradients, processes, speed or quality

Both have the same networks, losses, weights of losses, data, seeds and optimisers (AdamW); both loops are in
`common.script_loops`. The perceptual network is ours, as the script's is large; this does not change which networks get
gradients. Writes docs/studies/against_the_script.md.

* gradients: whether the perceptual loss reaches the decoder, and what one half of the loop leaves to the other.
* processes: two processes with a batch each; whether the autoencoder's gradients are averaged.
* speed: images per second of a whole update of generator and discriminator, all loops in turn in one process.
* quality: held-out images after equal time, several seeds, for the script as it is and with its perceptual loss mended.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from common.results import table
from common.script_loops import (
    KL,
    NAMES,
    PERCEPTUAL,
    PIXEL_VARIANCE,
    RANGE,
    RATE,
    SMALL,
    WIDE,
    Loop,
    Networks,
    Ours,
    Script,
    Size,
    networks,
    optimiser,
)
from common.statistics import interval, number
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vaegan.data import open_data
from vaegan.data.batches import Batches
from vaegan.distributed import World
from vaegan.files import write_json, write_text
from vaegan.losses import layers_distance
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors.features import open_extractor, open_layers
from vaegan.metrics.extractors.learned import Learned
from vaegan.networks.kernels.few_channels import NarrowConv2d, NarrowInputConv2d
from vaegan.objectives import (
    AutoencoderObjective,
    LaplacePixels,
    Noise,
    trainable,
)
from vaegan.pixels import to_unit
from vaegan.training import LoopSettings, Trainer
from vaegan.training.device import tune_allocator
from vaegan.training.optimisers import assign_gradients

PAGE = Path(__file__).parents[1] / "docs" / "studies" / "against_the_script.md"


class Images(NamedTuple):
    """Which images: size, number of training images, source."""

    size: Size
    num: int
    source: str


class Task:
    """Batches of images, and the perceptual network.

    Args:
        size: of images and networks.
        num: training images.
        source: of the images.
    """

    def __init__(self, size: Size, num: int, source: str) -> None:
        self.size, self.num = size, num
        self.data = open_data(source, size=size.side, channels=3, limit=num)
        self.layers = open_layers(None, self.data)
        self.batches = Batches(self.data.train, size.batch_size, seed=0)
        self.code_dim = 4 * (size.side >> (len(size.channels) - 1)) ** 2

    def step(self, index: int, seed: int = 0) -> tuple[Tensor, Noise]:
        """Return images in [-1, 1] and noise of step number ``index``."""
        images = index * self.size.batch_size
        noise = Noise.draw(self.size.batch_size, self.code_dim, seed=seed, images=images)
        return 2 * to_unit(self.batches.at(images)) - 1, noise


def relative(tensors: Sequence[Tensor], to: Sequence[Tensor], minus: Sequence[Tensor] | None = None) -> float:
    """Return the norm of some tensors, or of their difference from others, over the norm of ``to``."""
    if minus is not None:
        tensors = [a - b for a, b in zip(tensors, minus, strict=True)]
    joined = (torch.cat([t.detach().reshape(-1) for t in some]).norm() for some in (tensors, to))
    return float(next(joined) / next(joined))


def gradients(task: Task) -> dict[str, dict[str, float]]:
    """Return shares of gradient norms by side.

    * perceptual: change of the decoder's gradient with the perceptual loss, relative to that loss's own gradient.
    * left to the discriminator: gradient of the generator's half in the discriminator's, relative to its own.
    * left to the autoencoder: gradient of the discriminator's half in the autoencoder's, relative to its own.
    """
    shares: dict[str, dict[str, float]] = {}
    x, noise = task.step(0)
    parts = networks(task.size)
    decoder = trainable(parts["decoder"])
    x_tilde = Script(parts, task.layers, 0.0).forward(x, noise)[2]
    distance = layers_distance(task.layers((x_tilde + 1) / 2), task.layers((x + 1) / 2)).mean()
    own = torch.autograd.grad(PERCEPTUAL * x[0].numel() * distance, decoder, retain_graph=True)
    for side, mended in (("script", False), ("script, mended", True)):
        with_, without = (
            torch.autograd.grad(
                Script(parts, task.layers, 0.0, weight=weight, mended=mended).reconstruction_loss(x, x_tilde),
                decoder,
                retain_graph=True,
            )
            for weight in (PERCEPTUAL, 0.0)
        )
        shares[side] = {"perceptual": relative(with_, own, without)} | _leftovers(task, mended)
    found = []
    for weight in (PERCEPTUAL, 0.0):
        objective = Ours(parts, task.layers, 0.0, weight=weight).objective
        objective.adversarial_weight, objective.balance = 0.0, None
        found.append(objective.step(x, noise).gradients["decoder"])
    ours = Ours(parts, task.layers, 0.0)
    ours.step(x, noise)
    left = [w.grad for of_part in ours.weights.values() for w in of_part if w.grad is not None]
    shares["ours"] = {
        "perceptual": relative(found[0], own, found[1]),
        **dict.fromkeys(("left to the discriminator", "left to the autoencoder"), float(len(left))),
    }
    return shares


def _leftovers(task: Task, mended: bool) -> dict[str, float]:
    script = Script(networks(task.size), task.layers, 0.0, mended=mended)
    halves = (
        ("left to the discriminator", script.dis_weights, script.discriminator_loss),
        ("left to the autoencoder", script.vae_weights, script.generator_loss),
    )
    shares = {}
    for index, (name, weights, loss) in enumerate(halves):
        script.step(*task.step(index))
        left = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights]
        shares[name] = relative(left, torch.autograd.grad(loss(*task.step(index + 1)), weights))
    return shares


def _in_process(rank: int, images: Images, place: str, lr: float, steps: int) -> None:
    """Train as one of two processes; the first writes what came out."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2)
    task = Task(*images)
    world, half = World(rank, 2), task.size.batch_size
    found = {}
    for side in ("script, mended", "ours"):
        parts = networks(task.size)
        weights = [*trainable(parts["encoder"]), *trainable(parts["decoder"])]
        first = [w.detach().clone() for w in weights]
        if side == "ours":
            objective = Ours(parts, task.layers, lr).objective
            adam = {name: optimiser(trainable(part), lr) for name, part in objective.parts.items()}
            settings = LoopSettings(2 * half, 2 * half * steps, task.num, task.code_dim, RANGE)
            batches = Batches(task.data.train, 2 * half, seed=0, rank=rank, world_size=2)
            trainer = Trainer(objective, adam, batches.at, settings, world=world)
            x = trainer.network_range(batches.at(0))
            noise = Noise.draw(2 * half, task.code_dim, seed=0, images=0, rank=rank, world_size=2)
            alone = objective.step(x, noise).gradients
            of_own = [*alone["encoder"], *alone["decoder"]]
            applied = trainer.step(keep=True).applied
            got = [*applied["encoder"], *applied["decoder"]]
            for _ in trainer.run():
                pass
        else:
            # The script wraps the autoencoder, and then calls what is inside the wrapper.
            wrapped = DistributedDataParallel(nn.ModuleDict({name: parts[name] for name in NAMES[:2]}))
            script = Script({**wrapped.module, "discriminator": parts["discriminator"]}, task.layers, lr, mended=True)
            x, noise = task.step(rank)
            of_own = list(torch.autograd.grad(script.generator_loss(x, noise), weights))
            script.generator_loss(x, noise).backward()
            got = [w.grad.clone() for w in weights if w.grad is not None]
            script.of_vae.zero_grad()
            for index in range(steps):
                script.steps = 0
                script.step(*task.step(2 * index + rank))
        mean = [g.clone() for g in of_own]
        world.average_(mean)
        other = [w.detach().clone() for w in weights]
        world.share_first(other)  # those of the first process
        found[side] = {
            "gradient": relative(got, mean, mean),
            "weights": relative(other, _moved(weights, first), weights),
        }
    errors = torch.tensor([[found[side][name] for name in ("gradient", "weights")] for side in found])
    dist.all_reduce(errors, dist.ReduceOp.MAX)
    if rank == 0:
        rows = {
            side: dict(zip(("gradient", "weights"), row, strict=True))
            for side, row in zip(found, errors.tolist(), strict=True)
        }
        write_json(Path(place) / "found.json", rows)
    dist.destroy_process_group()


def _moved(weights: Sequence[Tensor], first: Sequence[Tensor]) -> list[Tensor]:
    return [w.detach() - f for w, f in zip(weights, first, strict=True)]


def processes(images: Images, steps: int = 10) -> dict[str, dict[str, float]]:
    """Return by side how far the gradients of two processes are from their mean, and their weights apart in the end.

    Both are relative: to the norm of the mean gradient, and to the way from the first weights; largest of both.
    """
    with tempfile.TemporaryDirectory() as place:
        torch.multiprocessing.spawn(_in_process, (images, place, RATE, steps), nprocs=2)
        found: dict[str, dict[str, float]] = json.loads((Path(place) / "found.json").read_text())
    return found


def speed(task: Task, rounds: int) -> dict[str, dict[str, float]]:
    """Return seconds of a whole update of generator and discriminator by what is trained and side, medians in turn."""
    tune_allocator()
    found: dict[str, dict[str, float]] = {}
    for trained in ("all three networks", "decoder and discriminator"):
        calls: dict[str, tuple[Loop, int]] = {}
        for side in ("script", "script, mended", "ours", "script, bf16", "ours, bf16"):
            parts = networks(task.size)
            if trained != "all three networks":
                parts["encoder"].requires_grad_(False)
            form = {"precision": "bf16" if "bf16" in side else "fp32"}
            if side.startswith("script"):
                calls[side] = Script(with_torch_kernels(parts), task.layers, 1e-5, mended="mended" in side, **form), 2
            else:
                calls[side] = Ours(parts, task.layers, 1e-5, **form), 1
        seconds: dict[str, list[float]] = {side: [] for side in calls}
        for index in range(rounds + 1):
            for side, (loop, iterations) in calls.items():
                steps = [task.step(2 * index + i) for i in range(iterations)]
                start = time.perf_counter()
                for x, noise in steps:
                    loop.step(x, noise)
                seconds[side].append(time.perf_counter() - start)
        found[trained] = {side: statistics.median(times[1:]) for side, times in seconds.items()}
    return found


def with_torch_kernels(parts: Networks) -> Networks:
    """Make all convolutions torch's own, as in the script."""
    for module in (module for part in parts.values() for module in part.modules()):
        if isinstance(module, (NarrowConv2d, NarrowInputConv2d)):
            module.__class__ = nn.Conv2d
    return parts


def quality(task: Task, base: Networks, seconds: float, seeds: Sequence[int]) -> dict[str, list[dict[str, float]]]:
    """Return by side and seed what held-out reconstructions are like after equal time, and before."""
    reals = to_unit(torch.from_numpy(task.data.test.images[:500].copy()))
    extractor = open_extractor(None, task.data)
    assert isinstance(extractor, Learned)
    of_reals = extractor.features(reals)

    def figures(parts: Networks, updates: int) -> dict[str, float]:
        with torch.no_grad():
            made = [(parts["decoder"](parts["encoder"](2 * x - 1)[0]).clamp(-1, 1) + 1) / 2 for x in reals.split(50)]
        x_tilde = torch.cat(made)
        with torch.no_grad():
            distance = layers_distance(extractor.layers(x_tilde), extractor.layers(reals)).mean()
        frechet = frechet_distance(Moments(extractor.features(x_tilde)), Moments(of_reals))
        mse = float((x_tilde - reals).square().mean())
        return {"updates": updates, "MSE": mse, "perceptual": float(distance), "Frechet": frechet}

    found: dict[str, list[dict[str, float]]] = {"before": [figures(base, 0)]}
    for seed in seeds:
        for side in ("script", "script, mended", "ours"):
            parts = networks(task.size, seed)
            for name in NAMES[:2]:
                parts[name].load_state_dict(base[name].state_dict())
            loop = Ours(parts, task.layers, RATE) if side == "ours" else Script(
                with_torch_kernels(parts), task.layers, RATE, mended="mended" in side
            )  # fmt: skip
            start, index = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                loop.step(*task.step(index, seed))
                index += 1
            found.setdefault(side, []).append(figures(parts, index if side == "ours" else index // 2))
            print(f"seed {seed}, {side}: {found[side][-1]}", flush=True)
    return found


def pretrained(size: Size, num: int, images: int) -> Networks:
    """Return networks whose encoder and decoder are a VAE of drawn shapes, the model to fine-tune."""
    task, parts = Task(size, num, "shapes"), networks(size)
    objective = AutoencoderObjective(
        parts["encoder"], parts["decoder"], likelihood=LaplacePixels(RANGE, PIXEL_VARIANCE), kl_weight=KL
    )
    weights = {name: trainable(part) for name, part in objective.parts.items()}
    adam = {name: optimiser(of_part, 1e-3) for name, of_part in weights.items()}
    for index in range(images // size.batch_size):
        for part, of_part in objective.step(*task.step(index)).gradients.items():
            assign_gradients(weights[part], of_part)
            adam[part].step()
    return parts


def page(found: dict[str, Any]) -> str:
    """Return the page of the results at hand."""
    sections = [HEAD]
    if rows := found.get("gradients"):
        names = list(next(iter(rows.values())))
        sections.append(
            GRADIENTS
            + table(["loop", *names], [[side, *[_share(row[n]) for n in names]] for side, row in rows.items()])
        )
    if rows := found.get("processes"):
        sections.append(PROCESSES + table(
            ["loop", "difference of gradients", "difference of weights"],
            [[side, _share(row["gradient"]), _share(row["weights"])] for side, row in rows.items()],
        ))  # fmt: skip
    if rows := found.get("speed"):
        lines = [
            [trained, side, f"{1e3 * s:.0f}", number(WIDE.batch_size / s), f"{times['script'] / s:.2f}"]
            for trained, times in rows.items() for side, s in times.items()
        ]  # fmt: skip
        sections.append(SPEED + table(["trained", "loop", "ms", "images/s", "ratio"], lines, numbers=False))
    if rows := found.get("quality"):
        names = ("updates", "MSE", "perceptual", "Frechet")
        titles = ["loop", "updates", "per-pixel MSE", "perceptual distance", "Fréchet distance"]
        cells = [[side, *[interval([row[n] for row in of_side]) for n in names]] for side, of_side in rows.items()]
        sections.append(QUALITY.format(**found["about"]) + table(titles, cells))
    return "\n\n".join(sections) + "\n"


def _share(value: float) -> str:
    return "0" if value == 0 else number(value) if value >= 1e-3 else f"{value:.0e}"


HEAD = f"""# Our training step and diffusers' script

`train_autoencoderkl.py` in the examples of diffusers (huggingface/diffusers, commit e276f08) fine-tunes the
autoencoders of latent diffusion. This study compares its loop, rewritten in a few lines, with our training step, on the
same networks, losses, data, seeds and optimisers.

```
python studies/against_the_script.py
```

Unless stated otherwise, images are drawn faces of {SMALL.side} pixels, and networks are those of `kl-f8` with
{", ".join(map(str, SMALL.channels))} channels. The script computes its perceptual loss under `no_grad`; "mended" is the
script without that mistake."""
GRADIENTS = """## Which losses train which network

* perceptual: change of the decoder's gradient when the perceptual loss is added, relative to that loss's own gradient.
  1: the loss trains the decoder; 0: it does not.
* left to the discriminator: gradient that the generator's half leaves in the discriminator's step, relative to the
  discriminator's own. Both halves of the script run backward through all networks, and an optimiser's gradients are set
  to zero only after its own step. Above 1, the step mostly follows the wrong loss.
* left to the autoencoder: gradient that the discriminator's half leaves in the autoencoder's step, relative to the
  autoencoder's own. It makes the autoencoder lower the discriminator's loss, too.

"""
PROCESSES = """## Two processes

The script does not call the autoencoder through its DistributedDataParallel wrapper, so gradients are not averaged. In
the table, gradients are compared with the mean over both processes, relative to that mean; weights are compared between
the two processes after ten updates, relative to how far they have moved. The larger value of the two processes counts.

"""
SPEED = f"""## Speed

A whole update of generator and discriminator, in float32 unless marked bf16, with batches of {WIDE.batch_size} images
of {WIDE.side} pixels and {", ".join(map(str, WIDE.channels))} channels. The loops take turns in one process; times are
medians. The script needs two iterations for an update, each with a batch of its own, so with the same kernels and
number format the ratio is below 2.

"""
QUALITY = """## Quality after equal time

Each loop trains for {seconds} seconds on {num} drawn faces, one after the other. All start from the same VAE, trained
on other drawn shapes. Results are of held-out faces: mean and 95 % interval over seeds {seeds}. The perceptual and the
Fréchet distance are those of a network that no loop was trained with.

"""


def main() -> int:
    """Measure the chosen parts, and write the page of all parts measured so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("gradients", "processes", "speed", "quality")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to measure")
    parser.add_argument("--images", type=int, default=1000, help="faces to fine-tune on")
    parser.add_argument("--base-images", type=int, default=32_000, help="images seen by the VAE that is fine-tuned")
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, for quality")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=9, help="of timing")
    parser.add_argument("--out", type=Path, default=Path("runs/against-the-script"), help="folder of the results")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    results = options.out / "results.json"
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    for part in options.only:
        print(f"{part} ...", flush=True)
        start = time.perf_counter()
        images = Images(WIDE if part == "speed" else SMALL, options.images, "shapes-faces")
        task = Task(*images)
        if part == "gradients":
            found[part] = gradients(task)
        elif part == "processes":
            found[part] = processes(images)
        elif part == "speed":
            found[part] = speed(task, options.rounds)
        else:
            base = pretrained(SMALL, options.images, options.base_images)
            found[part] = quality(task, base, options.seconds, options.seeds)
            seeds = ", ".join(map(str, options.seeds))
            found["about"] = {"seconds": f"{options.seconds:g}", "num": f"{options.images:,}", "seeds": seeds}
        print(f"{part}: {found[part]} ({time.perf_counter() - start:.0f} s)", flush=True)
        write_json(results, found)
    write_text(options.page, page(found))
    print(f"-> {options.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
