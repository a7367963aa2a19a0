from __future__ import annotations

import copy
import functools
import json
import math
from pathlib import Path

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from vaegan.errors import UserError
from vaegan.priors import PRIORS, best_prior, fit_priors, load_priors, save_priors
from vaegan.priors.flow import Flow
from vaegan.priors.gaussian import Gaussian
from vaegan.priors.kde import KernelDensity
from vaegan.priors.mixture import FLOOR, Components, cluster, fit_components, maximise, monomials
from vaegan.priors.prior import Normal, Score

Z = 3


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def three_clusters(num=1500, seed=0):
    """Codes around three far corners, of unlike widths, and the corner of each."""
    labels = torch.randint(3, (num,), generator=torch.Generator().manual_seed(seed))
    centres = torch.tensor([[4.0, 0.0, 0.0], [-4.0, 2.0, 0.0], [0.0, -4.0, 1.0]])
    widths = torch.tensor([[0.5, 0.2, 1.0], [0.3, 0.6, 0.4], [1.0, 0.3, 0.2]])
    return centres[labels] + widths[labels] * normal(num, Z, seed=seed + 1), labels


def fitted(by_label=False):
    """Every prior, fitted once to three clusters; the flow in few steps."""
    return fitted_once(by_label)


@functools.cache
def fitted_once(by_label):
    codes, labels = three_clusters()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flow.fit.__func__, "__kwdefaults__", {**Flow.fit.__func__.__kwdefaults__, "steps": 250})
        return fit_priors(codes, names=list(PRIORS), seed=0, labels=labels if by_label else None, num_labels=3)


def quiet(_):
    pass


class TestGaussian:
    def test_likelihood_and_moments_are_those_of_the_codes(self):
        codes = normal(4000, Z) @ normal(Z, Z, seed=1) + normal(Z, seed=2)
        prior = Gaussian.fit(codes, codes, seed=0, on_progress=quiet)
        reference = MultivariateNormal(codes.mean(0).double(), codes.T.cov(correction=0).double())
        torch.testing.assert_close(prior.log_prob(codes), reference.log_prob(codes.double()), atol=0.1, rtol=0)
        z = prior.sample(50_000, seed=3)
        torch.testing.assert_close(z.T.cov(), codes.T.cov(), atol=0.1, rtol=0.03)

    def test_whitened_codes_have_unit_covariance_and_come_back(self):
        codes = normal(5000, Z) * torch.tensor([3.0, 0.01, 1.0]) + 5
        prior = Gaussian.fit(codes, codes, seed=0, on_progress=quiet)
        y = prior.whiten(codes)
        torch.testing.assert_close(y.T.cov(), torch.eye(Z), atol=0.02, rtol=0)
        torch.testing.assert_close(prior.unwhiten(y), codes)

    def test_fewer_codes_than_dimensions_leave_a_proper_density(self):
        codes = normal(20, 60)
        prior = Gaussian.fit(codes, codes, seed=0, on_progress=quiet)
        assert prior.log_prob(normal(5, 60, seed=1)).isfinite().all()
        assert prior.scales.min() > 0.1


def block_diagonal(components):
    """The same mixture in torch.distributions."""
    covariances = torch.stack(
        [
            torch.block_diag(block, variances.diag())
            for block, variances in zip(components.covariances, components.variances, strict=True)
        ]
    ).double()
    return MixtureSameFamily(
        Categorical(components.weights.double()), MultivariateNormal(components.means.double(), covariances)
    )


