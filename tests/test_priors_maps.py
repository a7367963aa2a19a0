"""A flow over codes that are maps."""

from __future__ import annotations

import copy
import logging
import math
from types import SimpleNamespace

import pytest
import torch

from vaegan.errors import UserError
from vaegan.priors import best_prior, fit_priors, load_priors, save_priors
from vaegan.priors.flow import Flow
from vaegan.priors.prior import Normal, Score
from vaegan.priors.velocity import MapVelocity
from vaegan.training.finish import fit_run_priors

SHAPE, Z = (2, 4, 4), 32
DEVIATIONS = torch.tensor([3.0, 0.2])


def fields(num, seed=0):
    """Gaussian fields and their labels: neighbours correlate by one half; the label is the sign of channel 0's mean."""
    noise = torch.randn((num, 2, 5, 5), generator=torch.Generator().manual_seed(seed))
    blurred = sum(noise[:, :, i : i + 4, j : j + 4] for i in (0, 1) for j in (0, 1)) / 2
    labels = torch.arange(num) % 2
    means = torch.stack([4.0 * labels - 2.0, torch.full((num,), 5.0)], 1)
    return (means[..., None, None] + DEVIATIONS[:, None, None] * blurred).flatten(1), labels


@pytest.fixture(scope="module")
def flow():
    """A flow over fields with two labels, of a narrow network."""
    codes, labels = fields(3000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaegan.priors.velocity._WIDTH", 16)
        patch.setattr("vaegan.priors.flow._MAP_BATCH", 64 * 16)
        patch.setattr("vaegan.priors.flow._MAP_LR", 5e-3)
        options = {"labels": labels, "num_labels": 2, "code_shape": SHAPE, "flow_steps": 120}
        prior = fit_priors(codes, names=["flow"], seed=0, **options)["flow"]
    prior.set_solver(steps=6)
    return prior


@pytest.fixture
def still(flow):
    """The same flow, with a network that the test can replace."""
    return Flow(flow.whitening, MapVelocity(SHAPE, 2, 16), flow.shares, 2)


class TestDraws:
    def test_they_have_moments_neighbours_and_labels_of_the_fields(self, flow):
        labels = torch.arange(600) % 2
        z = flow.sample(600, seed=1, labels=labels).reshape(-1, *SHAPE)
        for label, mean in enumerate((-2.0, 2.0)):
            x = z[labels == label]
            torch.testing.assert_close(x.mean((0, 2, 3)), torch.tensor([mean, 5.0]), atol=0.4, rtol=0)
            x = x - x.mean(0)
            torch.testing.assert_close(x.square().mean((0, 2, 3)).sqrt(), DEVIATIONS, atol=0, rtol=0.2)
            for one, other in ((x[..., 1:], x[..., :-1]), (x[..., 1:, :], x[..., :-1, :])):
                correlation = (one * other).mean((0, 2, 3)) / x.square().mean((0, 2, 3))
                torch.testing.assert_close(correlation, torch.full((2,), 0.5), atol=0.15, rtol=0)

    def test_without_labels_each_has_its_share(self, flow):
        assert flow.shares.tolist() == pytest.approx([0.5, 0.5], abs=0.03)
        brightness = flow.sample(200, seed=2).reshape(-1, *SHAPE)[:, 0].mean((1, 2))
        assert 0.35 < float((brightness > 0).float().mean()) < 0.65

    def test_some_at_a_time_they_are_the_same(self, flow, monkeypatch):
        whole = flow.sample(7, seed=1)
        monkeypatch.setattr("vaegan.priors.flow._MOST_AT_ONCE", 3 * Z)
        torch.testing.assert_close(flow.sample(7, seed=1), whole, atol=1e-4, rtol=1e-4)
        assert flow.sample(0, seed=1).shape == (0, Z)

    def test_saved_and_loaded_they_are_the_same(self, flow, tmp_path):
        save_priors(tmp_path, {"flow": flow})
        loaded = load_priors(tmp_path, Z)["flow"]
        loaded.set_solver(steps=6)
        assert (loaded.code_shape, loaded.num_labels, loaded.score) == (SHAPE, 2, None)
        assert torch.equal(loaded.sample(5, seed=0), flow.sample(5, seed=0))
        assert "guidance" not in loaded.tensors(), "files are as before"

    def test_guidance_is_saved(self, flow, tmp_path):
        flow = copy.copy(flow)
        flow.set_solver(guidance=2.5)
        save_priors(tmp_path, {"flow": flow})
        loaded = load_priors(tmp_path, Z)["flow"]
        assert (loaded.guidance, loaded.components) == (2.5, flow.components)
        assert loaded.components.endswith("weights, guidance 2.5")

    @pytest.mark.parametrize(
        ("values", "told"), [({"steps": 0}, "at least 1 step, not 0"), ({"guidance": float("nan")}, "a finite number")]
    )
    def test_a_solver_without_a_step_or_a_number_is_refused(self, flow, values, told):
        with pytest.raises(UserError, match=told):
            flow.set_solver(**values)


def test_the_solver_is_heun_s_and_guidance_goes_from_no_label_to_the_label_and_beyond(still):
    pulls = torch.tensor([1.0, -2.0, 0.25])  # of the two labels, and of none
    still.velocity.forward = lambda y, t, labels: pulls[labels][:, None].expand_as(y)
    labels = torch.tensor([0, 1])
    start = torch.randn((2, Z), generator=torch.Generator().manual_seed(3))
    for guidance, expected in ((1.0, [1.0, -2.0]), (3.0, [0.25 + 3 * 0.75, 0.25 - 3 * 2.25]), (0.0, [0.25, 0.25])):
        still.set_solver(guidance=guidance)
        y = still._at_places(still.whitening.whiten, still.sample(2, seed=3, labels=labels))
        torch.testing.assert_close(y, start + torch.tensor(expected)[:, None], atol=1e-4, rtol=1e-4)
    still.velocity.forward = lambda y, t, labels: y
    still.set_solver(steps=4, guidance=1.0)
    y = still._at_places(still.whitening.whiten, still.sample(2, seed=3, labels=labels))
    torch.testing.assert_close(y, start * (1 + 0.25 + 0.25**2 / 2) ** 4, atol=1e-4, rtol=1e-4)


def test_whitening_is_of_channels_and_its_determinant_of_all_places(still):
    codes, _ = fields(500, seed=4)
    y = still._at_places(still.whitening.whiten, codes).reshape(-1, *SHAPE)
    torch.testing.assert_close(y.transpose(0, 1).flatten(1).cov(), torch.eye(2), atol=0.12, rtol=0)
    torch.testing.assert_close(still._at_places(still.whitening.unwhiten, y.flatten(1)), codes, atol=1e-4, rtol=1e-4)
    still.velocity.forward = lambda y, t, labels: 0 * y  # then y is N(0, I)
    flat = torch.autograd.functional.jacobian(lambda z: still._at_places(still.whitening.whiten, z[None])[0], codes[0])
    expected = torch.distributions.Normal(0, 1).log_prob(y.flatten(1)).sum(1) + float(flat.det().abs().log())
    torch.testing.assert_close(still.log_prob(codes[:5]).float(), expected[:5], atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize(("shape", "patch"), [((2, 3, 5), 1), ((4, 32, 16), 2), ((3, 64, 64), 4)])
def test_maps_of_any_size_are_taken_large_ones_in_patches(shape, patch):
    velocity = MapVelocity(shape, 3, 16)
    assert (velocity.patch, velocity.places) == (patch, shape[1] * shape[2] // patch**2)
    torch.nn.init.normal_(velocity.output.weight)
    y = torch.randn(2, math.prod(shape), requires_grad=True)
    v = velocity(y, torch.tensor([0.2, 0.8]), torch.tensor([0, 3]))
    assert v.shape == y.shape
    assert float(torch.autograd.grad(v.square().sum(), y)[0].abs().min()) > 0, "each number goes in"


def test_a_map_of_one_place_is_taken():
    assert MapVelocity((2, 1, 1))(torch.ones(3, 2), torch.ones(3), torch.zeros(3, dtype=torch.long)).shape == (3, 2)


def test_a_flow_over_maps_is_not_scored_and_comes_first(flow):
    gaussian = Normal(Z)
    gaussian.score = Score(1e9, 0.0, 10)
    assert flow.score is None
    assert best_prior({"gaussian": gaussian, "flow": flow}) == "flow"


def test_files_of_flows_over_vectors_are_as_before():
    codes, _ = fields(100)
    vectors = Flow.fit(codes, codes, seed=0, on_progress=lambda _: None, steps=2)
    assert set(vectors.description()) == {"kind", "latent_dim", "num_labels", "score"}
    with pytest.raises(UserError, match="--guidance is for codes that are maps, and those of this flow are vectors"):
        vectors.set_solver(guidance=2.0)


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4), (2, 4, "4x"), (1, 4, 4)])
def test_damaged_shapes_are_refused(flow, tmp_path, monkeypatch, shape):
    monkeypatch.setattr(flow, "code_shape", shape)
    save_priors(tmp_path, {"flow": flow})
    with pytest.raises(UserError, match="are damaged"):
        load_priors(tmp_path, Z)


