from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vaegan.errors import UserError
from vaegan.models import Model, load
from vaegan.networks import PARTS_OF_KIND
from vaegan.priors import fit_priors

SHAPE, Z = (3, 4, 5), 6


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(60, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.mu, self.logvar = nn.Linear(8, Z), nn.Linear(8, Z)

    def forward(self, x):
        h = self.body(x)
        return self.mu(h), self.logvar(h)


class Codes(Encoder):
    def forward(self, x):
        return self.mu(self.body(x))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(Z, 8), nn.BatchNorm1d(8), nn.Linear(8, 60))

    def forward(self, z):
        return 2 * self.body(z).reshape(-1, *SHAPE)  # leaves (-1, 1), to be clamped


class Discriminator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(60, 1), nn.Flatten(0))


def user_made(kind, **kwargs):
    torch.manual_seed(0)
    makers = {"encoder": Codes if kind == "ae" else Encoder, "decoder": Decoder, "discriminator": Discriminator}
    parts = {name: makers[name]() for name in PARTS_OF_KIND[kind]}
    for module in (inner for part in parts.values() for inner in part.modules()):
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return Model(**parts, kind=kind, image_shape=SHAPE, latent_dim=Z, **kwargs)


def architecture(kind="vaegan", output="tanh", **kwargs):
    part = {"hidden": [7], "norm": "batch"}
    base = {"kind": kind, "network": "mlp", "image_shape": [1, 4, 4], "latent_dim": 3, "output": output}
    return {**base, "init": "paper", "encoder": part, "decoder": part, "discriminator": part, **kwargs}


@pytest.fixture
def model():
    return user_made("vaegan")


@pytest.fixture
def x():
    return torch.rand(7, *SHAPE, generator=torch.Generator().manual_seed(1))


def by_hand(model, part, value):
    """Return what a part gives in evaluation mode, with its mode put back."""
    network = model.parts[part]
    with torch.no_grad():
        return network.eval()(value)


def test_codes_are_the_mean_of_the_posterior(model, x):
    mu, logvar = by_hand(model, "encoder", 2 * x - 1)
    torch.testing.assert_close(model.encode(x), mu)
    torch.testing.assert_close(model.posterior(x), (mu, logvar))