class TestMixture:
    @pytest.mark.parametrize("block", [1, 3, 5])
    def test_joint_density_is_linear_in_monomials(self, block):
        roots = normal(4, block, block, seed=1)
        components = Components(
            torch.tensor([0.1, 0.2, 0.3, 0.4]),
            normal(4, 5, seed=2),
            roots @ roots.mT + 0.1 * torch.eye(block),
            normal(4, 5 - block, seed=3).exp(),
        )
        y = normal(50, 5)
        ours = components.log_joint(y).logsumexp(1)
        torch.testing.assert_close(ours, block_diagonal(components).log_prob(y.double()))

    def test_expectation_maximisation_reaches_what_scikit_learn_does(self):
        from sklearn.mixture import GaussianMixture

        y, _ = three_clusters()
        y = (y - y.mean(0)) / y.std(0)
        ours = fit_components(y, 3, block=3, seed=0, tolerance=1e-5).log_joint(y).logsumexp(1).mean()
        theirs = GaussianMixture(3, random_state=0, reg_covar=1e-3).fit(y.numpy()).score(y.numpy())
        assert float(ours) == pytest.approx(theirs, abs=0.03)

    def test_expectation_maximisation_stops_before_it_fits_chance(self):
        y, held_out = normal(1000, 8), normal(3000, 8, seed=1)  # one Gaussian, fitted by forty
        early = fit_components(y, 40, block=8, seed=0, held_out=held_out)
        late = fit_components(y, 40, block=8, seed=0)
        of = [float(mixture.log_joint(held_out).logsumexp(1).mean()) for mixture in (early, late)]
        assert of[0] > of[1] + 0.02

    def test_covariances_of_clusters_are_those_of_their_points_up_to_shrinkage(self):
        y, _ = three_clusters(30_000)
        found, parts = cluster(y, 3, block=2, seed=0)
        for k in range(3):
            of_k = y[found == k].double()
            torch.testing.assert_close(parts.means[k], of_k.mean(0))
            torch.testing.assert_close(parts.covariances[k], of_k[:, :2].T.cov(), atol=2e-3, rtol=0.02)
            torch.testing.assert_close(parts.variances[k], of_k[:, 2:].var(0), atol=2e-3, rtol=0.02)

    def test_shrinkage_and_floor_of_the_m_step_by_hand(self):
        # Component a has (+-2, +-2) along the diagonal, b the same point thrice: covariances [[4, 4], [4, 4]] and 0.
        # Pooled over 5 points: 2/5 of the first. Shrunk as if 2 more points (one for each full dimension) had it.
        a, b = torch.tensor([[2.0, 2.0], [-2.0, -2.0]]), torch.tensor([[1.0, 0.0]] * 3)
        sums = torch.stack([monomials(points, 2).sum(0) for points in (a, b)]).double()
        found = maximise(sums, 2, 2)
        torch.testing.assert_close(found.weights, torch.tensor([0.4, 0.6]).double())
        torch.testing.assert_close(found.means, torch.tensor([[0.0, 0.0], [1.0, 0.0]]).double())
        one, pooled = 4.0, 8 / 5
        # [[v, v], [v, v]] has the eigenvalues 2 v and 0; the floor lifts the 0 to f: v + f / 2 and v - f / 2.
        for k, v in enumerate(((2 * one + 2 * pooled) / 4, 2 * pooled / 5)):
            expected = torch.tensor([[v + FLOOR / 2, v - FLOOR / 2], [v - FLOOR / 2, v + FLOOR / 2]]).double()
            torch.testing.assert_close(found.covariances[k], expected)
        diagonal = maximise(torch.stack([monomials(p, 1).sum(0) for p in (a, 0 * b)]).double(), 2, 1)
        torch.testing.assert_close(diagonal.variances[:, 0], torch.tensor([(8 + 8 / 5) / 3, 8 / 5 / 4]).double())
        flat = maximise(torch.stack([monomials(0 * b, 1).sum(0)]).double(), 2, 1)
        torch.testing.assert_close(flat.variances, torch.full((1, 1), FLOOR).double())

    def test_draws_have_the_density_they_are_said_to_have(self):
        prior = fitted()["mixture"]
        z = prior.sample(20_000, seed=1)
        codes, _ = three_clusters(20_000, seed=5)
        torch.testing.assert_close(z.mean(0), codes.mean(0), atol=0.25, rtol=0)
        torch.testing.assert_close(z.T.cov(), codes.T.cov(), atol=0.3, rtol=0.03)
        assert float(prior.log_prob(z).mean()) == pytest.approx(float(prior.log_prob(codes).mean()), abs=0.1)

    def test_one_gaussian_is_left_where_more_do_not_help(self):
        prior = fit_priors(normal(600, Z), names=["mixture", "gaussian"], seed=0)
        z = normal(9, Z, seed=1)
        torch.testing.assert_close(prior["mixture"].log_prob(z), prior["gaussian"].log_prob(z))

    def test_long_codes_have_full_covariances_in_the_leading_axes_only(self):
        codes = torch.cat([three_clusters(900)[0], normal(900, 97, seed=4)], 1)
        prior = fit_priors(codes, names=["mixture"], seed=0)["mixture"]
        assert prior.gaussians.covariances.shape[1:] == (64, 64)
        assert prior.sample(5, seed=0).shape == (5, 100)
        assert prior.log_prob(codes).isfinite().all()


