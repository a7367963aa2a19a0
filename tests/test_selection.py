"""The best snapshot's model is kept, with its score; the same score as from its parts, the same run as without."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

import vaegan
from vaegan.cli import main
from vaegan.data import open_data
from vaegan.data.conditions import conditioning_of
from vaegan.data.dataset import ImageSet
from vaegan.metrics.extractors.features import open_extractor
from vaegan.metrics.extractors.learned import Learned
from vaegan.recipes import config_for
from vaegan.training import RunFolder
from vaegan.training import best_model as selection
from vaegan.training.best_model import BestModel, is_affordable, open_best_model, quick_mixture, why_no_modes
from vaegan.training.factories import build_model


@pytest.fixture(scope="module")
def data():
    return open_data("digits")


class Brightness:
    """Two features: the mean pixel and the top left one."""

    name, fingerprint, dim = "brightness", "", 2

    def features(self, x, *, batch_size=256):
        return torch.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], 1)


def scores_by_hand(data, model, num):
    """Fréchet distances by scipy of `num` samples and reconstructions to as many held-out images, in two features."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.test))[:num])
    x, x_train = (torch.from_numpy(i).permute(0, 3, 1, 2) / 255 for i in (data.test.images[chosen], data.train.images))
    z = quick_mixture(model.encode(x_train, sample=True, seed=0)).sample(num, seed=0)
    made = {"frechet_samples": model.decode(z), "frechet_reconstructions": model.reconstruct(x)}
    features = {name: Brightness().features(images).double().numpy() for name, images in (made | {"": x}).items()}
    real = features.pop("")
    return {name: frechet_by_scipy(each, real) for name, each in features.items()}


def frechet_by_scipy(a, b):
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a + of_b - 2 * sqrtm(of_a @ of_b).real)


def test_a_quick_mixture_is_near_the_codes_it_was_fitted_to():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 4, (3, 2))
    codes = torch.from_numpy(centres[rng.integers(3, size=3000)] + rng.normal(0, 0.3, (3000, 2))).float()
    drawn = quick_mixture(codes).sample(3000, seed=1)
    away = (drawn[:, None] - torch.from_numpy(centres)).norm(dim=2).min(1).values
    assert (away < 1.2).float().mean() > 0.99  # 4 sigma
    assert float((drawn.mean(0) - codes.mean(0)).norm()) < 0.3
    assert quick_mixture(codes[:2]).sample(5, seed=0).isfinite().all()


def test_the_better_model_is_kept_with_its_score(make_model, data, tmp_path):
    scores = []
    for resumed in (False, True):
        folder = tmp_path / str(resumed)
        chooser = BestModel(folder, data, Brightness(), 50)
        for seed in (0, 1, 2, 3):
            if resumed:
                chooser = BestModel(folder, data, Brightness(), 50)
            model = make_model(seed=seed)
            found = chooser.score(model)
            assert "labels" not in found
            expected = scores_by_hand(data, model, 50)
            assert found["scores"] == pytest.approx(expected | {"score": sum(expected.values())}, rel=1e-3)
            scores.append(found["scores"]["score"])
            assert "score" not in model.info
        best = vaegan.load(folder)
        assert best.info["images"] == int(np.argmin(scores[:4]))
        assert best.info["score"] == min(scores)
    assert scores[:4] == scores[4:]
    assert len(set(scores[:4])) == 4


def test_codes_are_those_of_all_images_of_which_a_batch_is_converted_at_once(make_model, data, tmp_path, monkeypatch):
    model, (train, unit), converted = make_model(), (data.train, ImageSet.unit), []
    expected = quick_mixture(model.encode(train.unit(), sample=True, seed=0)).sample(50, seed=0)
    chooser = BestModel(tmp_path, data, Brightness(), 50)
    monkeypatch.setattr(ImageSet, "unit", lambda images, rows: converted.append(len(x := unit(images, rows))) or x)
    assert torch.equal(chooser._codes(model), expected)
    assert (max(converted), sum(converted)) == (256, len(train))
    assert chooser.train is train, "not a copy"


def test_a_score_of_other_images_or_features_does_not_count(make_model, data, tmp_path):
    one, other = Brightness(), Brightness()
    other.fingerprint = "other"
    score = BestModel(tmp_path, data, one, 50).score(make_model())["scores"]["score"]
    assert [BestModel(tmp_path, data, *of).best for of in ((one, 50), (one, 60), (other, 50))] == [score, None, None]
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["info"].pop("scored_on")
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert BestModel(tmp_path, data, one, 60).best == score, "of an earlier version"


@pytest.mark.parametrize(("kind", "names"), [("gan", ["samples"]), ("ae", ["reconstructions"])])
def test_what_a_model_can_do_is_scored(make_model, kind, names, data, tmp_path):
    scores = BestModel(tmp_path, data, Brightness(), 50).score(make_model(kind))["scores"]
    assert set(scores) == {"score", *(f"frechet_{name}" for name in names)}


def test_labels_of_samples_and_of_held_out_images(make_model, data, tmp_path):
    class Teller(Learned):
        """Sees a five in everything."""

        def __init__(self):
            self.name, self.fingerprint, self.dim, self.label_names = "classifier", "", 2, list("0123456789")

        def features(self, x, *, batch_size=256):
            return Brightness().features(x)

        def label_probabilities(self, features):
            return torch.eye(10)[5].expand(len(features), 10)

    labels = BestModel(tmp_path, data, Teller(), 100).score(make_model())["labels"]
    assert [labels[name][0] for name in "0123456789"] == [0, 0, 0, 0, 0, 100, 0, 0, 0, 0]
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.test))[:100])
    assert [labels[name][1] for name in "0123456789"] == np.bincount(data.test.labels[chosen], minlength=10).tolist()