def test_a_drawn_code_is_mu_plus_sigma_epsilon(model, x):
    mu, logvar = model.posterior(x)
    epsilon = torch.randn(7, Z, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(model.encode(x, sample=True, seed=5), mu + (logvar / 2).exp() * epsilon)
    torch.manual_seed(3)
    one, two = model.encode(x, sample=True), model.encode(x, sample=True)
    assert not torch.equal(one, two)
    torch.manual_seed(3)
    assert torch.equal(model.encode(x, sample=True), one)


@pytest.mark.parametrize("image_range", [(-1, 1), (0, 1)])
def test_images_are_mapped_to_public_range_and_clamped(x, image_range):
    model = user_made("vaegan", image_range=image_range)
    z = 3 * torch.randn(9, Z, generator=torch.Generator().manual_seed(2))
    raw = by_hand(model, "decoder", z)
    assert raw.min() < image_range[0]
    expected = ((raw + 1) / 2 if image_range == (-1, 1) else raw).clamp(0, 1)
    torch.testing.assert_close(model.decode(z), expected)
    network_x = 2 * x - 1 if image_range == (-1, 1) else x
    torch.testing.assert_close(model.discriminate(x), by_hand(model, "discriminator", network_x))
    torch.testing.assert_close(model.reconstruct(x), model.decode(model.encode(x)))


def test_samples_come_from_the_seed(model):
    z = model.sample_codes(8, seed=4)
    assert torch.equal(z, torch.randn(8, Z, generator=torch.Generator().manual_seed(4)))
    assert torch.equal(model.sample(8, seed=4), model.decode(z))
    state = torch.get_rng_state()
    model.sample(8, seed=4)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def fitted(model):
    """The model with two priors fitted to codes far from N(0, I)."""
    codes = 5 + torch.randn(100, Z, generator=torch.Generator().manual_seed(9))
    model.priors = fit_priors(codes, names=["gaussian", "mixture"], seed=0)
    return model


def test_codes_come_from_the_prior_that_is_named_else_from_the_default(fitted):
    assert fitted.prior_names == ["normal", "gaussian", "mixture"]
    assert fitted.default_prior == "normal"
    z = fitted.sample_codes(8, 4, "gaussian")
    assert torch.equal(z, fitted.priors["gaussian"].sample(8, seed=4))
    assert torch.equal(fitted.sample(8, 4, "gaussian"), fitted.decode(z))
    assert torch.equal(fitted.sample_codes(8, 4), fitted.sample_codes(8, 4, "normal"))
    fitted.info["default_prior"] = "gaussian"
    assert torch.equal(fitted.sample_codes(8, 4), z)
    assert torch.equal(fitted.with_parts({}).sample_codes(8, 4), z)
    for name, told in (
        ("mixtur", r"no prior 'mixtur' \(perhaps you meant 'mixture'\)"),
        ("kde", r"no prior 'kde'; available: normal, gaussian, mixture; `vaegan priors` fits others"),
    ):
        with pytest.raises(UserError, match=told):
            fitted.sample_codes(8, 4, name)
    with pytest.raises(UserError, match="fitted without labels"):
        fitted.sample(2, labels=torch.tensor([0, 1]))


def test_priors_are_saved_with_the_model_and_go_when_it_has_none(tmp_path, fitted):
    fitted.info["default_prior"] = "mixture"
    fitted.save(tmp_path)
    loaded = load(tmp_path, parts=user_made("vaegan").parts)
    assert loaded.prior_names == fitted.prior_names
    assert torch.equal(loaded.sample(8, seed=1), fitted.eval().sample(8, seed=1))
    fitted.priors = {}
    fitted.save(tmp_path)
    assert load(tmp_path, parts=user_made("vaegan").parts).prior_names == ["normal"]
    assert not (tmp_path / "priors.json").exists()


def test_a_plain_autoencoder_is_sampled_from_its_fitted_priors_alone():
    model = user_made("ae")
    model.priors = fit_priors(3 + torch.randn(100, Z), names=["gaussian"], seed=0)
    assert model.prior_names == ["gaussian"]
    assert torch.equal(model.sample_codes(5, 2), model.priors["gaussian"].sample(5, seed=2))
    with pytest.raises(UserError, match="no prior 'normal'"):
        model.sample_codes(5, 2, "normal")


def test_batch_size_bounds_each_pass_and_changes_no_result(model, x):
    sizes = []
    model.decoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    whole = model.reconstruct(x)
    torch.testing.assert_close(model.reconstruct(x, batch_size=3), whole)
    assert sizes == [7, 3, 3, 1]
    assert model.reconstruct(x[:0]).shape == (0, *SHAPE)


def test_modes_and_running_statistics_stay_as_they_were(model, x):
    model.train()
    model.encoder.body.eval()
    before = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.reconstruct(x)
    model.discriminate(x)
    with pytest.raises(UserError):
        model.encode(x[:, :1])
    assert [module.training for module in model.modules()] == before
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_results_may_enter_training(model, x):
    z = model.encode(x)
    assert not z.requires_grad
    layer = nn.Linear(Z, 1)
    layer(z).sum().backward()
    torch.testing.assert_close(layer.weight.grad[0], z.sum(0))


def test_inputs_move_to_the_models_type(model, x):
    assert model.double().reconstruct(x).dtype == torch.float64
    assert model.float().reconstruct(x.double()).dtype == torch.float32


@pytest.mark.parametrize(
    ("kind", "call", "told"),
    [
        ("gan", lambda m, x: m.encode(x), "a GAN and has no encoder: .*ae, vae, vae-dis-l or vaegan"),
        ("gan", lambda m, x: m.reconstruct(x), "a GAN and has no encoder"),
        ("vae", lambda m, x: m.discriminate(x), "a VAE and has no discriminator: .*gan, vae-dis-l or vaegan"),
        (
            "ae",
            lambda m, x: m.sample(4),
            "this model is a plain autoencoder and has no prior to sample from; fit one with `vaegan priors`, or train",
        ),
        ("ae", lambda m, x: m.posterior(x), "not a distribution"),
        ("ae", lambda m, x: m.encode(x, sample=True), "not a distribution"),
        ("vae", lambda m, x: m.encode(x[0]), r"float \(B, 3, 4, 5\) in \[0, 1\], not float32 \(3, 4, 5\)"),
        ("vae", lambda m, x: m.encode((255 * x).byte()), r"not uint8 \(7, 3, 4, 5\); divide bytes by 255"),
        ("vae", lambda m, x: m.encode(1 + 254 * x), r"images must be in \[0, 1\], and these are from .* to 2\d\d"),
        ("vae", lambda m, x: m.encode(x / 0), r"images must be in \[0, 1\], and these are from"),
        ("vae", lambda m, x: m.decode(x), r"codes must be float \(B, 6\), not"),
    ],
)
def test_what_a_model_cannot_do_is_told(x, kind, call, told):
    with pytest.raises(UserError, match=told) as error:
        call(user_made(kind), x)
    assert "\n" not in str(error.value)


def test_a_plain_autoencoder_encodes_and_reconstructs(x):
    model = user_made("ae")
    torch.testing.assert_close(model.encode(x), by_hand(model, "encoder", 2 * x - 1))
    assert model.reconstruct(x).shape == x.shape


def test_numbers_of_numpy_are_seeds_too(model, x):
    assert torch.equal(model.sample(3, seed=np.int64(5)), model.sample(3, seed=5))
    assert torch.equal(model.encode(x, sample=True, seed=np.int64(5)), model.encode(x, sample=True, seed=5))


def test_a_model_is_saved_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = Model.from_architecture(architecture("vae", "sigmoid"))
    model.save("~/mine")
    assert torch.equal(load(tmp_path / "mine").sample(2, seed=0), model.sample(2, seed=0))
    assert torch.equal(Model.from_folder("~/mine").sample(2, seed=0), model.sample(2, seed=0))


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="unknown kind of model 'vqvae'; available: ae, vae"):
        Model(kind="vqvae", image_shape=SHAPE, latent_dim=Z)


