"""The study of diffusers' script: which gradients it computes, and its page; without a training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

STUDIES = Path(__file__).parents[1] / "studies"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDIES))
    import against_the_script

    def layers(x):
        return [F.conv2d(x, torch.linspace(-1, 1, 4 * 3 * 9).view(4, 3, 3, 3)).tanh()]

    monkeypatch.setattr(against_the_script, "open_layers", lambda name, data: layers)
    monkeypatch.setattr(against_the_script, "PERCEPTUAL", 50.0)  # so that rounding of the pixels' gradient is small
    return against_the_script


@pytest.fixture
def task(script):
    return script.Task(script.Size(8, (8, 8), 4), 20, "shapes-faces")


def test_the_perceptual_loss_trains_the_decoder_but_in_the_script(script, task):
    shares = script.gradients(task)
    assert shares["script"]["perceptual"] == 0.0
    assert shares["script, mended"]["perceptual"] == pytest.approx(1.0, abs=1e-4)
    assert shares["ours"]["perceptual"] == pytest.approx(1.0, abs=1e-4)


def test_each_half_of_the_script_leaves_its_gradient_to_the_other(script, task):
    shares = script.gradients(task)
    for name in ("left to the discriminator", "left to the autoencoder"):
        assert shares["script"][name] > 0
        assert shares["ours"][name] == 0


def test_its_two_halves_descend_the_stated_losses(script, task):
    parts = script.networks(task.size)
    x, noise = task.step(0)
    ours = script.Ours(parts, task.layers, 0.0).objective.step(x, noise)
    its = script.Script(parts, task.layers, 0.0, mended=True)
    of_vae = torch.autograd.grad(its.generator_loss(x, noise), its.vae_weights)
    of_dis = torch.autograd.grad(its.discriminator_loss(x, noise), its.dis_weights)
    for a, b in zip(ours.gradients["discriminator"], of_dis, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    decoder = of_vae[len(ours.gradients["encoder"]) :]
    assert script.relative(ours.gradients["decoder"], decoder, decoder) < 1e-3


def test_with_torch_s_convolutions_the_networks_compute_the_same(script, task):
    x, noise = task.step(0)
    before, after = (
        script.Script(parts, task.layers, 0.0).forward(x, noise)[2]
        for parts in (script.networks(task.size), script.with_torch_kernels(script.networks(task.size)))
    )
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_the_page_has_a_table_for_each_part_at_hand(script):
    found = {"speed": {"all": {"script": 2.0, "ours": 1.0}}}
    page = script.page(found)
    assert "| all | ours | 1000 | 4.00 | 2.00 |" in page
    assert "## Two processes" not in page
    found["processes"] = {"ours": {"gradient": 0.0, "weights": 0.0}}
    assert "| ours | 0 | 0 |" in script.page(found)