def test_kernel_density_is_the_mean_of_its_kernels():
    codes, _ = three_clusters(200)
    prior = KernelDensity.fit(codes, codes[:50] + 0.1, seed=0, on_progress=quiet)
    covariances = prior.bandwidth**2 * (prior.factors @ prior.factors.mT)[prior.clusters]
    y = prior.whitening.whiten(codes.double())
    kernels = MixtureSameFamily(
        Categorical(torch.ones(200, dtype=torch.float64)),
        MultivariateNormal(prior.stored.double(), covariances.double()),
    )
    torch.testing.assert_close(prior.log_prob(codes), kernels.log_prob(y) + prior.whitening.log_det, atol=1e-3, rtol=0)
    torch.testing.assert_close(prior.sample(20_000, seed=1).T.cov(), kernels_covariance(prior), atol=0.4, rtol=0.05)


def kernels_covariance(prior):
    """Of codes: between stored ones, plus that of the kernels."""
    inner = (prior.bandwidth**2 * (prior.factors @ prior.factors.mT)[prior.clusters]).mean(0)
    root = (prior.whitening.axes * prior.whitening.scales).T
    return root.T @ (prior.stored.T.cov(correction=0) + inner) @ root


class TestFlow:
    def test_its_density_integrates_to_one_and_says_how_its_draws_lie(self):
        codes = torch.cat([normal(2000, 1) * 0.3 - 2, normal(2000, 1, seed=1) * 0.5 + 2])
        prior = Flow.fit(codes, codes, seed=0, on_progress=quiet, steps=300)
        grid = torch.linspace(-8, 8, 1601)[:, None]
        density = prior.log_prob(grid).exp()
        assert float(density.sum() * 0.01) == pytest.approx(1, abs=0.01)
        z = prior.sample(5_000, seed=1)
        for low, high in ((-8, -2), (-2, 0), (0, 2)):
            inside = (grid[:, 0] >= low) & (grid[:, 0] < high)
            drawn = ((z >= low) & (z < high)).float().mean()
            assert float(density[inside].sum() * 0.01) == pytest.approx(float(drawn), abs=0.02)
        assert 0.4 < float((z < 0).float().mean()) < 0.6
        assert float(((z > -0.7) & (z < 0.3)).float().mean()) < 0.1

    @pytest.mark.parametrize("by_label", [False, True])
    def test_gradients_need_not_be_on(self, tmp_path, by_label):
        save_priors(tmp_path, {"flow": fitted(by_label)["flow"]})
        codes, _ = three_clusters(30)
        with torch.no_grad():
            prior = load_priors(tmp_path, Z)["flow"]
            density = prior.log_prob(codes)
            again = Flow.fit(codes, codes, seed=1, on_progress=quiet, steps=5)
        assert torch.equal(density, prior.log_prob(codes))
        assert torch.equal(
            again.sample(9, seed=0), Flow.fit(codes, codes, seed=1, on_progress=quiet, steps=5).sample(9, seed=0)
        )

    def test_many_dimensions_have_their_divergence_estimated(self, monkeypatch):
        prior, codes = fitted()["flow"], three_clusters(300)[0]
        exact = prior.log_prob(codes)
        monkeypatch.setattr("vaegan.priors.flow._EXACT_UP_TO", 0)
        estimated = prior.log_prob(codes)
        assert not torch.equal(exact, estimated)
        assert float((exact - estimated).mean()) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("name", PRIORS)