@pytest.mark.parametrize("kind", PARTS_OF_KIND)
@pytest.mark.parametrize("run", [False, True])
def test_a_saved_model_is_the_same_one(tmp_path, kind, run):
    model = Model.from_architecture(architecture(kind, "sigmoid"), info={"recipe": "r", "labels": ["a", "b"]})
    folder = tmp_path / "model" if run else tmp_path
    model.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    state = torch.get_rng_state()
    loaded = load(str(tmp_path))
    assert torch.equal(torch.get_rng_state(), state), "loading leaves the random state alone"
    assert not loaded.training
    assert (loaded.kind, loaded.latent_dim, loaded.image_shape) == (kind, 3, (1, 4, 4))
    assert loaded.image_range == model.image_range == (0.0, 1.0)
    assert loaded.info == {"recipe": "r", "labels": ["a", "b"]}
    assert list(loaded.parts) == list(PARTS_OF_KIND[kind])
    z = torch.randn(5, 3)
    assert torch.equal(loaded.decode(z), model.decode(z))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in loaded.state_dict().items())


def test_spectral_norm_and_channels_last_are_saved(tmp_path):
    conv = {"channels": [4, 4], "hidden": [5]}
    decoder = {"channels": [4], "first_channels": 4, "strides": [2]}
    made = architecture(network="conv", image_shape=[1, 8, 8], encoder=conv, decoder=decoder)
    model = Model.from_architecture({**made, "discriminator": {**conv, "spectral_norm": True}})
    model.to(memory_format=torch.channels_last).save(tmp_path)
    x = torch.rand(3, 1, 8, 8)
    loaded = load(tmp_path)
    torch.testing.assert_close(loaded.discriminate(x), model.discriminate(x))
    torch.testing.assert_close(loaded.reconstruct(x), model.reconstruct(x))


