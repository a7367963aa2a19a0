"""The script on fitted priors: its commands, what it measures itself, and its table, without a training."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vaegan.cli import train
from vaegan.cli.parse import parse
from vaegan.errors import UserError


@pytest.fixture
def script(study_script):
    return study_script("fitted_priors")


def test_every_command_parses(script, tmp_path):
    commands = script.trainings([2], tmp_path, ["--train.images", "300"])
    assert [Path(words[-1]).name for words, _ in commands] == ["ae-2", "vae-2", "vaegan-2"]
    for words, _ in commands:
        config = parse(train.Options, words[1:], "train").settings
        assert Path(words[-1]).name == f"{config.model.kind}-2"
        assert (config.model.latent_dim, config.train.priors, config.train.images) == (16, ("mixture",), 300)


def test_noise_and_the_middle_of_two_codes_are_decoded(script):
    """Codes are the pixels: between a black and a white image lie grey ones, of no spread and the same mean."""
    images = np.zeros((4000, 2, 2, 1), np.uint8)
    images[::2] = 255
    data = SimpleNamespace(test=SimpleNamespace(images=images))
    model = SimpleNamespace(encode=lambda x: x.flatten(1), decode=lambda z: z.reshape(-1, 1, 2, 2))
    extractor = SimpleNamespace(features=lambda x: x.flatten(1))
    normal, black, between = script.unfitted(model, data, extractor, 4000, torch.zeros(4000, 4))
    assert black == pytest.approx(4 * 0.25 + 1, rel=0.01)  # the means differ by 1/2, and only one set has a spread
    assert between == pytest.approx(4 * 0.25, rel=0.01)  # of four pixels with a variance of 1/4
    # Means differ by 1/2. The covariance of the images is 1/4 everywhere, with the single eigenvalue 1; that of N(0, I)
    # has four of 1. So the trace of their product's root is 1.
    assert normal == pytest.approx(4 * 0.25 + 4 + 1 - 2, rel=0.05)


def test_codes_of_a_second_vae_have_the_scale_of_codes_and_the_noise_around_its_means(script, tmp_path, monkeypatch):
    """A decoder that answers 0.5 leaves all the spread of the codes to the noise."""
    z = 10 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(1)) - 2
    model = SimpleNamespace(encode=lambda x, **how: z, kind="ae", latent_dim=3)
    data = SimpleNamespace(train=SimpleNamespace(images=np.zeros((1, 2, 2, 1), np.uint8)))
    half = SimpleNamespace(
        encode=lambda x, sample, seed: x.flatten(1),
        decode=lambda z: torch.full((len(z), 1, 1, 3), 0.5),
        sample=lambda num, seed: torch.full((num, 1, 1, 3), 0.5),
    )
    commands = []
    monkeypatch.setattr(script, "vaegan", lambda words: commands.append(words) or 0)
    monkeypatch.setattr(script, "OpenedRun", lambda run: SimpleNamespace(model=lambda: half))
    codes = script.second_codes(tmp_path / "ae-0", model, data, 4000, 2)
    assert codes.shape == (4000, 3)
    assert codes.mean().item() == pytest.approx(3, abs=0.1)
    assert codes.std().item() == pytest.approx(10 / 12**0.5, rel=0.05)
    config = parse(train.Options, commands[0][1:], "train").settings
    assert (config.data.source, config.model.kind, config.train.epochs) == (str(tmp_path / "ae-0-codes.npy"), "vae", 2)
    assert config.data.range == pytest.approx((-2, 8), abs=0.01)
    monkeypatch.setattr(script, "vaegan", lambda words: 2)
    with pytest.raises(UserError, match=r"the second VAE of .*ae-0 was not trained"):
        script.second_codes(tmp_path / "ae-0", model, data, 4000, 2)


def test_the_table_has_each_distance_and_its_ratio_to_real_images(script, tmp_path):
    for kind in script.KINDS:
        for seed, change in ((0, -0.1), (1, 0.1)):
            (run := tmp_path / f"{kind}-{seed}").mkdir()
            at = [{"frechet_distance": {"value": value + change}} for value in (2.0, 3.0)]
            found = {"reconstructions": at[0], "samples": {"mixture": at[1]}}
            found["yardstick"] = {"frechet_distance": {"value": 0.5}}
            (run / "evaluation.json").write_text(json.dumps(found))
            (run / "unfitted-classifier-10-2.json").write_text(json.dumps([4.0 + change, 5.0, 6.0]))
    distances, real = script.results([0, 1], tmp_path, 10, "classifier", 2.0)
    lines = script.table(distances, real).splitlines()
    ours = ["2.0 ± 1.3 (4.00", "4.0 ± 1.3 (8.00", "3.0 ± 1.3 (6.00", "5.00 ± 0.00 (10.0", "6.00 ± 0.00 (12.0"]
    assert lines[2] == f"| AE | {' times real) | '.join(ours)} times real) |"
    assert [line.split(" | ")[0] for line in lines[3:5]] == ["| VAE", "| VAE/GAN"]
    assert lines[-1] == "Real images: 0.500."