class TestEvery:
    def test_the_seed_decides_and_the_global_generator_stays(self, name):
        prior, state = fitted()[name], torch.get_rng_state()
        z = prior.sample(7, seed=3)
        assert (z.shape, z.dtype) == ((7, Z), torch.float32)
        assert torch.equal(z, prior.sample(7, seed=3))
        assert not torch.equal(z, prior.sample(7, seed=4))
        assert torch.equal(torch.get_rng_state(), state)
        assert prior.sample(0, seed=3).shape == (0, Z)

    def test_fitting_again_gives_the_same(self, name):
        codes, _ = three_clusters(200)
        if name == "flow":
            one, two = (Flow.fit(codes, codes, seed=1, on_progress=quiet, steps=5) for _ in range(2))
        else:
            one, two = (fit_priors(codes, names=[name], seed=1)[name] for _ in range(2))
        assert torch.equal(one.sample(9, seed=0), two.sample(9, seed=0))

    @pytest.mark.parametrize("by_label", [False, True])
    def test_saved_and_loaded_it_is_the_same(self, tmp_path, name, by_label):
        prior, codes = fitted(by_label)[name], three_clusters(20)[0]
        save_priors(tmp_path, {name: prior})
        loaded = load_priors(tmp_path, Z)[name]
        assert torch.equal(loaded.sample(9, seed=0), prior.sample(9, seed=0))
        torch.testing.assert_close(loaded.log_prob(codes), prior.log_prob(codes), atol=1e-3, rtol=1e-4)
        assert (loaded.score, loaded.components, loaded.num_labels) == (prior.score, prior.components, prior.num_labels)

    def test_labels_choose_what_is_drawn(self, name):
        prior = fitted(by_label=True)[name]
        z = prior.sample(300, seed=0, labels=torch.arange(300) % 3)
        if name == "normal":
            assert torch.equal(z, prior.sample(300, seed=0))
            return
        centres = torch.stack([z[k::3].mean(0) for k in range(3)])
        expected = torch.tensor([[4.0, 0.0, 0.0], [-4.0, 2.0, 0.0], [0.0, -4.0, 1.0]])
        torch.testing.assert_close(centres, expected, atol=0.9, rtol=0)
        with pytest.raises(UserError, match="labels must lie in 0 to 2"):
            prior.sample(1, seed=0, labels=torch.tensor([3]))
        with pytest.raises(UserError, match=r"whole numbers \(2,\)"):
            prior.sample(2, seed=0, labels=torch.tensor([0.5, 1.0]))
        with pytest.raises(UserError, match=f"'{name}' was fitted without labels"):
            fitted()[name].sample(1, seed=0, labels=torch.tensor([0]))

    def test_the_score_is_the_likelihood_of_codes_left_out(self, name):
        codes, _ = three_clusters(1000, seed=77)
        prior = fitted()[name]
        assert prior.score.num == 150
        assert abs(prior.score.mean - float(prior.log_prob(codes).mean())) < 3 * prior.score.half_width


def test_likelihood_over_labels_is_that_of_a_mixture_of_the_labels():
    prior, (codes, labels) = fitted(by_label=True)["gaussian"], three_clusters()
    parts = [Gaussian.fit(codes[labels == k], codes, seed=0, on_progress=quiet).log_prob(codes) for k in range(3)]
    direct = torch.stack(parts).logsumexp(0) - math.log(3)
    assert float((prior.log_prob(codes) - direct).abs().mean()) < 0.05