def test_user_made_networks_are_saved_and_loaded_into_given_ones(tmp_path, model, x):
    model.info["seed"] = 3
    model.save(tmp_path)
    with pytest.raises(UserError, match="custom networks; pass the networks: load"):
        load(tmp_path)
    loaded = load(tmp_path, parts=user_made("vaegan").parts)
    assert torch.equal(loaded.reconstruct(x), model.eval().reconstruct(x))
    assert loaded.info == {"seed": 3}
    with pytest.raises(UserError, match=r"do not fit.*unexpected discriminator\.1\.bias, discriminator\.1\.weight"):
        load(tmp_path, parts={"encoder": Encoder(), "decoder": Decoder()})


def test_no_images_have_no_codes_whatever_the_network():
    demo = load("demo")
    nothing = torch.rand(0, *demo.image_shape)
    assert demo.encode(nothing).shape == (0, demo.latent_dim)
    assert demo.reconstruct(nothing).shape == nothing.shape
    assert demo.discriminate(nothing).shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: model.encode(x.numpy()), "images must be a tensor, not ndarray; torch.as_tensor makes one"),
        (lambda model, x: model.discriminate([1.0]), "images must be a tensor, not list"),
        (lambda model, x: model.decode(model.encode(x).numpy()), "codes must be a tensor, not ndarray"),
        (lambda model, x: model.encode(x, batch_size=0), "batch_size must be at least 1, not 0"),
        (lambda model, x: model.sample(-1), "the number of codes must be at least 0, not -1"),
        (
            lambda model, x: model.with_parts({"decodr": Decoder()}),
            "part 'decodr' is unknown (perhaps you meant 'decoder'); choose among encoder, decoder, discriminator",
        ),
    ],
)
def test_what_is_not_understood_is_refused(model, x, call, message):
    with pytest.raises(UserError) as error:
        call(model, x)
    assert str(error.value).startswith(message)


def test_custom_networks_that_are_not_what_the_model_says_are_refused():
    def model(**changes):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
        decoder = nn.Sequential(nn.Linear(4, 16), nn.Unflatten(1, (1, 4, 4)))
        own = {"kind": "ae", "image_shape": (1, 4, 4), "latent_dim": 4} | changes
        return Model(encoder=encoder, decoder=decoder, **own)

    assert model().decode(model().encode(torch.zeros(2, 1, 4, 4))).shape == (2, 1, 4, 4)
    with pytest.raises(UserError, match=r"the encoder gave float32 \(2, 4\), and this model needs \(B, 5\)"):
        model(latent_dim=5).encode(torch.zeros(2, 1, 4, 4))
    shared = Encoder()
    shared.forward = lambda x: (x.flatten(1)[:, :4], x.flatten(1)[:, :1])  # one variance for all dimensions
    with pytest.raises(UserError, match=r"the encoder gave float32 \(2, 1\), and this model needs \(B, 4\); correct"):
        Model(encoder=shared, kind="vae", image_shape=(1, 4, 4), latent_dim=4).posterior(torch.zeros(2, 1, 4, 4))
    with pytest.raises(
        UserError, match=r"the decoder gave float32 \(2, 1, 4, 4\), and this model needs \(B, 1, 2, 8\)"
    ):
        model(image_shape=(1, 2, 8)).decode(torch.zeros(2, 4))
    with pytest.raises(UserError, match=r"image_shape must be \(channels, height, width\), not \(4, 4\)"):
        model(image_shape=(4, 4))
    with pytest.raises(UserError, match=r"codes of \(2, 3, 4\) have 24 numbers, not 4"):
        model(code_shape=(2, 3, 4))
