"""The losses of all kinds written down plainly, and small networks to compare gradients with."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaegan.losses import ADVERSARIAL_FORMS
from vaegan.objectives import Noise

B, Z, SIDE = 6, 3, 8
FORMS = ("minimax", "non-saturating", "hinge")  # each needs its plain formula below
assert set(FORMS) == set(ADVERSARIAL_FORMS)


class Encoder(nn.Module):
    """A user's own network: convolution, batch norm, dropout, dense heads."""

    def __init__(self, norm: bool, dropout: float, variational: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * 16, 2 * Z if variational else Z)
        self.variational = variational

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        h = self.head(self.dropout(F.silu(self.norm(self.conv(x)))).flatten(1))
        return tuple(h.chunk(2, 1)) if self.variational else h


class Decoder(nn.Module):
    def __init__(self, norm: bool, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(Z, 4 * 16)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.conv = nn.ConvTranspose2d(4, 1, 4, 2, 1)

    def logits(self, z: Tensor) -> Tensor:
        return self.conv(self.dropout(F.silu(self.norm(self.dense(z).view(-1, 4, 4, 4)))))

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(z))


class Discriminator(nn.Module):
    def __init__(self, norm: bool, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 5, 3, 2, 1)
        self.norm = nn.BatchNorm2d(5) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(5 * 16, 1)
        self.couples_images = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.dropout(F.silu(self.norm(self.conv(x)))).flatten(1))


def make(norm: bool, dropout: float, variational: bool = True) -> tuple[Encoder, Decoder, Discriminator]:
    torch.manual_seed(3)
    return (
        Encoder(norm, dropout, variational).double(),
        Decoder(norm, dropout).double(),
        Discriminator(norm, dropout).double(),
    )


def inputs() -> tuple[Tensor, Noise]:
    g = torch.Generator().manual_seed(5)
    x = torch.rand(B, 1, SIDE, SIDE, generator=g, dtype=torch.float64)
    eps, z_p = torch.randn(2, B, Z, generator=g, dtype=torch.float64)
    return x, Noise(eps, z_p, torch.rand(3, 2, B, generator=g, dtype=torch.float64), seed=11)


def bce(a: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(a, target)


def plain_discriminator(form: str, a: Tensor, target: Tensor) -> Tensor:
    if form == "hinge":
        return (target * F.relu(1 - a) + (1 - target) * F.relu(1 + a)).mean()
    return bce(a, target)


def plain_decoder(form: str, a: Tensor) -> Tensor:
    ones = torch.ones_like(a)
    return {
        "minimax": lambda: -bce(a, 0 * ones),
        "non-saturating": lambda: bce(a, ones),
        "hinge": lambda: -a.mean(),
    }[form]()


def seeded_call(module: Callable[[Tensor], Tensor], seed: int, x: Tensor) -> Tensor:
    torch.manual_seed(seed)
    return module(x)


def plain_vaegan(
    nets: tuple[Encoder, Decoder, Discriminator],
    form: str,
    x: Tensor,
    noise: Noise,
    *,
    pixels: str | None = None,
    weights: tuple[float, float, float] = (1, 1, 1),
    targets: tuple[Tensor, Tensor, Tensor] | None = None,
    kinds: tuple[str, ...] = ("reconstruction", "prior"),
    gamma: float = 0.3,
    llike_weight: float = 1.0,
    kl_weight: float = 1.0,
    joint_batch: bool = False,
) -> dict[str, Tensor]:
    """Algorithm 1 written down plainly: one full graph, three losses."""
    enc, dec, dis = nets
    caught: list[Tensor] = []
    handle = dis.conv.register_forward_hook(lambda m, i, o: caught.append(o))
    mu, logvar = seeded_call(enc, noise.seed, x)
    z = mu + torch.exp(logvar / 2) * noise.eps
    torch.manual_seed(noise.seed)
    y = dec.logits(z)
    x_tilde = torch.sigmoid(y)
    x_p = seeded_call(dec, noise.seed, noise.z_p)
    if joint_batch:
        shown = [x] + [{"reconstruction": x_tilde, "prior": x_p}[kind] for kind in kinds]
        by_kind = dict(zip(("real", *kinds), dis(torch.cat(shown)).flatten().split(B), strict=True))
        caught = list(caught[0].split(B))
        a, a_tilde, a_p = (by_kind.get(kind, by_kind["real"]) for kind in ("real", "reconstruction", "prior"))
    else:
        a, a_tilde, a_p = (seeded_call(dis, noise.seed, image).flatten() for image in (x, x_tilde, x_p))
    handle.remove()
    kl = (
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mu, torch.exp(logvar / 2)), torch.distributions.Normal(torch.zeros_like(mu), 1.0)
        ).sum()
        / B
    )
    if pixels == "bernoulli":
        llike = F.binary_cross_entropy(x_tilde, x, reduction="sum") / B
    elif pixels == "gaussian":
        llike = -torch.distributions.Normal(x_tilde, 0.2**0.5).log_prob(x).sum() / B
    else:
        llike = 0.5 * F.mse_loss(caught[1], caught[0].detach(), reduction="sum") / B
    one = torch.ones_like(a)
    t, t_tilde, t_p = targets or (one, 0 * one, 0 * one)
    fakes = {"reconstruction": (a_tilde, t_tilde, weights[1]), "prior": (a_p, t_p, weights[2])}
    dis_loss = weights[0] * plain_discriminator(form, a, t)
    dec_loss = gamma * llike
    for kind in kinds:
        logit, target, weight = fakes[kind]
        dis_loss = dis_loss + weight * plain_discriminator(form, logit, target)
        dec_loss = dec_loss + plain_decoder(form, logit)
    return {"encoder": kl_weight * kl + llike_weight * llike, "decoder": dec_loss, "discriminator": dis_loss}


def separately(
    nets: tuple[nn.Module, ...], losses: Callable[[tuple[nn.Module, ...]], dict[str, Tensor]]
) -> dict[str, list[Tensor]]:
    """Each part's gradient from its own copy of everything."""
    found = {}
    for index, name in enumerate(("encoder", "decoder", "discriminator")):
        copies = copy.deepcopy(nets)
        loss = losses(copies)
        if name in loss and copies[index] is not None:
            loss[name].backward()
            found[name] = [p.grad if p.grad is not None else torch.zeros_like(p) for p in copies[index].parameters()]
    return found


def assert_same(got: dict[str, list[Tensor]], wanted: dict[str, list[Tensor]]) -> None:
    assert set(got) == set(wanted)
    for part, gradients in wanted.items():
        assert len(got[part]) == len(gradients)
        scale = max(float(g.abs().max()) for g in gradients)
        assert scale > 1e-4, f"the reference gradient of {part} is nothing"
        for ours, reference in zip(got[part], gradients, strict=True):
            torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-9 * scale)
