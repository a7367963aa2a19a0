"""The perceptual part of L_llike: its value, its scale, whom it moves."""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from torch import nn

from vaegan.metrics.extractors import learned
from vaegan.objectives import BernoulliPixels, GaussianPixels, LaplacePixels, PerceptualLikelihood
from vaegan.settings import LossSettings
from vaegan.training.factories import build_likelihood

CONV = nn.Conv2d(1, 4, 3)
with torch.no_grad():  # so that several channels are positive, or the direction of features is always the same
    CONV.bias.fill_(1.0)


def layers(x):
    return [x, F.relu(CONV(x))]


def test_value_in_the_public_range():
    torch.manual_seed(0)
    x, x_tilde = torch.rand(2, 3, 1, 6, 6)
    pixels = LaplacePixels((-1.0, 1.0), variance=0.5)
    found = PerceptualLikelihood(pixels, layers, 0.3, (-1.0, 1.0)).loss(2 * x_tilde - 1, 2 * x - 1)
    made, real = F.relu(CONV(x_tilde)), F.relu(CONV(x))
    unit = [t / t.norm(dim=1, keepdim=True).clamp_min(1e-12) for t in (made, real)]
    apart = (unit[0] - unit[1]).square().sum(1).mean((1, 2)) / 2  # one channel alone points where the other does
    # |x - x_tilde| / b in [0, 1] with b = 1/2 is the absolute error of values in [-1, 1].
    absolute = (2 * x_tilde - 2 * x).abs().flatten(1).sum(1)
    torch.testing.assert_close(found, absolute + 0.3 * 36 * apart, rtol=1e-4, atol=1e-4)


def test_gradients_reach_what_they_should():
    y = torch.randn(2, 1, 6, 6).requires_grad_()
    x = torch.rand(2, 1, 6, 6).requires_grad_()
    weight = [p.requires_grad_(False) for p in CONV.parameters()]
    assert weight
    for pixels in (BernoulliPixels(), GaussianPixels()):
        plain, more = pixels.loss(y, x.detach()), PerceptualLikelihood(pixels, layers, 1.0).loss(y, x.detach())
        (of_plain,), (of_more,) = (torch.autograd.grad(loss.sum(), y) for loss in (plain, more))
        assert not torch.allclose(of_plain, of_more)
    PerceptualLikelihood(GaussianPixels(), layers, 1.0).loss(y, x).sum().backward()
    assert y.grad is not None
    learned_variance = GaussianPixels(learned=True)
    names = [name for name, _ in PerceptualLikelihood(learned_variance, layers).named_parameters()]
    assert names == ["pixels.log_variance"]


def test_laplace_is_built_of_the_variance():
    likelihood = build_likelihood(LossSettings(likelihood="laplace", pixel_variance=0.5), (0.0, 1.0))
    assert likelihood.scale == 0.5


def test_a_training_with_one_resumes_exactly(command, tiny_of, tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 300)
    words = ["train", *tiny_of("vae"), "--loss.likelihood", "laplace", "--loss.perceptual", "rotations",
             "--data.cache", tmp_path / "cache"]  # fmt: skip
    assert command(*words, "--train.epochs", "2", "--out", tmp_path / "whole") == 0
    for epochs in "12":
        assert command(*words, "--train.epochs", epochs, "--out", tmp_path / "parts") == 0
    assert command(*words, "--loss.perceptual-weight", "0", "--out", tmp_path / "without") == 0
    one, two = (torch.load(tmp_path / name / "checkpoints" / "000000000208.pt") for name in ("whole", "parts"))
    for part, weights in one["parts"].items():
        assert all(torch.equal(tensor, two["parts"][part][name]) for name, tensor in weights.items())
    first = {}
    for name in ("whole", "without"):
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        first[name] = next(line["losses"]["encoder"]["llike"] for line in lines if line["split"] == "train")
    assert first["whole"] > first["without"] + 1


def test_where_it_cannot_be(command, tiny, tmp_path, capsys):
    words = ["--loss.perceptual", "classifier", "--loss.likelihood", "laplace"]
    assert command("train", *tiny, *words, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert "use rotations" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
