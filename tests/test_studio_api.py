"""What the API answers, against the model itself, loaded on its own."""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.latent.attribute_vectors import apply, load_vectors
from vaegan.latent.code_paths import interpolate, interpolate_square
from vaegan.priors import Score, fit_priors
from vaegan.settings import DataSettings

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
from fastapi.testclient import TestClient

from vaegan.studio.app import create_app
from vaegan.studio.registry import Registry
from vaegan.studio.routes.sampling import _prior_of

BASE = "http://127.0.0.1"
BARS = "/api/models/bars"


@pytest.fixture(scope="module")
def client(registry):
    return TestClient(create_app(registry), base_url=BASE)


@pytest.fixture(scope="module")
def model(studio_run):
    return vaegan.load(studio_run)


def pixels(uri: str) -> np.ndarray:
    """uint8 `(H, W)` or `(H, W, 3)` of an image in JSON."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def expected(images: torch.Tensor) -> list[np.ndarray]:
    """Floats `(N, 1, H, W)` in [0, 1] as bytes."""
    return list((images[:, 0] * 255 + 0.5).floor().byte().numpy())


def assert_images(answer, images: torch.Tensor) -> None:
    assert answer.status_code == 200, answer.text
    shown = [pixels(uri).astype(int) for uri in answer.json()["images"]]
    assert len(shown) == len(images)
    # Batches of other sizes round otherwise in the last bit of a float.
    assert np.abs(np.array(shown) - np.array(expected(images)).astype(int)).max() <= 1


def bar(size=(30, 20)) -> bytes:
    file = io.BytesIO()
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[: size[1] // 2] = 255
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def test_models_are_told(client):
    (about,) = client.get("/api/models").json()["models"]
    assert about == client.get(BARS).json()
    assert about["name"] == "bars"
    assert about["image"] == {"channels": 1, "height": 8, "width": 8}
    assert about["labels"] == ["left", "right"]  # of the data, to which a prior by label is fitted when one is chosen
    assert about["clusters"] == len(client.get(f"{BARS}/clusters?split=train&num=40").json()["clusters"]) == 2
    assert about["attributes"] == ["right", "height", "said"]
    assert [prior["name"] for prior in about["priors"]] == ["normal", "gaussian"]
    assert set(about["parts"]) == {"encoder", "decoder", "discriminator"}


@pytest.mark.parametrize("prior", ["normal", "gaussian"])
def test_samples_are_the_models(client, model, prior):
    answer = client.get(f"{BARS}/samples", params={"num": 5, "seed": 3, "prior": prior})
    assert_images(answer, model.sample(5, seed=3, prior=prior))
    assert np.allclose(answer.json()["codes"], model.sample_codes(5, seed=3, prior=prior), atol=1e-5)
    assert answer.json()["prior"] == prior


def test_samples_of_a_label_have_its_codes(client, model, registry, monkeypatch):
    """Codes drawn for a label have the mean of the codes of its images, within what chance allows."""
    monkeypatch.setattr("vaegan.priors.fit._ENOUGH", 5)
    train = registry["bars"].version().images("train")
    mu, logvar = model.posterior(torch.from_numpy(np.array(train.images)).permute(0, 3, 1, 2).float() / 255)
    means = []
    for label, name in enumerate(("left", "right")):
        of_label = torch.from_numpy(train.labels) == label
        answer = client.get(f"{BARS}/samples", params={"num": 256, "label": name})
        assert answer.status_code == 200, answer.text
        z = torch.tensor(answer.json()["codes"])
        spread = (mu[of_label].var(0) + logvar[of_label].exp().mean(0)).sqrt()
        near = (z.mean(0) - mu[of_label].mean(0)).abs() / spread
        assert near.max() < 5 * (1 / 256 + 1 / int(of_label.sum())) ** 0.5
        means.append(z.mean(0))
        assert answer.json()["prior"] == "gaussian of the label"
    assert not torch.allclose(means[0], means[1])
    refused = client.get(f"{BARS}/samples", params={"label": "left", "prior": "gaussian"})
    assert refused.status_code == 400
    assert "not fitted by label" in refused.json()["error"]


def test_samples_of_a_label_take_the_models_own_prior_by_label(registry, monkeypatch):
    """It is there although another is the default; none is fitted, which needs the data."""
    version = registry["bars"].version()
    codes, labels = torch.randn(40, version.model.latent_dim), torch.arange(40) % 2
    monkeypatch.setattr("vaegan.priors.fit._ENOUGH", 5)
    kde = fit_priors(codes, names=["kde"], seed=0, labels=labels, num_labels=2)["kde"]
    model = version.model.with_parts({})
    model.info = version.model.info | {"label_names": ["left", "right"]}
    model.priors = {**version.model.priors, "kde": kde}
    monkeypatch.setattr(model.priors["gaussian"], "score", Score(1e9, 0.0, 10))
    served = SimpleNamespace(model=model)
    assert model.default_prior == "gaussian"
    chosen, of_labels = _prior_of(served, None, "right", 3)
    assert chosen is kde
    assert of_labels.tolist() == [1, 1, 1]


def test_an_image_that_is_no_form_field_is_explained(client):
    answer = client.post(f"{BARS}/reconstruct", content=bar())
    assert answer.status_code == 422
    assert "send the image as a form field called file (curl -F file=@x.png)" in answer.text


def test_an_upload_is_cut_encoded_and_reconstructed(client, model):
    answer = client.post(f"{BARS}/reconstruct", files={"file": ("x.png", bar())}).json()
    original = pixels(answer["original"])
    assert original.shape == (8, 8)
    assert original[:3].min() > 200 > 50 > original[5:].max()
    x = torch.from_numpy(original.copy())[None, None].float() / 255
    mu, logvar = model.posterior(x)
    assert np.allclose(answer["code"], mu[0], atol=1e-4)
    assert np.allclose(answer["deviation"], (0.5 * logvar[0]).exp(), atol=1e-4)
    x_tilde = model.reconstruct(x)
    assert np.abs(pixels(answer["reconstruction"]).astype(int) - expected(x_tilde)[0]).max() <= 1
    assert answer["mean_squared_error"] == pytest.approx(float((x - x_tilde).square().mean()), abs=1e-5)
    by_hand = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum()
    assert answer["kl"] == pytest.approx(float(by_hand), rel=1e-4)
    codes = client.post(f"{BARS}/encode", files={"file": ("x.png", bar())}).json()
    assert codes["code"] == answer["code"]


def test_the_error_map_is_bright_where_the_error_is():
    from vaegan.studio.routes.reconstruction import error_map

    x, x_tilde = torch.zeros(1, 2, 2), torch.tensor([[[0.0, 0.1], [0.3, 0.9]]])
    assert error_map(x, x_tilde).tolist() == [[[0, 0, 0], [153, 0, 0]], [[255, 204, 0], [255, 255, 255]]]


def test_examples_are_of_the_data(client, told_images):
    listed = client.get(f"{BARS}/examples", params={"num": 3, "split": "train"}).json()
    assert listed["of"] > 80
    index = listed["indices"][1]
    one = client.get(f"{BARS}/examples/{index}", params={"split": "train"}).json()
    shown = pixels(one["original"])
    assert (shown == pixels(listed["images"][1])).all()
    assert one["label"] == listed["labels"][1] == ("right" if shown[:, 4:].any() else "left")
    assert any((np.asarray(Image.open(path)) == shown).all() for path in told_images.rglob("*.png"))
    assert client.get(f"{BARS}/examples/100000").status_code == 404


def test_codes_are_decoded_and_edited(client, model, studio_run):
    z = model.sample_codes(3, seed=1)
    body = {"codes": z.tolist()}
    assert_images(client.post(f"{BARS}/decode", json=body), model.decode(z))
    vector = load_vectors(studio_run)["height"]
    edited = client.post(f"{BARS}/decode", json=body | {"attributes": {"height": -2}})
    assert_images(edited, model.decode(apply(z, vector, -2)))
    assert np.allclose(edited.json()["codes"], apply(z, vector, -2), atol=1e-4)
    z[:, 2] = 1.5
    assert_images(client.post(f"{BARS}/decode", json=body | {"dimensions": {"2": 1.5}}), model.decode(z))


def test_between_codes(client, model):
    z = model.sample_codes(4, seed=2)
    for how in ("linear", "spherical"):
        two = client.post(f"{BARS}/interpolate", json={"codes": z[:2].tolist(), "steps": 5, "how": how})
        assert_images(two, model.decode(interpolate(z[:1], z[1:2], 5, how)[:, 0]))
        four = client.post(f"{BARS}/interpolate", json={"codes": z.tolist(), "steps": 3, "how": how})
        assert_images(four, model.decode(interpolate_square(z[:, None], 3, how).flatten(0, 2)))
    three = client.post(f"{BARS}/interpolate", json={"codes": z[:3].tolist(), "places": [[0, 0], [1, 0], [0.3, 1]]})
    assert_images(three, model.decode(z[:3]))


def test_films_go_there_and_back_or_around(client, model):
    z = model.sample_codes(4, seed=2).tolist()
    for codes, frames in ((z[:2], 8), (z[:3], 12), (z, 16)):
        film = client.post(f"{BARS}/interpolate", json={"codes": codes, "steps": 5, "form": "gif"})
        assert film.headers["content-type"] == "image/gif"
        assert Image.open(io.BytesIO(film.content)).n_frames == frames


def test_along_dimensions(client, model):
    z = model.sample_codes(1, seed=4)
    body = {"code": z[0].tolist(), "dimensions": [3, 0], "steps": 3, "reach": 2}
    by_hand = z.repeat(6, 1)
    by_hand[:3, 3] = by_hand[3:, 0] = torch.tensor([-2.0, 0.0, 2.0])
    assert_images(client.post(f"{BARS}/traverse", json=body), model.decode(by_hand))
    kl = client.get(f"{BARS}/dimensions", params={"num": 4}).json()["dimensions"]
    assert sorted(row["dimension"] for row in kl) == [0, 1, 2, 3]
    assert [row["kl"] for row in kl] == sorted((row["kl"] for row in kl), reverse=True)


def test_clusters_and_map_agree(client):
    asked = {"k": 3, "num": 40, "split": "train", "seed": 1}
    found = client.get(f"{BARS}/clusters", params=asked | {"shown": 4}).json()
    assert sum(cluster["size"] for cluster in found["clusters"]) == 40
    placed = client.get(f"{BARS}/map", params=asked).json()
    where = dict(zip(placed["indices"], placed["clusters"], strict=True))
    for number, cluster in enumerate(found["clusters"]):
        assert {where[index] for index in cluster["indices"]} == {number}
        first = client.get(f"{BARS}/examples/{cluster['indices'][0]}", params={"split": "train"}).json()
        assert (pixels(first["original"]) == pixels(cluster["images"][0])).all()
    assert np.array(placed["places"]).shape == (40, 2)
    arrays = np.load(io.BytesIO(client.get(f"{BARS}/map", params=asked | {"form": "npz"}).content))
    assert arrays["codes"].shape == (40, 4)
    assert arrays["clusters"].tolist() == placed["clusters"]


@pytest.mark.parametrize("form", ["png", "gif", "npz"])
def test_every_form_opens(client, form):
    calls = [
        client.get(f"{BARS}/samples", params={"form": form, "num": 6}),
        client.get(f"{BARS}/clusters", params={"form": form, "num": 20, "k": 2}),
        client.post(f"{BARS}/reconstruct", files={"file": ("x.png", bar())}, data={"form": form}),
        client.get(f"{BARS}/examples/0", params={"form": form}),
        client.post(f"{BARS}/decode", json={"codes": [[0, 0, 0, 0]], "form": form}),
        client.post(f"{BARS}/traverse", json={"code": [0, 0, 0, 0], "dimensions": [1], "form": form}),
    ]
    for answer in calls:
        assert answer.status_code == 200, answer.text
        assert f".{form}" in answer.headers["content-disposition"]
        content = io.BytesIO(answer.content)
        if form == "npz":
            assert np.load(content)["codes"].shape[1] == 4
        else:
            assert Image.open(content).format == form.upper()


def test_training_is_told(client, studio_run):
    told = client.get(f"{BARS}/training").json()
    assert told["state"] == "finished"
    assert 2 <= told["epoch"] < 2.5
    snapshots = sorted(int(path.stem) for path in (studio_run / "samples").glob("*.png"))
    assert told["snapshots"]["samples"] == snapshots
    assert len(snapshots) == 2
    shown = client.get(f"{BARS}/snapshots/samples/{snapshots[0]}")
    assert shown.content == next((studio_run / "samples").glob(f"*{snapshots[0]}.png")).read_bytes()
    film = client.get(f"{BARS}/snapshots/samples")
    assert Image.open(io.BytesIO(film.content)).n_frames == 2
    records = [json.loads(line) for line in (studio_run / "metrics.jsonl").read_text().splitlines()]
    last = [record for record in records if record["split"] == "train"][-1]
    (kl,) = (c for c in told["curves"] if (c["split"], c["part"], c["loss"]) == ("train", "encoder", "kl"))
    assert kl["points"][-1] == [last["images"], pytest.approx(last["losses"]["encoder"]["kl"], rel=1e-4)]


def test_a_model_alone_has_no_training_and_no_data(studio_run, tmp_path):
    shutil.copytree(studio_run / "model", tmp_path / "alone")
    registry = Registry([str(tmp_path / "alone")])
    client = TestClient(create_app(registry), base_url=BASE)
    for path in ("training", "examples", "clusters", "map"):
        answer = client.get(f"/api/models/alone/{path}")
        assert answer.status_code == 409, path
        assert "alone" in answer.json()["error"]
    assert client.get("/api/models/alone").json()["labels"] == []
    rows = client.get("/api/models/alone/dimensions").json()["dimensions"]
    assert sorted(row["dimension"] for row in rows) == [0, 1, 2, 3]
    registry.batcher.close()


def test_dimensions_of_an_autoencoder_without_prior_and_images_are_not_ordered(make_model, tmp_path):
    make_model("ae").save(tmp_path / "alone")
    registry = Registry([str(tmp_path / "alone")])
    answer = TestClient(create_app(registry), base_url=BASE).get("/api/models/alone/dimensions?num=3")
    assert answer.json()["dimensions"] == [{"dimension": d, "kl": None, "deviation": 1.0} for d in range(3)]
    registry.batcher.close()


def test_an_original_of_a_model_that_encodes_nothing_keeps_its_opacity(make_model, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 4), dtype=np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number:02}.png")
    architecture = make_model("gan").architecture | {"image_shape": [4, 8, 8]}
    vaegan.Model.from_architecture(architecture, {"pixels": {"alpha": True}}).save(tmp_path / "gan")
    data = DataSettings(source=str(tmp_path), channels=4, cache=tmp_path / "cache")
    registry = Registry([str(tmp_path / "gan")], [data])
    client = TestClient(create_app(registry), base_url=BASE)
    original = pixels(client.get("/api/models/gan/examples/0").json()["original"])
    assert any((original == image).all() for image in images)
    registry.batcher.close()


def test_few_images_have_fewer_clusters_by_default(make_model, images_file, tmp_path):
    make_model().save(tmp_path / "blobs")
    data = DataSettings(source=str(images_file), cache=tmp_path / "cache")
    registry = Registry([str(tmp_path / "blobs")], [data])
    client = TestClient(create_app(registry), base_url=BASE)
    for by in ("kmeans", "mixture"):
        placed = client.get(f"/api/models/blobs/map?num=5&by={by}")
        assert placed.status_code == 200, placed.text
        assert max(placed.json()["clusters"]) < len(placed.json()["indices"]) == 5
    assert "too few for 6 clusters" in client.get("/api/models/blobs/map?num=5&k=6").json()["error"]
    registry.batcher.close()


def test_models_are_named_after_their_folders(studio_run, tmp_path, monkeypatch):
    monkeypatch.setattr("vaegan.studio.registry.ServedModel", lambda name, source, *_: source)
    names = {
        "owner/model": "model",
        "diffusers:owner/kl-f8": "kl-f8",
        str(tmp_path): tmp_path.name,
        str(studio_run / "model"): studio_run.name,
        "other/model": "model-2",
    }
    assert dict(Registry(list(names))) == {name: source for source, name in names.items()}


def test_a_run_that_goes_on(studio_run, tmp_path):
    """No model yet; then one; then another."""
    run = tmp_path / "growing"
    shutil.copytree(studio_run, run, ignore=shutil.ignore_patterns("model", "status.json", "losses.png"))
    (run / "metrics.jsonl").touch()  # just now, however long ago the run was trained
    registry = Registry([str(run)])
    client = TestClient(create_app(registry), base_url=BASE)
    assert client.get("/api/models/growing").json()["ready"] is False
    assert client.get("/api/models/growing/samples").status_code == 409
    assert client.get("/api/models/growing/training").json()["state"] == "going on"
    shutil.copytree(studio_run / "model", run / "model")
    before = client.get("/api/models/growing/samples").json()
    model = vaegan.load(run)
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(1.5)
    model.save(run / "model")
    after = client.get("/api/models/growing/samples").json()
    assert before["codes"] == after["codes"]
    assert before["images"] != after["images"]
    registry.batcher.close()


def test_a_request_uses_one_version_of_the_model(studio_run, tmp_path, monkeypatch):
    """While an upload is encoded, training saves other weights: it is decoded by those that encoded it."""
    from vaegan.studio.routes import reconstruction

    run, encode = tmp_path / "saving", reconstruction.encode
    shutil.copytree(studio_run, run)
    before, after = vaegan.load(run), vaegan.load(run)
    with torch.no_grad():
        for weight in after.decoder.parameters():
            weight.mul_(1.5)

    def encode_and_save(version, x, condition):
        codes = encode(version, x, condition)
        after.save(run / "model")
        return codes

    registry = Registry([str(run)])
    client = TestClient(create_app(registry), base_url=BASE)
    monkeypatch.setattr(reconstruction, "encode", encode_and_save)
    answer = client.post("/api/models/saving/reconstruct", files={"file": ("x.png", bar())}).json()
    x = torch.from_numpy(pixels(answer["original"]).copy())[None, None].float() / 255
    (shown,) = (pixels(uri).astype(int) for uri in answer["images"])
    old, new = (expected(model.decode(before.encode(x)))[0].astype(int) for model in (before, after))
    assert np.abs(old - new).max() > 3
    assert np.abs(shown - old).max() <= 1
    decoded = client.post("/api/models/saving/decode", json={"codes": [answer["code"]]}).json()
    assert np.abs(pixels(decoded["images"][0]).astype(int) - new).max() <= 1
    registry.batcher.close()


def test_conditional_models_are_told(tmp_path):
    from vaegan.data.conditions import Conditioning
    from vaegan.recipes import config_for
    from vaegan.training.factories import build_model

    words = {"model.condition": "labels", "model.latent_dim": 4, "data.source": "digits"}
    conditioning = Conditioning("labels", ("odd", "even"))
    model = build_model(config_for("digits", words), (1, 8, 8), {"condition": conditioning.as_json()})
    model.eval().save(tmp_path / "told")
    registry = Registry([str(tmp_path / "told")])
    client = TestClient(create_app(registry), base_url=BASE)
    z = model.sample_codes(2, seed=0)
    even = torch.tensor([[0.0, 1.0]]).expand(2, -1)
    assert_images(client.get("/api/models/told/samples?num=2&label=even"), model.decode(z, condition=even))
    body = {"codes": z.tolist(), "told": {"label": "even"}}
    assert_images(client.post("/api/models/told/decode", json=body), model.decode(z, condition=even))
    sent = client.post("/api/models/told/encode", files={"file": bar()}, data={"told": '{"label": "even"}'})
    assert sent.status_code == 200
    assert client.get("/api/models/told/samples?label=neither").status_code == 404
    registry.batcher.close()
    labels = torch.arange(400) % 2
    model.priors = fit_priors(10.0 * labels[:, None] + torch.randn(400, 4), names=["gaussian"], labels=labels,
                              num_labels=2, seed=0)  # fmt: skip
    model.save(tmp_path / "by-label")
    registry = Registry([str(tmp_path / "by-label")])
    client = TestClient(create_app(registry), base_url=BASE)
    sent = client.get("/api/models/by-label/samples?num=8&prior=gaussian").json()
    assert sent["prior"] == "gaussian"
    assert (torch.tensor(sent["codes"]).mean(1) > 5).tolist() == [False, True] * 4  # as the labels, in turn
    registry.batcher.close()


def test_of_an_example_it_is_said_what_a_model_is_told(tmp_path):
    from vaegan.data.conditions import Conditioning
    from vaegan.recipes import config_for
    from vaegan.training.factories import build_model

    conditioning = Conditioning("labels", tuple("0123456789"))
    config = config_for("digits", {"model.condition": "labels"})
    build_model(config, (1, 8, 8), {"condition": conditioning.as_json()}).save(tmp_path / "told")
    registry = Registry([str(tmp_path / "told")], [DataSettings(source="digits")])
    client = TestClient(create_app(registry), base_url=BASE)
    example = client.get("/api/models/told/examples/4").json()
    assert example["told"] == {"label": example["label"]}
    body = {"codes": example["codes"], "told": example["told"]}
    again = pixels(client.post("/api/models/told/decode", json=body).json()["images"][0])
    assert np.abs(again.astype(int) - pixels(example["reconstruction"])).max() <= 1
    registry.batcher.close()


def test_a_condition_of_many_attributes_and_large_values_is_sent_back(tmp_path):
    """The server takes what it has said of a sample: 312 attributes of birds, one of them a date in seconds."""
    from vaegan.data.conditions import Conditioning
    from vaegan.recipes import config_for
    from vaegan.training.factories import build_model

    names = ("date", *(f"has_bill_shape::curved_up_or_down_{i}" for i in range(311)))
    ones, values = (1.0,) * 312, (1.7e9, *(0.0,) * 311)
    conditioning = Conditioning("attributes", names, values, ones, values, (values,))
    config = config_for("digits", {"model.condition": "attributes", "model.latent_dim": 4})
    build_model(config, (1, 8, 8), {"condition": conditioning.as_json()}).save(tmp_path / "birds")
    registry = Registry([str(tmp_path / "birds")])
    client = TestClient(create_app(registry), base_url=BASE)
    (told,) = client.get("/api/models/birds/samples?num=1").json()["told"]
    assert told["attributes"]["date"] == 1.7e9
    answers = [
        client.post("/api/models/birds/decode", json={"codes": [[0] * 4], "told": told}),
        client.post("/api/models/birds/reconstruct", files={"file": bar()}, data={"told": json.dumps(told)}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    registry.batcher.close()


@pytest.fixture(params=["labels", "attributes"])
def conditional(request, tmp_path):
    """A conditional model whose decoder tells conditions apart, and a client."""
    from vaegan.data.conditions import Conditioning
    from vaegan.recipes import config_for
    from vaegan.training.factories import build_model

    conditioning = {
        "labels": Conditioning("labels", ("odd", "even", "none")),
        "attributes": Conditioning("attributes", ("tall", "old"), (0.5, 2), (0.5, 1.5), (0.5, 2), ((0, 1), (1, 4))),
    }[request.param]
    torch.manual_seed(3)
    words = {"model.condition": request.param, "model.latent_dim": 4}
    model = build_model(config_for("digits", words), (1, 8, 8), {"condition": conditioning.as_json()}).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)
    model.save(tmp_path / "told")
    registry = Registry([str(tmp_path / "told")])
    yield model, TestClient(create_app(registry), base_url=BASE)
    registry.batcher.close()


def test_images_that_belong_together_have_one_condition(conditional):
    model, client = conditional
    z, c = model.sample_codes(2, seed=0), model.condition_in_turn(1)
    path = interpolate(z[:1], z[1:], 5)[:, 0]
    answer = client.post("/api/models/told/interpolate", json={"codes": z.tolist(), "steps": 5})
    assert_images(answer, model.decode(path, condition=c.expand(5, -1)))
    varied = z[:1].repeat(3, 1)
    varied[:, 1] = torch.tensor([-2.0, 0.0, 2.0])
    body = {"code": z[0].tolist(), "dimensions": [1], "steps": 3, "reach": 2}
    answer = client.post("/api/models/told/traverse", json=body)
    assert_images(answer, model.decode(varied, condition=c.expand(3, -1)))
    with_all = model.decode(path, condition=model.condition_in_turn(5))
    assert np.abs(np.array(expected(model.decode(path, condition=c.expand(5, -1))), int) - expected(with_all)).max() > 3


def test_of_each_sample_it_is_said_what_it_was_decoded_under(conditional):
    _, client = conditional
    sent = client.get("/api/models/told/samples?num=5").json()
    assert len({json.dumps(told) for told in sent["told"]}) > 1
    for code, told, image in zip(sent["codes"], sent["told"], sent["images"], strict=True):
        again = client.post("/api/models/told/decode", json={"codes": [code], "told": told}).json()["images"][0]
        assert np.abs(pixels(again).astype(int) - pixels(image)).max() <= 1


def test_an_attribute_has_one_value(conditional):
    model, client = conditional
    path = "/api/models/told/samples?num=2&attribute=tall%3D1"
    assert client.get(path).status_code == (200 if model.conditioning.kind == "attributes" else 404)
    answer = client.get(f"{path}&attribute=old%3D2&attribute=tall%3D0")
    assert answer.status_code == 422
    assert answer.json()["error"] == "attribute: a name is given twice; send one request for each value"


def test_of_an_unconditional_sample_there_is_nothing_to_say(client):
    assert client.get(f"{BARS}/samples?num=2").json()["told"] is None


def test_an_address_is_shown_without_credentials(studio_run):
    data = DataSettings(source="https://me:key@a.example/x.tar?key=A", stream=True)
    registry = Registry([str(studio_run)], [data])
    assert TestClient(create_app(registry), base_url=BASE).get(BARS).json()["data"] == "https://a.example/x.tar"
    registry.batcher.close()


def test_runs_of_one_name_are_told_apart(studio_run):
    registry = Registry([str(studio_run), str(studio_run / "model")])
    assert list(registry) == ["bars", "bars-2"]
    registry.batcher.close()


def test_parallel_requests_get_their_own_answers(client, model):
    z = model.sample_codes(24, seed=5)
    answers: list = [None] * len(z)

    def ask(index: int) -> None:
        answers[index] = client.post(f"{BARS}/decode", json={"codes": [z[index].tolist()]})

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(z))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, answer in enumerate(answers):
        assert_images(answer, model.decode(z[index : index + 1]))


def test_paths_between_codes_of_large_maps_fit_into_a_request(client):
    """A published autoencoder's at 1024 pixels; the page sends float32 numbers in full."""
    code = np.random.default_rng(0).normal(size=262_144).astype(np.float32).astype(float).tolist()
    answer = client.post(f"{BARS}/interpolate", json={"codes": [code, code]})
    assert answer.json()["error"] == "codes of this model have 4 dimensions, not 262144"


def test_docs_list_every_path(client):
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "src=" not in page


def test_data_named_wrongly_is_told(studio_run):
    registry = Registry([str(studio_run)], [DataSettings(source="/nowhere/at/all")])
    answer = TestClient(create_app(registry), base_url=BASE).get(f"{BARS}/clusters")
    assert answer.status_code == 409
    assert "the images of bars are not available" in answer.json()["error"]
    registry.batcher.close()


def test_parameters_that_a_path_does_not_have_are_refused(client):
    answer = client.get(f"{BARS}/samples?nums=3")
    assert answer.status_code == 422
    assert answer.json()["error"] == "nums: unknown (perhaps you meant 'num')"


def test_a_run_that_is_gone_says_so_and_its_last_model_answers(studio_run, tmp_path):
    shutil.copytree(studio_run, tmp_path / "gone")
    client = TestClient(create_app(Registry([str(tmp_path / "gone")])), base_url=BASE)
    assert client.get("/api/models/gone/training").status_code == 200
    shutil.rmtree(tmp_path / "gone")
    assert client.get("/api/models/gone/samples?num=2").status_code == 200
    assert "gone: its folder is no longer there" in client.get("/api/models/gone/training").json()["error"]