@pytest.mark.parametrize(
    ("kind", "labelled", "metric", "is_open", "record", "why"),
    [
        (
            "gan",
            True,
            "auto",
            False,
            {},
            "the run is too short to train a classifier first; set --train.best-metric fd",
        ),
        ("vaegan", True, "none", False, {}, "set --train.best-metric fd"),
        ("vae", False, "fd", True, {}, "the images have no labels"),
        ("gan", True, "fd", True, {}, "the extractor brightness does not predict labels"),
        ("gan", True, "fd", True, {"labels": {}}, "too few samples"),
        ("gan", True, "fd", True, {"labels": {}, "health": [{"check": "modes"}]}, ""),
        ("ae", True, "none", False, {}, ""),
    ],
)
def test_labels_of_samples_are_checked_or_it_is_said_why_not(kind, labelled, metric, is_open, record, why):
    setup = SimpleNamespace(
        config=config_for("digits", {"train.best_metric": metric}),
        model=SimpleNamespace(kind=kind),
        data=SimpleNamespace(test=SimpleNamespace(labels=[0] if labelled else None)),
    )
    best = SimpleNamespace(extractor=SimpleNamespace(name="brightness")) if is_open else None
    assert why_no_modes(setup, best, {"health": [{"check": "kl"}], **record}) == why


def test_it_is_opened_where_it_is_wanted_and_pays(make_model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "open_extractor", lambda *_, **__: open_extractor("pixels", data))
    for select, total, opened in (
        ("none", 10**6, False), ("auto", 10**6, True), ("auto", 10**3, False), ("fd", 10**3, True),
    ):  # fmt: skip
        config = config_for("digits", {"train.best_metric": select})
        trainer = SimpleNamespace(settings=SimpleNamespace(total_images=total))
        setup = SimpleNamespace(config=config, data=data, trainer=trainer, model=make_model())
        found = open_best_model(RunFolder(tmp_path), setup, torch.device("cpu"))
        assert (found is not None) == opened
    recipe = config_for("digits")
    assert is_affordable(data, round(recipe.train.epochs * len(data.train)))


def test_a_conditional_model_is_told_each_image_s_label(data, tmp_path):
    conditioning = conditioning_of(data, "labels")
    config = config_for("digits", {"model.condition": "labels"})
    info = {"condition": conditioning.as_json()}
    model = build_model(config, data.image_shape, info)
    found = BestModel(tmp_path, data, Brightness(), 60).score(model)
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.test))[:60])
    x = torch.from_numpy(data.test.images[chosen]).permute(0, 3, 1, 2) / 255
    c = conditioning.of_images(data.test, chosen)
    made, real = (Brightness().features(each).double().numpy() for each in (model.reconstruct(x, condition=c), x))
    assert found["scores"]["frechet_reconstructions"] == pytest.approx(frechet_by_scipy(made, real), rel=1e-3)


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """The same run of four snapshots without and with selection, and with it in two goes."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "open_extractor", lambda *_, **__: Brightness())
        for name, select, goes in (("without", "none", "2"), ("with", "fd", "2"), ("again", "fd", "12")):
            for epochs in goes:
                words = ["--train.epochs", epochs, "--train.snapshot-epochs", "0.5", "--train.best-metric", select]
                assert main(["train", *tiny, *words, "--out", str(folder / name)]) == 0
    return folder


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_training_is_the_same_with_and_without(runs):
    one, two = (torch.load(max((runs / name / "checkpoints").glob("*.pt"))) for name in ("without", "with"))
    for part, weights in one["parts"].items():
        assert all(torch.equal(tensor, two["parts"][part][name]) for name, tensor in weights.items())
    assert not (runs / "without" / "best").exists()


def test_a_resumed_run_keeps_the_same_best(runs):
    scores = [record["scores"] for record in records(runs / "with") if "scores" in record]
    assert len(scores) == 4
    best = vaegan.load(runs / "with", which="best")
    assert best.info["score"] == min(score["score"] for score in scores)
    again = vaegan.load(runs / "again", which="best")
    assert again.info["score"] == best.info["score"]
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in best.state_dict().items())
    last = vaegan.load(runs / "with")
    assert "score" not in last.info
    assert last.info["images"] == 208


def test_best_is_a_model_folder_that_knows_its_data(runs, tmp_path):
    best = runs / "with" / "best"
    assert main(["reconstruct", str(best), "--num", "4", "--out", str(tmp_path / "a.npz")]) == 0
    assert len(np.load(tmp_path / "a.npz")["images"]) == 4


def test_a_run_without_a_best_model(runs):
    with pytest.raises(vaegan.UserError, match=r"without has no best model; train it with --train.best-metric fd"):
        vaegan.load(runs / "without", which="best")
    with pytest.raises(vaegan.UserError, match=r"without has no best model; train it with --train.best-metric fd"):
        vaegan.load(runs / "without" / "best")


def test_the_report_shows_scores(runs):
    from vaegan.pages.run_sections import scores_section

    section = scores_section(records(runs / "with"))
    assert section is not None
    best = min(r["scores"]["score"] for r in records(runs / "with") if "scores" in r)
    assert dict(section.blocks[0].pairs)["best"] == f"{best:.4g}"
    assert scores_section(records(runs / "without")) is None
