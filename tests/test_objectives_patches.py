"""A discriminator of patches: every part's gradient against that of losses written down plainly."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vaegan.networks.conv import ConvDiscriminator
from vaegan.objectives import AdversarialLoss, Noise, VAEGANObjective
from vaegan.objectives.adversarial import pairwise_accuracy
from vaegan.objectives.feature_discriminator import r1_gradients

B, Z, SHAPE = 3, 2, (1, 12, 12)
REAL = {
    "hinge": lambda a: F.relu(1 - a),
    "non-saturating": lambda a: F.softplus(-a),
    "minimax": lambda a: F.softplus(-a),
}
FAKE = {"hinge": lambda a: F.relu(1 + a), "non-saturating": F.softplus, "minimax": F.softplus}
DECODER = {"hinge": lambda a: -a, "non-saturating": lambda a: F.softplus(-a), "minimax": lambda a: -F.softplus(a)}


class Encoder(torch.nn.Linear):
    def __init__(self):
        super().__init__(144, 2 * Z)

    def forward(self, x):
        return super().forward(x.flatten(1)).chunk(2, 1)


def networks(norm):
    torch.manual_seed(0)
    decoder = torch.nn.Sequential(torch.nn.Linear(Z, 144), torch.nn.Tanh(), torch.nn.Unflatten(1, SHAPE))
    dis = ConvDiscriminator(SHAPE, channels=(4, 6), norm=norm, activation="leaky", patch=True)
    return Encoder().double(), decoder.double(), dis.double()


def inputs():
    g = torch.Generator().manual_seed(1)
    x = torch.rand(B, *SHAPE, generator=g, dtype=torch.float64)
    eps, z_p = torch.randn(2, B, Z, generator=g, dtype=torch.float64)
    return x, Noise(eps, z_p, torch.rand(3, 2, B, generator=g, dtype=torch.float64), seed=2)


@pytest.mark.parametrize("form", REAL)
@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("joint_batch", [False, True])
def test_gradients_of_mean_losses_over_patches(form, norm, joint_batch):
    (enc, dec, dis), (x, noise) = networks(norm), inputs()
    gamma = 0.0 if joint_batch else 0.3  # in one batch, x_p moves features of x_tilde, which is no route of L_llike
    objective = VAEGANObjective(
        enc, dec, dis, adversarial=AdversarialLoss(form, real_weight=0.7), gamma=gamma, joint_batch=joint_batch
    )
    found = objective.step(x, noise, record=True)

    caught = []
    dis.get_submodule("conv2.conv").register_forward_hook(lambda module, given, output: caught.append(output))
    mu, logvar = enc(x)
    z = mu + torch.exp(logvar / 2) * noise.eps
    x_tilde, x_p = dec(z), dec(noise.z_p)

    def judged(*images):
        caught.clear()
        if not joint_batch:
            return [dis(image, each_patch=True) for image in images], list(caught)
        logits = dis(torch.cat(images), each_patch=True).chunk(len(images))
        return logits, caught[0].chunk(len(images))

    (real, tilde, prior), features = judged(x, x_tilde, x_p)
    assert real.shape == (B, 9)
    llike = 0.5 * (features[1] - features[0].detach()).square().sum() / B
    of_dis = torch.autograd.grad(
        0.7 * REAL[form](real).mean() + FAKE[form](tilde).mean() + FAKE[form](prior).mean(),
        list(dis.parameters()), retain_graph=True,
    )  # fmt: skip
    of_dec = torch.autograd.grad(
        gamma * llike + DECODER[form](tilde).mean() + DECODER[form](prior).mean(), list(dec.parameters())
    )
    for part, wanted in (("discriminator", of_dis), ("decoder", of_dec)):
        for a, b in zip(found.gradients[part], wanted, strict=True):
            torch.testing.assert_close(a, b)
    accuracy = pairwise_accuracy(real.mean(1), prior.mean(1)).detach()
    assert float(found.routes["discriminator/accuracy-prior"]) == pytest.approx(float(accuracy))
    assert float(found.routes["discriminator/logit-real"]) == pytest.approx(float(real.mean().detach()))


def test_r1_is_of_the_mean_logit():
    (_, _, dis), (x, _) = networks("group"), inputs()
    penalty, _ = r1_gradients(dis, x, 1.0, autocast=torch.enable_grad, seed=0)
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(dis(x, each_patch=True).mean(1).sum(), x)
    assert float(penalty) == pytest.approx(0.5 * float(slope.square().sum()) / B)
