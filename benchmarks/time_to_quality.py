"""Seconds of training until held-out digits are reconstructed, and new ones drawn, as well as pythae does it.

    pip install pythae
    python benchmarks/time_to_quality.py --data.root data/mnist [--epochs 10] [--our-epochs 3] [--seeds 1]

Three sides in turn, for each seed, on MNIST:

* pythae: its VAEGAN with its own default networks (one hidden layer of 512), trainer, optimisers and rates;
* a plain PyTorch loop: the networks, losses and rates of our recipe mnist-mlp, with a forward and a backward pass for
  each of the three networks and `detach` where no gradient may pass, as such loops are usually written;
* ours: `vaegan train mnist-mlp`, whose models have averaged weights, as the recipe has it.

After every 20,000 images, samples from N(0, I) and reconstructions of held-out digits are measured, in the features of
a classifier that all share; that time does not count. Printed, for reconstructions and samples: each side's best
Fréchet distance, and after how many seconds it is first within 2 % of pythae's best.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import vaegan
from vaegan.data import ImageData, open_data
from vaegan.evaluation.seed_groups import mean_over_seeds
from vaegan.metrics.distances import Moments, frechet_distance
from vaegan.metrics.extractors.features import FeatureExtractor, open_extractor
from vaegan.pixels import to_unit
from vaegan.recipes import config_for
from vaegan.runs.run_folder import list_checkpoints
from vaegan.training.checkpoints import read_checkpoint
from vaegan.training.factories import build_model

RECIPE = "mnist-mlp"
EVERY = 20_000
NEAR = 1.02
DISTANCES = ("reconstructions", "samples")
Decode = Callable[[Tensor], Tensor]


class Quality(NamedTuple):
    """Fréchet distances of a model after so many seconds of training."""

    seconds: float
    reconstructions: float
    samples: float


class Outcome(NamedTuple):
    """What a training came to."""

    best: Quality  # the smallest distances, and the seconds of the whole training
    reached: dict[str, float | None]  # by distance, after how many seconds it was as good as pythae's best


class Judge:
    """Measures models in the features of one classifier; times their training without that."""

    def __init__(self, data: ImageData, extractor: FeatureExtractor, num: int) -> None:
        self.extractor, self.x = extractor, to_unit(torch.from_numpy(data.test.images[:num].copy()))
        self.moments = Moments(extractor.features(self.x))

    def start(self) -> None:
        """Start the clock of a training."""
        self.course: list[Quality] = []
        self.begin = time.perf_counter()

    @torch.no_grad()
    def at(self, reconstruct: Decode, decode: Decode, latent_dim: int, seconds: float | None = None) -> None:
        """Measure a model now, or as it was after some seconds."""
        now = time.perf_counter()
        z = torch.randn(len(self.x), latent_dim, generator=torch.Generator().manual_seed(0))
        made = [
            torch.cat([part(batch) for batch in of.split(500)]) for part, of in ((reconstruct, self.x), (decode, z))
        ]
        distances = (frechet_distance(self.moments, Moments(self.extractor.features(x))) for x in made)
        self.course.append(Quality(now - self.begin if seconds is None else seconds, *distances))
        self.begin += time.perf_counter() - now

    def best(self) -> Quality:
        """Return the smallest distances of the training, and the seconds it took."""
        return Quality(self.course[-1].seconds, *(min(of) for of in list(zip(*self.course, strict=True))[1:]))

    def first_within(self, of: str, target: float) -> float | None:
        """Return the seconds after which a distance was first within 2 % of a target, or None."""
        return next((one.seconds for one in self.course if getattr(one, of) <= NEAR * target), None)


def is_due(images: int, batch: int) -> bool:
    """Whether a model is measured after so many images, the last batch included."""
    return images // EVERY > (images - batch) // EVERY


def pythae_side(judge: Judge, x: Tensor, seed: int, epochs: int) -> None:
    """Train pythae's VAEGAN."""
    from pythae.models import VAEGAN, VAEGANConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import CoupledOptimizerAdversarialTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    latent_dim = config_for(RECIPE).model.latent_dim
    torch.manual_seed(seed)
    model = VAEGAN(VAEGANConfig(input_dim=(1, 28, 28), latent_dim=latent_dim))
    batch = CoupledOptimizerAdversarialTrainerConfig().per_device_train_batch_size

    class Measured(TrainingCallback):  # type: ignore[misc]
        """Measures the model after every 20,000 images."""

        steps = 0

        def on_train_begin(self, training_config: object, **_: object) -> None:
            judge.start()

        def on_train_step_end(self, training_config: object, **_: object) -> None:
            self.steps += 1
            if is_due(self.steps * batch, batch):
                model.eval()
                judge.at(
                    lambda x: model.decoder(model.encoder(x).embedding).reconstruction,
                    lambda z: model.decoder(z).reconstruction,
                    latent_dim,
                )
                model.train()

    with tempfile.TemporaryDirectory() as folder:
        settings = CoupledOptimizerAdversarialTrainerConfig(output_dir=folder, num_epochs=epochs, seed=seed)
        TrainingPipeline(model, settings)(x, callbacks=[Measured()])


