"""kl-f4 and kl-f8: the losses of their origin, the weight that adapts, the scale of their codes, a training."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import vaegan
from vaegan.data import open_data
from vaegan.data.dataset import ImageSet
from vaegan.errors import UserError
from vaegan.latent.encoding import scale_factor
from vaegan.metrics.extractors import learned
from vaegan.models import Model
from vaegan.objectives import Noise
from vaegan.objectives.balance import MOST
from vaegan.recipes import config_for
from vaegan.training.factories import build_model, build_objective
from vaegan.training.profiling import work_of_step

SIDE = 32
SETTINGS = {
    "model.encoder.channels": (8, 8, 16),
    "model.decoder.channels": (16, 8, 8),
    "model.discriminator.channels": (8, 16, 16, 16),
    **{f"model.{part}.{name}": value for part in ("encoder", "decoder") for name, value in
       {"groups": 4, "blocks": 1}.items()},
}  # fmt: skip
NARROW = [
    word
    for name, value in SETTINGS.items()
    for word in ("--" + name, ",".join(map(str, value)) if isinstance(value, tuple) else str(value))
]


def layers(x):
    return [F.avg_pool2d(x, 4), F.avg_pool2d((3 * x).sin(), 8)]


@pytest.fixture
def made():
    """A narrow model of kl-f4, its objective with a perceptual part, images and noise."""
    config = config_for("kl-f4", SETTINGS)
    model = build_model(config, (3, SIDE, SIDE)).double()
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(4, 3, SIDE, SIDE, generator=generator, dtype=torch.float64) - 1
    eps, z_p = torch.randn(2, 4, model.latent_dim, generator=generator, dtype=torch.float64)
    noise = Noise(eps, z_p, torch.rand(3, 2, 4, generator=generator), seed=1)
    return model, build_objective(config, model, torch.enable_grad, layers), x, noise


def theirs(model, x, noise):
    """L_llike, KL and the losses of the game as the authors of arXiv:2112.10752 write them."""
    mu, logvar = model.encoder(x)
    x_tilde = model.decoder(mu + torch.exp(0.5 * logvar) * noise.eps)
    perceptual = 0.0
    for a, b in zip(layers((x + 1) / 2), layers((x_tilde + 1) / 2), strict=True):
        unit = [t / t.square().sum(1, keepdim=True).sqrt() for t in (a, b)]
        perceptual = perceptual + (unit[0] - unit[1]).square().sum(1, keepdim=True).mean((2, 3), keepdim=True) / 2
    nll = torch.sum((x - x_tilde).abs() + 1.0 * perceptual) / len(x)
    kl = 0.5 * torch.sum(mu**2 + logvar.exp() - 1.0 - logvar) / len(x)
    real, fake = (model.discriminator(image, each_patch=True) for image in (x, x_tilde))
    of_dis = 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())
    return nll, kl, -fake.mean(), of_dis


def test_losses_and_gradients_are_those_of_the_origin_but_for_the_encoders(made):
    model, objective, x, noise = made
    found = objective.step(x, noise, record=True)
    nll, kl, of_fake, of_dis = theirs(model, x, noise)
    last = model.decoder.output.weight
    lengths = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (nll, of_fake)]
    weight = 0.5 * (lengths[0] / lengths[1]).item()
    assert 0 < weight < MOST
    assert float(found.routes["decoder/balance"]) == pytest.approx(weight)
    assert float(found.losses["encoder"]["total"]) == pytest.approx((nll + 1e-6 * kl).item())
    assert float(found.losses["encoder"]["kl"]) == pytest.approx(kl.item())
    assert float(found.losses["decoder"]["total"]) == pytest.approx((nll + weight * of_fake).item())
    assert float(found.losses["discriminator"]["total"]) == pytest.approx(of_dis.item())
    descended = {"encoder": nll + 1e-6 * kl, "decoder": nll + weight * of_fake, "discriminator": of_dis}
    for part, loss in descended.items():
        wanted = torch.autograd.grad(loss, list(model.parts[part].parameters()), retain_graph=True)
        for a, b in zip(found.gradients[part], wanted, strict=True):
            torch.testing.assert_close(a, b)


class Spread(torch.nn.Module):
    """mu is the image's mean brightness times (3, 1, ...), sigma one half."""

    def forward(self, x):
        mu = x.mean((1, 2, 3))[:, None] * torch.tensor([3.0, 1.0, 1.0, 1.0])
        return mu, torch.full_like(mu, 0.25).log()


def spread(factor=None):
    info = {} if factor is None else {"scale_factor": factor}
    decoder = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Unflatten(1, (1, 2, 2)))
    return Model(encoder=Spread(), decoder=decoder, kind="vae", image_shape=(1, 2, 2), latent_dim=4,
                 code_shape=(1, 2, 2), info=info)  # fmt: skip


