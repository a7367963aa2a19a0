"""Changes of what the discriminator sees: each by hand, their gradients, how often, and resuming."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vaegan.objectives import AdversarialLoss, GANObjective, Noise, VAEGANObjective
from vaegan.objectives.diff_augment import (
    AUGMENTATIONS,
    AdaptiveProbability,
    DiscriminatorAugment,
    colour,
    cutout,
    translation,
)
from vaegan.objectives.feature_discriminator import r1_gradients
from vaegan.objectives.interface import NUM_DRAWS
from vaegan.training import LoopSettings, Trainer

B, Z, SIDE = 4, 3, 16
ALL = tuple(AUGMENTATIONS)


def images(channels=3, seed=0, dtype=torch.float64):
    return torch.rand(B, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draws(num=B, seed=1):
    return torch.rand(NUM_DRAWS, num, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_colour_by_hand():
    x, u = 2 * images() - 1, torch.rand(3, B, dtype=torch.float64)
    for i, image in enumerate(x):
        y = image + u[0, i] - 0.5
        grey = y.mean(0)
        y = grey + 2 * u[1, i] * (y - grey)
        y = y.mean() + (0.5 + u[2, i]) * (y - y.mean())
        torch.testing.assert_close(colour(x, u)[i], y)


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.5), (0.999, 0.0), (0.5, 0.999), (0.25, 0.75)])
def test_translation_by_hand(down, right):
    x = 2 * images() - 1
    u = torch.tensor([[down], [right], [0.0]], dtype=torch.float64).expand(3, B)
    rows, columns = (int(share * 5) - 2 for share in (down, right))  # an eighth of 16, either way
    padded = F.pad(x, (2, 2, 2, 2))
    wanted = padded[:, :, 2 - rows : 2 - rows + SIDE, 2 - columns : 2 - columns + SIDE]
    assert torch.equal(translation(x, u), wanted)


def test_cutout_by_hand():
    x = torch.ones(2, 1, SIDE, SIDE)
    u = torch.tensor([[0.5, 0.0], [0.5, 0.999], [0.0, 0.0]])
    found = cutout(x, u)[:, 0]
    wanted = torch.ones(2, SIDE, SIDE)
    wanted[0, 4:12, 4:12] = 0  # the centre, row 8 of 0 to 16
    wanted[1, :4, 12:] = 0  # half of it lies outside on both sides
    assert torch.equal(found, wanted)


def test_ranges_odds_and_greys():
    x, u = images(), draws()
    low, wide = DiscriminatorAugment(ALL, (0.0, 1.0)), DiscriminatorAugment(ALL, (-1.0, 1.0))
    torch.testing.assert_close(wide(2 * x - 1, u), 2 * low(x, u) - 1)
    assert torch.equal(low(x, u), low(x, u))
    assert not torch.allclose(low(x, u), low(x, draws(seed=2)))
    low.p.fill_(0.0)
    torch.testing.assert_close(low(x, u), x)
    low.p.fill_(0.5)
    u[[0, 4, 8], 0], u[[0, 4, 8], 1] = 0.6, 0.4
    torch.testing.assert_close(low(x, u)[0], x[0])
    low.p.fill_(1.0)
    torch.testing.assert_close(low(x, u)[1], wide(2 * x - 1, u)[1] / 2 + 0.5)
    assert DiscriminatorAugment(("cutout", "colour")).kinds == ["colour", "cutout"]
    assert low(images(1), u).shape == (B, 1, SIDE, SIDE)
    half = low(x.bfloat16(), u)
    torch.testing.assert_close(half, low(x.bfloat16().float(), u))


def test_moves_and_squares_are_everywhere_alike():
    num = 4000
    u = torch.rand(3, num, generator=torch.Generator().manual_seed(0))
    point = torch.zeros(num, 1, SIDE, SIDE)
    point[:, :, 8, 8] = 1.0
    landed = translation(point, u).sum(0)[0] / num
    assert landed[6:11, 6:11] == pytest.approx(torch.full((5, 5), 1 / 25), abs=0.012)
    gone = 1 - cutout(torch.ones(num, 1, SIDE, SIDE), u).mean((0, 1))
    assert float(gone[8, 8]) == pytest.approx((8 / 17) ** 2, abs=0.03)  # its centre is at rows and columns 0 to 16


@pytest.mark.parametrize("kind", ALL)
def test_gradients_go_back_through_each_change(kind):
    x, u = (2 * images(2, dtype=torch.float64) - 1)[:2, :, :8, :8].requires_grad_(), draws(2)
    assert torch.autograd.gradcheck(DiscriminatorAugment((kind,), (-1.0, 1.0)), (x, u), fast_mode=True)


class Encoder(nn.Linear):
    def __init__(self):
        super().__init__(SIDE * SIDE, 2 * Z)

    def forward(self, x):
        return super().forward(x.flatten(1)).chunk(2, 1)


def networks():
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(Z, SIDE * SIDE), nn.Sigmoid(), nn.Unflatten(1, (1, SIDE, SIDE)))
    dis = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(196, 1))
    dis.couples_images = False
    return Encoder().double(), decoder.double(), dis.double()


def noise():
    g = torch.Generator().manual_seed(3)
    eps, z_p = torch.randn(2, B, Z, generator=g, dtype=torch.float64)
    return Noise(eps, z_p, torch.rand(3, 2, B, generator=g), seed=2, augment=draws())


@pytest.mark.parametrize("form", ["minimax", "non-saturating", "hinge"])
@pytest.mark.parametrize("joint_batch", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_all_that_dis_sees_is_changed_and_every_part_descends_its_loss_through_that(form, joint_batch, share):
    (enc, dec, dis), x, n = networks(), images(1), noise()
    augment = DiscriminatorAugment(ALL)
    augment.p.fill_(share)
    objective = VAEGANObjective(
        enc,
        dec,
        dis,
        adversarial=AdversarialLoss(form),
        gamma=0.3,
        feature_layer="0",
        joint_batch=joint_batch,
        augment=augment,
    )
    found = objective.step(x, n)
    mu, logvar = enc(x)
    z = mu + torch.exp(logvar / 2) * n.eps
    x_tilde, x_p = dec(z), dec(n.z_p)
    seen = [augment(image, n.augment) for image in (x, x_tilde, x_p)]
    real, tilde, prior = (dis(image)[:, 0] for image in seen)
    llike = 0.5 * (dis[0](seen[1]) - dis[0](seen[0]).detach()).square().sum() / B
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum() / B
    fakes = (tilde, prior)
    of_dis = F.softplus(-real).mean() + sum(F.softplus(a).mean() for a in fakes)
    of_dec = {
        "minimax": lambda a: -F.softplus(a), "non-saturating": lambda a: F.softplus(-a), "hinge": lambda a: -a
    }[form]  # fmt: skip
    if form == "hinge":
        of_dis = F.relu(1 - real).mean() + sum(F.relu(1 + a).mean() for a in fakes)
    losses = {"encoder": kl + llike, "decoder": 0.3 * llike + sum(of_dec(a).mean() for a in fakes),
              "discriminator": of_dis}  # fmt: skip
    for part, loss in losses.items():
        wanted = torch.autograd.grad(loss, list(objective.parts[part].parameters()), retain_graph=True)
        for a, b in zip(found.gradients[part], wanted, strict=True):
            torch.testing.assert_close(a, b)
    assert float(found.real_sign) == pytest.approx(float(torch.sign(real.detach()).mean()))
    gan = GANObjective(dec, dis, adversarial=AdversarialLoss(form), augment=augment).step(x, n)
    wanted = torch.autograd.grad(of_dec(prior).mean(), list(dec.parameters()), retain_graph=True)
    for a, b in zip(gan.gradients["decoder"], wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_the_noise_of_a_step_is_that_of_the_whole_batch_and_leaves_the_rest_as_it_was():
    whole = Noise.draw(6, Z, seed=1, images=100)
    shares = [Noise.draw(6, Z, seed=1, images=100, rank=rank, world_size=2) for rank in (0, 1)]
    assert torch.equal(torch.cat([share.augment for share in shares], 1), whole.augment)
    assert whole.augment.shape == (NUM_DRAWS, 6)
    assert not torch.equal(whole.augment, Noise.draw(6, Z, seed=1, images=106).augment)


def test_the_penalty_is_of_changed_images():
    enc, dec, dis = networks()
    augment = DiscriminatorAugment(ALL)
    objective = VAEGANObjective(enc, dec, dis, feature_layer="0", augment=augment)
    x = images(1)
    settings = LoopSettings(B, 2 * B, B, Z, r1_weight=3.0, r1_every=1)
    optimisers = {name: torch.optim.SGD(part.parameters(), 1e-9) for name, part in objective.parts.items()}
    trainer = Trainer(objective, optimisers, lambda seen: x.float(), settings, augment=augment)
    for part in objective.parts.values():
        part.float()
    n = Noise.draw(B, Z, seed=0, images=0)
    penalty, _ = r1_gradients(dis, augment(x.float(), n.augment), 3.0, autocast=torch.enable_grad, seed=0)
    assert float(trainer.step().routes["discriminator/r1"]) == pytest.approx(float(penalty), rel=1e-5)


def test_probability_by_hand():
    adaptive = AdaptiveProbability(torch.ones(()), target=0.6, num_images=1000)
    for signs, p in (((1, 1, 1, 1), 0.4), ((1, 0.5, 0.5, 0.5), 0.8), ((1, 1, 1, 0.4), 1.0), ((-1, 1, 1, 1), 0.6)):
        for sign in signs:
            adaptive.update(torch.tensor(float(sign)), 100)
        assert float(adaptive.p) == pytest.approx(p)
    adaptive.update(torch.tensor(0.3), 100)
    other = AdaptiveProbability(torch.ones(()), target=0.6, num_images=1000)
    other.restore(adaptive.state())
    for each in (adaptive, other):
        for sign in (1.0, 0.9, 0.8):
            each.update(torch.tensor(sign), 100)
    assert torch.equal(adaptive.p, other.p)
    assert float(other.p) == pytest.approx(1.0)


WORDS = ["--loss.augment", "colour,translation,cutout", "--loss.augment-target", "0.1", "--loss.augment-images", "300"]
WORDS += ["--loss.r1-weight", "1", "--loss.r1-every", "3", "--train.log-images", "16", "--loss.real-weight", "20"]


@pytest.mark.slow
def test_a_training_resumes_exactly_and_tells_how_often(command, tiny, tmp_path):
    words = ["train", *tiny, *WORDS]
    assert command(*words, "--train.epochs", "2", "--out", tmp_path / "whole") == 0
    for epochs in "12":
        assert command(*words, "--train.epochs", epochs, "--out", tmp_path / "parts") == 0
    one, two = (torch.load(tmp_path / name / "checkpoints" / "000000000208.pt") for name in ("whole", "parts"))
    for part, weights in one["parts"].items():
        assert all(torch.equal(tensor, two["parts"][part][name]) for name, tensor in weights.items())
    assert one["adaptive"] == two["adaptive"]
    records = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    shares = [record["routes"]["discriminator/augmented"] for record in records if record["split"] == "train"]
    assert shares[0] == 0.0
    assert max(shares) > 0
    assert shares[-1] == pytest.approx(one["adaptive"]["p"])