def test_labels_that_are_unequally_frequent_keep_their_shares():
    labels = (torch.arange(1000) % 10 == 0).long()  # 900 around -3, 100 around 3
    codes = torch.where(labels[:, None] == 1, 3.0, -3.0) + normal(1000, 1)
    prior = fit_priors(codes, names=["gaussian"], labels=labels, num_labels=2, seed=0)["gaussian"]
    density = prior.log_prob(torch.tensor([[-3.0], [3.0]])).exp()
    peak = 1 / math.sqrt(2 * math.pi)
    assert density.tolist() == pytest.approx([0.9 * peak, 0.1 * peak], rel=0.15)
    assert float((prior.sample(20_000, seed=1) > 0).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_a_label_with_hardly_any_codes_gets_a_prior_of_all():
    codes, labels = three_clusters(300)
    labels[:2], labels[2:] = 2, labels[2:] % 2
    prior = fit_priors(codes, names=["mixture"], labels=labels, num_labels=4, seed=0)["mixture"]
    assert prior.sample(4, seed=0, labels=torch.tensor([0, 1, 2, 3])).isfinite().all()
    assert prior.log_prob(codes).isfinite().all()
    assert prior.priors[2] is prior.priors[3], "it is fitted once"


def test_labels_with_hardly_any_codes_are_named_and_their_prior_is_saved_once(tmp_path, caplog):
    codes, labels = three_clusters(300)
    labels = torch.where(torch.arange(300) < 5, torch.arange(300) + 2, labels % 2)
    options = {"labels": labels, "num_labels": 7, "label_names": tuple("abcdefg"), "seed": 0}
    prior = fit_priors(codes, names=["gaussian"], **options)["gaussian"]
    assert (
        "prior gaussian: fewer than 50 codes for c, d, e and 2 other labels; their prior is that of all" in caplog.text
    )
    save_priors(tmp_path, {"gaussian": prior})
    loaded = load_priors(tmp_path, Z)["gaussian"]
    assert len({name.partition(".")[0] for name in loaded.tensors()} - {"shares"}) == 3
    of_labels = torch.stack([each.log_prob(codes) for each in loaded.priors]) + prior.shares.double().log()[:, None]
    torch.testing.assert_close(loaded.log_prob(codes), of_labels.logsumexp(0))
    chosen = torch.arange(70) % 7
    assert torch.equal(loaded.sample(70, seed=0, labels=chosen), prior.sample(70, seed=0, labels=chosen))
    assert torch.equal(prior.sample(70, seed=0, labels=chosen.tolist()), prior.sample(70, seed=0, labels=chosen))


def test_all_priors_are_scored_by_the_same_codes():
    codes, _ = three_clusters(600)
    priors = fit_priors(codes.repeat(20, 1), names=["gaussian", "flow"], seed=0, flow_steps=2)
    assert priors["gaussian"].score.num == priors["flow"].score.num == Flow.num_scored


def test_the_best_prior_has_the_highest_held_out_likelihood():
    priors = fitted()
    assert best_prior(priors) == max(priors, key=lambda name: priors[name].score.mean)
    assert priors["mixture"].score.mean > priors["gaussian"].score.mean + 1 > priors["normal"].score.mean
    assert best_prior({}) == "normal"
    assert str(Score(-12.5, 0.25, 10)) == "-12.50 ± 0.25"


def test_of_equal_scores_the_simplest_prior_is_the_best():
    def scored(**means):
        priors = {name: Normal(Z) for name in means}
        for name, prior in priors.items():
            prior.score = Score(means[name], 0.3, 10)
        return best_prior(priors)

    assert scored(kde=-6.101, mixture=-6.102, gaussian=-6.104) == "gaussian"
    assert scored(gaussian=-6.104, mixture=-6.102) == "gaussian"
    assert scored(normal=-6.9, gaussian=-6.1, mixture=-6.08) == "mixture"
    assert scored(gaussian=-6.1, own=-6.1) == "gaussian"


@pytest.mark.parametrize(("names", "said"), [((), "label 1, "), (("cat", "dog", "newt"), "label dog, ")])
def test_progress_names_labels_and_counts_gaussians(names, said):
    codes, labels = three_clusters(300)
    told = []
    options = {"labels": labels, "num_labels": 3, "label_names": names, "seed": 0, "on_progress": told.append}
    prior = fit_priors(codes, names=["mixture"], **options)["mixture"]
    assert any(text.startswith(f"mixture: {said}") for text in told)
    size = prior.components.removesuffix(", 3 labels")
    assert any(text.startswith(f"mixture: {size}: ") for text in told)


def test_progress_is_told_and_seconds_are_counted():
    told = []
    priors = fit_priors(three_clusters(300)[0], names=["gaussian", "mixture"], seed=0, on_progress=told.append)
    assert told
    assert all(text.startswith("mixture: ") for text in told)
    assert all(prior.seconds > 0 for prior in priors.values())


@pytest.mark.parametrize(
    ("codes", "names", "told"),
    [
        (normal(100, Z), ["mixtur"], r"prior 'mixtur' is unknown \(perhaps you meant 'mixture'\); choose among normal"),
        (normal(19, Z), None, "only 19 codes to fit a prior to, and 20 are needed; use more images"),
        (normal(100, Z) / 0, None, "not finite"),
    ],
)
def test_what_cannot_be_fitted_is_told(codes, names, told):
    with pytest.raises(UserError, match=told) as error:
        fit_priors(codes, names=names, seed=0)
    assert "\n" not in str(error.value)


def test_labels_and_steps_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="99 labels for 100 codes; give one label for each code"):
        fit_priors(normal(100, Z), names=["gaussian"], labels=torch.arange(99) % 3, num_labels=3, seed=0)
    with pytest.raises(UserError, match="labels are from 0 to 2, not from 0 to 1; set num_labels"):
        fit_priors(normal(100, Z), names=["gaussian"], labels=torch.arange(100) % 3, num_labels=2, seed=0)
    with pytest.raises(UserError, match="flow_steps must be at least 1, not -5"):
        fit_priors(normal(100, Z), names=["flow"], flow_steps=-5, seed=0)


