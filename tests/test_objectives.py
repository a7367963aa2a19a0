"""Routes: each part's gradient equals one computed separately from the plain loss, and no other loss touches it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from plain_losses import (
    FORMS,
    SIDE,
    B,
    Decoder,
    Discriminator,
    Encoder,
    Z,
    assert_same,
    inputs,
    make,
    plain_decoder,
    plain_discriminator,
    plain_vaegan,
    seeded_call,
    separately,
)
from torch import Tensor, nn

from vaegan.errors import UserError
from vaegan.networks import build_parts
from vaegan.objectives import (
    AdversarialLoss,
    AutoencoderObjective,
    BernoulliPixels,
    FeatureLikelihood,
    GANObjective,
    GaussianPixels,
    Noise,
    VAEGANObjective,
)
from vaegan.objectives.adversarial import _never_zero
from vaegan.objectives.feature_discriminator import FeatureDiscriminator


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("norm", "dropout"), [(False, 0.0), (True, 0.0), (True, 0.4), (False, 0.4)])
@pytest.mark.parametrize("fakes", ["both", "prior", "reconstructions"])
def test_vaegan_routes(form: str, norm: bool, dropout: float, fakes: str) -> None:
    nets, (x, noise) = make(norm, dropout), inputs()
    kinds = {"both": ("reconstruction", "prior"), "prior": ("prior",), "reconstructions": ("reconstruction",)}[fakes]
    reference = separately(nets, lambda n: plain_vaegan(n, form, x, noise, kinds=kinds))
    objective = VAEGANObjective(*nets, adversarial=AdversarialLoss(form), gamma=0.3, feature_layer="conv", fakes=fakes)
    assert_same(objective.step(x, noise).gradients, reference)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("fakes", ["both", "reconstructions"])
def test_vaegan_routes_of_a_joint_batch(form: str, norm: bool, fakes: str) -> None:
    nets, (x, noise) = make(norm, 0.0), inputs()
    kinds = ("reconstruction", "prior") if fakes == "both" else ("reconstruction",)
    weights = (0.7, 1.3, 0.6)
    reference = separately(
        nets, lambda n: plain_vaegan(n, form, x, noise, kinds=kinds, weights=weights, joint_batch=True)
    )
    objective = VAEGANObjective(
        *nets,
        adversarial=AdversarialLoss(form, *weights),
        gamma=0.3,
        feature_layer="conv",
        fakes=fakes,
        joint_batch=True,
    )
    assert_same(objective.step(x, noise).gradients, reference)
    apart = VAEGANObjective(
        *nets, adversarial=AdversarialLoss(form, *weights), gamma=0.3, feature_layer="conv", fakes=fakes
    )
    same = torch.allclose(
        objective.step(x, noise).gradients["decoder"][0], apart.step(x, noise).gradients["decoder"][0]
    )
    assert same is not norm


def test_a_joint_batch_updates_running_statistics_once() -> None:
    nets, (x, noise) = make(True, 0.0), inputs()
    VAEGANObjective(*nets, joint_batch=True, feature_layer="conv").step(x, noise)
    assert int(nets[2].norm.num_batches_tracked) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("norm", [False, True])
def test_vaegan_routes_with_weights_and_moved_targets(form: str, norm: bool) -> None:
    nets, (x, noise) = make(norm, 0.0), inputs()
    adversarial = AdversarialLoss(form, 0.5, 0.7, 2.0, label_smoothing=0.1, label_noise=0.2, label_flip=0.3)
    u = noise.uniform
    moved = [0.9 - 0.2 * u[0, 0], 0.2 * u[1, 0], 0.2 * u[2, 0]]
    targets = tuple(torch.where(u[i, 1] < 0.3, 1 - t, t) for i, t in enumerate(moved))
    assert sum(int((u[i, 1] < 0.3).sum()) for i in range(3)) > 0
    kwargs = {"weights": (0.5, 0.7, 2.0), "targets": targets, "llike_weight": 5.0, "kl_weight": 0.6}
    reference = separately(nets, lambda n: plain_vaegan(n, form, x, noise, **kwargs))
    objective = VAEGANObjective(
        *nets, adversarial=adversarial, gamma=0.3, feature_layer="conv", encoder_llike_weight=5.0, kl_weight=0.3
    )
    assert_same(objective.step(x, noise, kl_factor=2.0).gradients, reference)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pixels", ["bernoulli", "gaussian"])
def test_vaegan_routes_with_pixel_likelihoods(form: str, norm: bool, pixels: str) -> None:
    nets, (x, noise) = make(norm, 0.0), inputs()
    reference = separately(nets, lambda n: plain_vaegan(n, form, x, noise, pixels=pixels))
    likelihood = BernoulliPixels() if pixels == "bernoulli" else GaussianPixels(variance=0.2)
    objective = VAEGANObjective(*nets, adversarial=AdversarialLoss(form), gamma=0.3, likelihood=likelihood)
    assert_same(objective.step(x, noise).gradients, reference)


@pytest.mark.parametrize("form", FORMS)
def test_routes_hold_where_the_discriminator_is_sure(form: str) -> None:
    """Logits of +-40 and, in the hinge form, fakes whose discriminator loss is flat."""
    nets, (x, noise) = make(False, 0.0), inputs()
    with torch.no_grad():
        nets[2].out.weight *= 300
        nets[2].out.bias -= 40
    reference = separately(nets, lambda n: plain_vaegan(n, form, x, noise))
    objective = VAEGANObjective(*nets, adversarial=AdversarialLoss(form), gamma=0.3, feature_layer="conv")
    got = objective.step(x, noise).gradients
    for part in ("encoder", "decoder"):
        assert_same({part: got[part]}, {part: reference[part]})
    for ours, wanted in zip(got["discriminator"], reference["discriminator"], strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("norm", "dropout"), [(False, 0.0), (True, 0.4)])
def test_gan_routes(form: str, norm: bool, dropout: float) -> None:
    nets, (x, noise) = make(norm, dropout), inputs()

    def plain(n: tuple[Encoder, Decoder, Discriminator]) -> dict[str, Tensor]:
        x_p = seeded_call(n[1], noise.seed, noise.z_p)
        a, a_p = (seeded_call(n[2], noise.seed, image).flatten() for image in (x, x_p))
        one = torch.ones_like(a)
        dis = plain_discriminator(form, a, one) + plain_discriminator(form, a_p, 0 * one)
        return {"decoder": plain_decoder(form, a_p), "discriminator": dis}

    objective = GANObjective(nets[1], nets[2], adversarial=AdversarialLoss(form))
    assert_same(objective.step(x, noise).gradients, separately(nets, plain))


@pytest.mark.parametrize("kind", ["ae", "vae", "vae-bernoulli", "vae-dis-l"])
@pytest.mark.parametrize(("norm", "dropout"), [(False, 0.0), (True, 0.4)])
def test_autoencoder_routes(kind: str, norm: bool, dropout: float) -> None:
    nets, (x, noise) = make(norm, dropout, variational=kind != "ae"), inputs()

    def plain(n: tuple[Encoder, Decoder, Discriminator]) -> dict[str, Tensor]:
        torch.manual_seed(noise.seed)
        code = n[0](x)
        z, kl = code, 0.0
        if kind != "ae":
            mu, logvar = code
            z = mu + torch.exp(logvar / 2) * noise.eps
            kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / B
        x_tilde = n[1](z)
        if kind == "vae-bernoulli":
            llike = F.binary_cross_entropy(x_tilde, x, reduction="sum") / B
        elif kind == "vae-dis-l":
            metric = n[2].eval()
            layer = nn.Sequential(metric.conv)
            llike = 0.5 * F.mse_loss(layer(x_tilde), layer(x).detach(), reduction="sum") / B
        else:
            llike = -torch.distributions.Normal(x_tilde, 1.0).log_prob(x).sum() / B
        return {"encoder": kl + llike, "decoder": llike}

    likelihood = {"vae-bernoulli": BernoulliPixels(), "vae-dis-l": FeatureLikelihood()}.get(kind, GaussianPixels())
    metric = copy.deepcopy(nets[2]) if kind == "vae-dis-l" else None
    reference = separately(nets, plain)
    before = copy.deepcopy(metric.state_dict()) if metric else {}
    objective = AutoencoderObjective(nets[0], nets[1], likelihood=likelihood, metric=metric, feature_layer="conv")
    result = objective.step(x, noise)
    assert_same(result.gradients, reference)
    if metric:
        assert all(torch.equal(v, metric.state_dict()[k]) for k, v in before.items()), "the metric must stay frozen"
        assert not any(p.requires_grad for p in metric.parameters())


def test_learned_variance_has_a_route_of_its_own() -> None:
    nets, (x, noise) = make(False, 0.0), inputs()
    objective = AutoencoderObjective(nets[0], nets[1], likelihood=GaussianPixels(variance=0.5, learned=True), gamma=7.0)
    got = objective.step(x, noise).gradients["likelihood"]
    mu, logvar = nets[0](x)
    x_tilde = nets[1](mu + torch.exp(logvar / 2) * noise.eps).detach()
    log_variance = torch.tensor(0.5).log().requires_grad_()
    loss = -torch.distributions.Normal(x_tilde.float(), torch.exp(log_variance / 2)).log_prob(x.float()).sum() / B
    torch.testing.assert_close(got[0], torch.autograd.grad(loss, log_variance)[0], rtol=1e-4, atol=1e-4)


def test_each_part_is_untouched_by_losses_that_are_not_its_own() -> None:
    """Turning one loss off or up changes the gradients of just the parts that read it."""
    x, noise = inputs()

    def gradients(**settings: float) -> dict[str, list[Tensor]]:
        real_weight = settings.pop("real_weight", 1.0)
        adversarial = AdversarialLoss(real_weight=real_weight)
        return (
            VAEGANObjective(*make(True, 0.4), adversarial=adversarial, feature_layer="conv", **settings)
            .step(x, noise)
            .gradients
        )

    base = gradients()
    readers = {
        "kl_weight": {"encoder"},
        "gamma": {"decoder"},
        "adversarial_weight": {"decoder"},
        "encoder_llike_weight": {"encoder"},
        "real_weight": {"discriminator"},
    }
    for setting, parts in readers.items():
        moved = gradients(**{setting: 3.0})
        for part in base:
            same = all(torch.equal(a, b) for a, b in zip(base[part], moved[part], strict=True))
            assert same == (part not in parts), f"{setting} at {part}"


def test_losses_are_nats_per_image_and_the_same_in_evaluation() -> None:
    nets, (x, noise) = make(False, 0.0), inputs()
    objective = VAEGANObjective(*nets, gamma=0.3, feature_layer="conv")
    reference = plain_vaegan(nets, "minimax", x, noise)
    trained, evaluated = objective.step(x, noise).losses, objective.evaluate(x, noise)
    for part, loss in reference.items():
        assert trained[part]["total"].item() == pytest.approx(loss.item(), rel=1e-9)
        assert evaluated[part]["total"].item() == pytest.approx(loss.item(), rel=1e-9)


def test_evaluation_leaves_modes_and_statistics_alone() -> None:
    nets, (x, noise) = make(True, 0.4), inputs()
    nets[1].norm.eval()
    before = [{name: buffer.clone() for name, buffer in net.named_buffers()} for net in nets]
    VAEGANObjective(*nets, feature_layer="conv").evaluate(x, noise)
    for net, values in zip(nets, before, strict=True):
        assert {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"} <= values.keys()
        assert all(torch.equal(net.state_dict()[k], v) for k, v in values.items())
        assert net.training
    assert not nets[1].norm.training
    assert all(net.norm.momentum == 0.1 for net in nets)


def test_decoder_keeps_the_statistics_of_reconstructions() -> None:
    nets, (x, noise) = make(True, 0.0), inputs()
    alone = copy.deepcopy(nets)
    mu, logvar = alone[0](x)
    alone[1](mu + torch.exp(logvar / 2) * noise.eps)
    VAEGANObjective(*nets, feature_layer="conv").step(x, noise)
    torch.testing.assert_close(nets[1].norm.running_mean, alone[1].norm.running_mean)
    torch.testing.assert_close(nets[1].norm.running_var, alone[1].norm.running_var)
    assert int(nets[1].norm.num_batches_tracked) == 2  # as in models of earlier versions


def test_global_random_state_is_left_as_it_was() -> None:
    nets, (x, noise) = make(True, 0.4), inputs()
    state = torch.get_rng_state()
    VAEGANObjective(*nets, feature_layer="conv").step(x, noise)
    assert torch.equal(torch.get_rng_state(), state)


def test_noise_does_not_depend_on_the_number_of_processes() -> None:
    whole = Noise.draw(8, 3, seed=1, images=64)
    shares = [Noise.draw(8, 3, seed=1, images=64, rank=rank, world_size=2) for rank in (0, 1)]
    for name in ("eps", "z_p"):
        assert torch.equal(torch.cat([getattr(s, name) for s in shares]), getattr(whole, name))
    assert torch.equal(torch.cat([s.uniform for s in shares], 2), whole.uniform)
    assert not torch.equal(Noise.draw(8, 3, seed=1, images=72).eps, whole.eps)
    assert not torch.equal(Noise.draw(8, 3, seed=2, images=64).eps, whole.eps)


def test_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no layer 'conf' .perhaps you meant 'conv'"):
        VAEGANObjective(*make(False, 0.0), feature_layer="conf")


def test_a_layer_that_does_not_run_is_refused() -> None:
    encoder, decoder, discriminator = make(False, 0.0)
    discriminator.idle = nn.Linear(1, 1)
    objective = VAEGANObjective(encoder, decoder, discriminator, feature_layer="idle")
    with pytest.raises(UserError, match=r"'idle' did not run in the discriminator's forward; name a module that it"):
        objective.step(*inputs())
    with pytest.raises(UserError, match=r"balance_at 'last' is unknown.*images, last-layer"):
        VAEGANObjective(encoder, decoder, discriminator, balance=1.0, balance_at="last")


def test_randomness_of_a_custom_network_is_that_of_the_noise() -> None:
    """By a function, not by a module: it is known of no network that is not ours whether it draws."""

    class Drops(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.body(x), 0.5)

    encoder, decoder, discriminator = make(False, 0.0)
    objective = VAEGANObjective(encoder, decoder, Drops(discriminator), feature_layer="logit")
    x, noise = inputs()
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        losses.append(objective.step(x, noise).losses["discriminator"]["total"].item())
    assert losses[0] == losses[1]


def small_discriminator() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_parts(
        kind="gan", network="mlp", image_shape=(1, SIDE, SIDE), latent_dim=Z, output="tanh", init="torch",
        encoder={}, decoder={"hidden": [8]}, discriminator={"hidden": [16], "norm": "none", "activation": "leaky"},
    )["discriminator"]  # fmt: skip


def test_the_decoder_s_gradient_survives_where_the_discriminator_s_vanishes_in_half_precision() -> None:
    """Hinge, all fakes beyond the margin: Dis's cotangent is 0, and float16 has no number small enough for it."""
    dis, of = small_discriminator(), []
    torch.nn.init.constant_(dis.output.bias, -9.0)
    x, fake = torch.rand(2, B, 1, SIDE, SIDE)
    fake.requires_grad_()
    for dtype in (torch.float16, torch.float32):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = {"real": dis(x), "prior": dis(fake)}
        assert (logits["prior"] < -1).all()
        noise, judge = Noise.draw(B, Z, seed=0, images=0), FeatureDiscriminator(dis, "logit")
        of.append(AdversarialLoss("hinge").gradients(judge, logits, {"prior": fake}, noise)[1])
    torch.testing.assert_close(of[0]["prior"], of[1]["prior"], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_pass_serves_both_gradients_also_where_the_discriminator_s_vanishes(dtype: torch.dtype) -> None:
    """Hinge: beyond the margin Dis's cotangent is 0 and Dec's -1/B, in the precisions that training has."""
    logits = torch.tensor([-3.0, -1.5, -0.3, 0.7, 2.0, -40.0]).to(dtype)
    c = (logits.float() > -1).float() / 6
    u = torch.full_like(c, -1 / 6)
    shifted, factor = _never_zero(c, u, dtype)
    assert torch.equal(shifted.to(dtype).float(), shifted)  # the backward pass will not round it again
    torch.testing.assert_close(factor * shifted, u, rtol=1e-6, atol=0)  # exact in the image
    assert (shifted - c).abs().max() <= (2**-9 if dtype == torch.bfloat16 else 0) / 6 + 2.0**-40  # unseen in a weight
    assert (shifted[c == 0] > 0).all()


def test_gradients_in_float32_are_those_in_float64() -> None:
    """What trains has float32, the tests above float64: hinge, with real and fake images beyond the margin."""
    dis = small_discriminator()
    with torch.no_grad():
        dis.output.weight.mul_(20)
    assert not dis.couples_images
    x, fake = torch.rand(2, B, 1, SIDE, SIDE) * 2 - 1
    noise, found = Noise.draw(B, Z, seed=0, images=0), []
    for dtype in (torch.float32, torch.float64):
        network = copy.deepcopy(dis).to(dtype)
        image = fake.to(dtype).requires_grad_()
        logits = {"real": network(x.to(dtype)), "prior": network(image)}
        loss = AdversarialLoss("hinge")
        found.append(loss.gradients(FeatureDiscriminator(network, "logit"), logits, {"prior": image}, noise))
    assert (logits["prior"] < -1).any()
    assert (logits["prior"] > -1).any()
    (weights, images), (weights64, images64) = found
    for ours, reference in zip([*weights, images["prior"]], [*weights64, images64["prior"]], strict=True):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-4, atol=1e-5 * float(reference.abs().max()))


def test_names_that_do_not_exist_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"form 'hinged' is unknown \(perhaps you meant 'hinge'\)"):
        AdversarialLoss("hinged")
    with pytest.raises(UserError, match="fakes 'all' is unknown; choose among both, prior, reconstructions"):
        VAEGANObjective(nn.Identity(), nn.Identity(), nn.Sequential(nn.Identity(), nn.Identity()), fakes="all")