def test_the_scale_factor_brings_all_numbers_together_to_deviation_one():
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 1, 1, 1)).repeat(2, 1).repeat(2, 2).astype(np.uint8)
    images = ImageSet(pixels, [str(i) for i in range(3000)])
    model = spread()
    # b = 2 u - 1 with u uniform: mean 0, so the variance of all is E[b^2] (9 + 1 + 1 + 1) / 4 + 1/4 = 1 + 1/4.
    assert scale_factor(model, images, num=3000) == pytest.approx(1.25**-0.5, rel=0.03)
    assert scale_factor(model, images, seed=1) == scale_factor(model, images, seed=1)
    assert scale_factor(model, images, seed=1) != scale_factor(model, images, seed=2)
    black = Model(encoder=torch.nn.Flatten(), kind="ae", image_shape=(1, 2, 2), latent_dim=4, code_shape=(1, 2, 2))
    with pytest.raises(UserError, match="the codes have standard deviation 0: nothing can scale them to 1"):
        scale_factor(black, ImageSet(0 * pixels, [str(i) for i in range(3000)]))


def test_codes_for_diffusion_are_scaled_maps(make_model):
    model, x = spread(0.5), torch.rand(3, 1, 2, 2)
    assert torch.equal(model.latents(x), (0.5 * model.encode(x)).view(3, 1, 2, 2))
    torch.testing.assert_close(model.decode_latents(model.latents(x)), model.reconstruct(x))
    drawn = 0.5 * model.encode(x, sample=True, seed=3)
    assert torch.equal(model.latents(x, sample=True, seed=3).flatten(1), drawn)
    with pytest.raises(UserError, match="this model has no latent scale factor: it is measured at the end of training"):
        spread().latents(x)
    with pytest.raises(UserError, match="only codes that are maps have a latent scale factor"):
        make_model("vae").latents(torch.rand(3, 1, 8, 8))


@pytest.mark.slow
def test_thirty_steps_on_a_folder_of_images(command, tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 64)
    images = open_data("shapes-faces", size=128, limit=40).train.images
    folder, run = tmp_path / "photos", tmp_path / "run"
    folder.mkdir()
    for i, image in enumerate(images[:40]):
        Image.fromarray(image).save(folder / f"{i}.png")
    words = ["--train.images", "120", "--train.log-images", "20", "--train.snapshot-epochs", "100",
             "--data.size", "64", "--train.precision", "fp32", "--train.memory-format", "contiguous",
             "--train.tensorboard", "false", "--optim.lr", "1e-3", "--device", "cpu",
             "--data.cache", tmp_path / "cache"]  # fmt: skip
    assert command("train", "kl-f4", "--data", folder, "--out", run, *NARROW, *words) == 0
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    records = [record for record in records if record["split"] == "train"]
    assert records[-1]["images"] == 120
    for record in records:
        values = [value for terms in record["losses"].values() for value in terms.values()]
        assert all(map(math.isfinite, values))
        assert 0 < record["routes"]["decoder/balance"] <= MOST
    assert records[-1]["losses"]["encoder"]["llike"] < 0.7 * records[0]["losses"]["encoder"]["llike"]

    model = vaegan.load(run)
    assert model.code_shape == (3, 16, 16)
    assert command("encode", run, "--scaled", "--split", "train", "--out", tmp_path / "codes.npz") == 0
    with np.load(tmp_path / "codes.npz") as arrays:
        codes, logvar = arrays["codes"], arrays["logvar"]
    assert codes.shape[1:] == logvar.shape[1:] == (3, 16, 16)
    drawn = codes + np.exp(logvar / 2) * np.random.default_rng(0).standard_normal(codes.shape)
    assert drawn.std() == pytest.approx(1.0, rel=0.05)
    assert command("encode", run, "--out", tmp_path / "plain.npz", "--split", "train") == 0
    with np.load(tmp_path / "plain.npz") as arrays:
        np.testing.assert_allclose(arrays["codes"].reshape(codes.shape) * model.scale_factor, codes, rtol=1e-5)


def test_a_step_of_kl_f4_as_it_is_stays_within_6_gib():
    config = config_for("kl-f4")
    assert (config.data.size, config.train.batch_size, config.loss.perceptual) == (128, 4, "auto")
    work = work_of_step(config, (3, 128, 128))
    # Weights, gradients and Adam's two moments alone take 16 bytes a parameter. Torch, what its kernels need and the
    # perceptual network take 1.3 GiB more than is counted here: `benchmarks/memory.py` measures 4.5 GiB in all.
    assert 16 * work.parameters < work.memory < (6 - 1.3) * 2**30


def test_a_model_without_a_scale_factor_says_so(command, tmp_path, capsys):
    config = config_for("kl-f4", SETTINGS)
    build_model(config, (3, 16, 16)).save(tmp_path / "model")
    np.save(tmp_path / "x.npy", np.zeros((20, 16, 16, 3), np.uint8))
    words = ["--data", tmp_path / "x.npy", "--out", tmp_path / "codes.npz", "--scaled"]
    assert command("encode", tmp_path / "model", *words) == 2
    assert "this model has no latent scale factor" in capsys.readouterr().err