def plain_side(judge: Judge, x: Tensor, seed: int, epochs: int) -> None:
    """Train our recipe's networks by a loop as it is usually written."""
    config = config_for(RECIPE)
    loss, optim, batch = config.loss, config.optim, config.train.batch_size
    torch.manual_seed(seed)
    model = build_model(config, (1, 28, 28)).train()
    enc, dec, dis = model.encoder, model.decoder, model.discriminator
    assert enc is not None
    assert dec is not None
    assert dis is not None
    features: list[Tensor] = []
    dis.get_submodule(str(dis.default_feature_layer)).register_forward_hook(lambda m, i, o: features.append(o))
    optimisers = [torch.optim.Adam(part.parameters(), optim.lr, (optim.beta1, optim.beta2)) for part in (dis, dec, enc)]
    num_steps = epochs * len(x) // batch
    schedules = [
        torch.optim.lr_scheduler.CosineAnnealingLR(of, num_steps, optim.lr * optim.final_lr_factor) for of in optimisers
    ]

    def bce(logits: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    def llike(x: Tensor, x_tilde: Tensor) -> Tensor:
        features.clear()
        dis(x), dis(x_tilde)
        return 0.5 * (features[1] - features[0].detach()).square().sum() / len(x)

    def updates(x: Tensor) -> Iterator[Tensor]:
        mu, logvar = enc(x)
        z, z_p = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu), torch.randn_like(mu)
        x_tilde, x_p = dec(z.detach()), dec(z_p)
        fakes = bce(dis(x_tilde.detach()), 0) + bce(dis(x_p.detach()), 0)
        yield bce(dis(x), 1 - loss.label_smoothing) + fakes
        yield loss.gamma * llike(x, x_tilde) + bce(dis(x_tilde), 1) + bce(dis(x_p), 1)
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum() / len(x)
        yield loss.kl_weight * kl + loss.encoder_llike_weight * llike(x, dec(z))

    judge.start()
    seen = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch)[: len(x) // batch]:
            for optimiser, schedule, value in zip(optimisers, schedules, updates(x[rows]), strict=True):
                model.zero_grad()
                value.backward()
                optimiser.step()
                schedule.step()
            seen += batch
            if is_due(seen, batch):
                model.eval()
                judge.at(lambda x: dec(enc(x)[0]), dec, config.model.latent_dim)
                model.train()


def our_side(judge: Judge, root: Path | None, seed: int, epochs: int) -> None:
    """Train our recipe; measure its checkpoints, each at the time at which it was written."""
    with tempfile.TemporaryDirectory() as folder:
        run = vaegan.train(
            RECIPE, out=Path(folder) / "run", seed=seed,
            **{"data.root": root, "train.epochs": epochs, "train.snapshot_epochs": EVERY / 60_000,
               "train.keep_checkpoints": 10_000, "train.tensorboard": False, "train.priors": ()},
        )  # fmt: skip
        model = vaegan.load(run.path)
        first, *others = list_checkpoints(run.checkpoints)
        judge.start()
        for path in others:
            state = read_checkpoint(path.read_bytes(), str(path))
            weights = state["parts"] | state["averages"]
            for name in ("encoder", "decoder"):
                getattr(model, name).load_state_dict(weights[name])
            seconds = path.stat().st_mtime - first.stat().st_mtime
            judge.at(model.reconstruct, model.decode, model.latent_dim, seconds)


def main() -> None:
    """Train each side in turn, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data.root", dest="root", type=Path, help="folder of MNIST's files")
    parser.add_argument("--epochs", type=int, default=10, help="of pythae (%(default)s)")
    parser.add_argument("--our-epochs", type=int, default=3, help="of ours and of the plain loop (%(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (%(default)s)")
    parser.add_argument("--num", type=int, default=5000, help="held-out digits and samples (%(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vaegan").setLevel(logging.INFO)
    data = open_data("mnist", root=options.root)
    judge = Judge(data, open_extractor("classifier", data), options.num)
    x = to_unit(torch.from_numpy(data.train.images))
    outcomes: dict[str, list[Outcome]] = {}
    for seed in range(options.seeds):
        sides = {
            "pythae": lambda seed=seed: pythae_side(judge, x, seed, options.epochs),
            "plain loop": lambda seed=seed: plain_side(judge, x, seed, options.our_epochs),
            "ours": lambda seed=seed: our_side(judge, options.root, seed, options.our_epochs),
        }
        for side, train in sides.items():
            train()
            best = judge.best()
            if side == "pythae":
                targets = best
            reached = {of: judge.first_within(of, getattr(targets, of)) for of in DISTANCES}
            outcomes.setdefault(side, []).append(Outcome(best, reached))
    cpu = f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    print(f"\ntorch {torch.__version__}, {cpu}\n\n{table(outcomes)}")


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Return best distances, means over seeds with 95 % intervals, and the seconds of each seed as Markdown."""
    lines = ["| side | distance of | best | s to pythae's best | s in all |", "|---|---|---|---|---|"]
    for side, seeds in outcomes.items():
        for of in DISTANCES:
            values = [getattr(one.best, of) for one in seeds]
            best = f"{values[0]:.0f}"
            if len(values) > 1:
                mean = mean_over_seeds(values)
                best = f"{mean.value:.0f} ± {mean.high - mean.value:.0f}"
            reached = ", ".join("never" if one.reached[of] is None else f"{one.reached[of]:.0f}" for one in seeds)
            in_all = ", ".join(f"{one.best.seconds:.0f}" for one in seeds)
            lines.append(f"| {side} | {of} | {best} | {reached} | {in_all} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