@pytest.mark.parametrize(("error", "num"), [(0.54, 0), (0.56, 1)])
def test_one_that_memorises_says_so(monkeypatch, caplog, error, num):
    codes, _ = fields(40)
    monkeypatch.setattr("vaegan.priors.velocity._WIDTH", 16)
    monkeypatch.setattr(Flow, "_error", lambda self, codes: {30: 0.5, 10: error}[len(codes)])
    with caplog.at_level(logging.WARNING, "vaegan"):
        Flow.fit(codes[:30], codes[30:], seed=0, on_progress=lambda _: None, steps=1, code_shape=SHAPE)
    assert sum("the flow memorises codes" in line for line in caplog.messages) == num


@pytest.mark.parametrize(("shape", "names", "num"), [(SHAPE, (), 1), (SHAPE, ("flow",), 0), ((Z,), (), 0)])
def test_the_end_of_a_run_names_the_command(caplog, monkeypatch, shape, names, num):
    monkeypatch.setattr("vaegan.training.finish._fit", lambda *_: False)
    model = SimpleNamespace(encoder="one", code_shape=shape, info={})
    config = SimpleNamespace(seed=0, train=SimpleNamespace(priors=names))
    setup = SimpleNamespace(output_model=model, config=config, data=None, trainer=SimpleNamespace(images=1))
    with caplog.at_level(logging.INFO, "vaegan"):
        fit_run_priors(SimpleNamespace(path="runs/a"), setup, None)
    assert sum(line.endswith("(minutes): vaegan priors runs/a") for line in caplog.messages) == num