def test_twenty_codes_are_enough_and_constant_ones_too():
    for codes in (normal(20, 8), torch.ones(50, 8), torch.cat([normal(50, 2), torch.zeros(50, 6)], 1)):
        for prior in fit_priors(codes, seed=0).values():
            assert prior.sample(5, seed=0).isfinite().all()


class TestSaved:
    def refused(self, folder, told, dim=Z):
        with pytest.raises(UserError, match=told) as error:
            load_priors(folder, dim)
        assert "\n" not in str(error.value)

    @pytest.fixture
    def saved(self, tmp_path):
        save_priors(tmp_path, {name: fitted()[name] for name in ("gaussian", "mixture")})
        return tmp_path

    def test_none_are_saved_as_nothing_and_remove_those_before(self, saved):
        save_priors(saved, {})
        assert list(saved.iterdir()) == []
        assert load_priors(saved, Z) == {}

    @pytest.mark.parametrize("name", ["priors.safetensors", "priors.json"])
    def test_missing_cut_and_exchanged_files_are_refused(self, saved, name):
        content = (saved / name).read_bytes()
        (saved / name).write_bytes(content[:-9])
        self.refused(saved, "are damaged .*; restore them from a copy, or delete both files and fit again")
        (saved / name).unlink()
        if name == "priors.safetensors":
            self.refused(saved, "are damaged")
        else:  # as a process leaves them that is killed while it saves
            assert load_priors(saved, Z) == {}
        save_priors(saved, {"gaussian": fitted()["gaussian"]})
        (saved / name).write_bytes(content)
        self.refused(saved, "priors.safetensors is not the file that priors.json describes")

    @pytest.mark.parametrize("stage", ["priors.safetensors", "priors.json"])
    def test_a_kill_between_the_two_files_leaves_none_rather_than_a_mixture(self, saved, stage, monkeypatch):
        def die(path, target):
            if Path(target).name == stage:
                raise KeyboardInterrupt
            return replace(path, target)

        replace = Path.replace
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die)
            with pytest.raises(KeyboardInterrupt):
                save_priors(saved, {"gaussian": fitted()["gaussian"]})
        assert load_priors(saved, Z) == {}
        save_priors(saved, {"gaussian": fitted()["gaussian"]})
        assert list(load_priors(saved, Z)) == ["gaussian"]

    @pytest.mark.parametrize("where", ["tensors", "score"])
    def test_numbers_that_are_not_finite_are_refused(self, saved, where):
        priors = {"gaussian": copy.deepcopy(fitted()["gaussian"])}
        if where == "score":
            priors["gaussian"].score = Score(float("nan"), 1.0, 5)
        else:
            next(iter(priors["gaussian"].tensors().values())).view(-1)[0] = float("nan")
        save_priors(saved, priors)
        self.refused(saved, "are damaged .*not finite")

    def test_priors_of_another_model_are_refused(self, saved):
        self.refused(saved, "has 3 dimensions, the model's codes 5", dim=5)

    @pytest.mark.parametrize(
        "values", [{"kind": "spline"}, {"latent_dim": 4}, {"score": {"mean": 1}}, {"kind": "flow"}]
    )
    def test_descriptions_that_do_not_fit_are_refused(self, saved, values):
        described = json.loads((saved / "priors.json").read_text())
        described["priors"]["mixture"] |= values
        (saved / "priors.json").write_text(json.dumps(described))
        self.refused(saved, "are damaged")
