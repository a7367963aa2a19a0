"""A VAE/GAN in one file: Larsen et al., "Autoencoding beyond pixels using a learned similarity metric".

    python examples/minimal.py [STEPS]

trains on 8 x 8 handwritten digits in about a minute on a CPU. Only the formulas and the data come from `vaegan`.
The names are the paper's (arXiv:1512.09300, Algorithm 1):

    x         real images               mu, logvar   Enc(x)
    z         a draw from q(z|x)        x_tilde      Dec(z), the reconstruction
    z_p       a draw from N(0, I)       x_p          Dec(z_p), a new image
    Dis(x)    a logit, and as Dis_l(x) the features of a hidden layer l

`vaegan.objectives` has the same three gradients with fewer passes, and the losses of other models.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaegan.data import open_data
from vaegan.losses import ADVERSARIAL_FORMS, gaussian_feature_loss, prior_loss
from vaegan.pixels import to_unit

LATENT_DIM = 16  # dimensions of z
GAMMA = 0.1  # weight of L_llike beside L_GAN in the decoder
KL_WEIGHT = 0.1  # weight of L_prior beside L_llike in the encoder; 1 in the paper
BATCH_SIZE = 64
FORM = ADVERSARIAL_FORMS["non-saturating"]  # of L_GAN; the paper's is "minimax"


def normed(layer: nn.Module, channels: int) -> nn.Sequential:
    """A layer with batch norm and ReLU, as all but the outermost of the paper's networks have."""
    norm = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
    return nn.Sequential(layer, norm(channels), nn.ReLU())


class Encoder(nn.Sequential):
    """Images (B, 1, 8, 8) -> mu and logvar of q(z|x) = N(mu, diag exp(logvar)), each (B, LATENT_DIM)."""

    def __init__(self) -> None:
        super().__init__(
            normed(nn.Conv2d(1, 32, 5, stride=2, padding=2), 32),  # (B, 32, 4, 4)
            normed(nn.Conv2d(32, 64, 5, stride=2, padding=2), 64),  # (B, 64, 2, 2)
            *(nn.Flatten(), normed(nn.Linear(256, 128), 128), nn.Linear(128, 2 * LATENT_DIM)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar."""
        mu, logvar = super().forward(x).chunk(2, dim=1)
        return mu, logvar


class Decoder(nn.Sequential):
    """Codes (B, LATENT_DIM) -> images (B, 1, 8, 8) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__(
            *(normed(nn.Linear(LATENT_DIM, 256), 256), nn.Unflatten(1, (64, 2, 2))),
            normed(nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1), 64),  # (B, 64, 4, 4)
            normed(nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), 32),  # (B, 32, 8, 8)
            *(nn.Conv2d(32, 1, 5, padding=2), nn.Sigmoid()),
        )


class Discriminator(nn.Module):
    """Images (B, 1, 8, 8) -> logits (B,), positive for real, and Dis_l(x), the features (B, 64, 2, 2) of layer l."""

    def __init__(self) -> None:
        super().__init__()
        self.to_features = nn.Sequential(
            *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU()),
            normed(nn.Conv2d(32, 64, 5, stride=2, padding=2), 64),  # (B, 64, 4, 4)
            nn.Conv2d(64, 64, 5, stride=2, padding=2),  # layer l
        )
        self.to_logit = nn.Sequential(
            nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), normed(nn.Linear(256, 128), 128), nn.Linear(128, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features."""
        features = self.to_features(x)
        return self.to_logit(features).squeeze(1), features


class VAEGAN:
    """The three networks, each with the optimiser of its own weights."""

    def __init__(self) -> None:
        self.encoder, self.decoder, self.discriminator = Encoder(), Decoder(), Discriminator()
        networks = (self.encoder, self.decoder, self.discriminator)
        self.optimisers = [(net, torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.99))) for net in networks]

    def step(self, x: Tensor) -> dict[str, float]:
        """One step of Algorithm 1 on images (B, 1, 8, 8) in [0, 1]; returns the losses, in nats per image."""
        # One forward pass. Enc, Dec and Dis are each applied to all that they need.
        mu, logvar = self.encoder(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        x_tilde, x_p = self.decoder(z), self.decoder(torch.randn_like(mu))
        (a, f), (a_tilde, f_tilde), (a_p, _) = (self.discriminator(images) for images in (x, x_tilde, x_p))

        # L_prior = KL(q(z|x) || N(0, I))                                  (eq. 4)
        l_prior = prior_loss(mu, logvar)
        # L_llike = -E_q[log N(Dis_l(x) | Dis_l(x_tilde), I)]              (eq. 7 and 8)
        l_llike = gaussian_feature_loss(f_tilde, f).mean()
        # L_GAN = -log D(x) - log(1 - D(x_tilde)) - log(1 - D(x_p)), D the sigmoid of the logit   (Algorithm 1)
        real, fake = torch.full_like(a, 0.9), torch.zeros_like(a)  # 0.9 instead of 1: one-sided label smoothing
        l_gan = (FORM.real(a, real) + FORM.fake(a_tilde, fake) + FORM.fake(a_p, fake)).mean()
        # Dis descends L_GAN. Dec ascends it, here by -log D(x_tilde) - log D(x_p), which does not vanish when Dis wins.
        l_dec = (FORM.decoder(a_tilde) + FORM.decoder(a_p)).mean()

        # One gradient per network, all at the same weights: each loss updates only the networks it should.
        descended = (KL_WEIGHT * l_prior + l_llike, GAMMA * l_llike + l_dec, l_gan)
        for loss, (net, _) in zip(descended, self.optimisers, strict=True):
            weights = list(net.parameters())
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, retain_graph=True), strict=True):
                weight.grad = gradient
        for _, optimiser in self.optimisers:
            optimiser.step()
        return {"L_prior": l_prior.item(), "L_llike": l_llike.item(), "L_GAN": l_gan.item(), "L_Dec": l_dec.item()}


def main(steps: int, seed: int = 0) -> tuple[float, float]:
    """Train; return the mean squared error per pixel of held-out reconstructions, and of the mean training image."""
    torch.manual_seed(seed)
    data = open_data("digits")
    train, test = (to_unit(torch.from_numpy(part.images)) for part in (data.train, data.test))
    model = VAEGAN()
    for step in range(1, steps + 1):
        losses = model.step(train[torch.randint(len(train), (BATCH_SIZE,))])
        if step % 100 == 0 or step == steps:
            print(f"{step:5}  " + "  ".join(f"{name} {value:7.3f}" for name, value in losses.items()), flush=True)
    for network, _ in model.optimisers:
        network.eval()
    with torch.no_grad():
        x_tilde = model.decoder(model.encoder(test)[0])
        new = model.decoder(torch.randn(8, LATENT_DIM))
    error, of_mean = F.mse_loss(x_tilde, test).item(), F.mse_loss(train.mean(0).expand_as(test), test).item()
    print(f"held-out error per pixel: {error:.4f}; of the mean image: {of_mean:.4f}. Eight new digits:")
    for row in range(8):
        print("  ".join("".join(" .:oO@"[int(5.99 * p)] * 2 for p in digit[0, row].tolist()) for digit in new))
    return error, of_mean


if __name__ == "__main__":
    main(steps=int(sys.argv[1]) if len(sys.argv) > 1 else 500)
