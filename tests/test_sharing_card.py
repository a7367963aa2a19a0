from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

import vaegan
from vaegan.cli.options import options_of
from vaegan.config import Config
from vaegan.data.conditions import Conditioning
from vaegan.errors import UserError
from vaegan.exporting import export_model
from vaegan.latent.attribute_vectors import find_vectors, load_vectors, save_vectors
from vaegan.models import Model
from vaegan.networks import PARTS_OF_KIND
from vaegan.priors import fit_priors
from vaegan.recipes import config_for
from vaegan.runs.opened import OpenedRun
from vaegan.runs.trained_on import data_of_run
from vaegan.settings_io import dump_yaml, load_yaml
from vaegan.sharing.hub import check_license

SECRET = "/home/somebody/secret"


def tiny(kind="vaegan", condition=None, **info):
    part = {"hidden": [7], "norm": "batch"}
    shape = {"kind": kind, "network": "mlp", "image_shape": [1, 4, 4], "latent_dim": 3, "output": "tanh"}
    parts = {"init": "paper", "encoder": part, "decoder": part, "discriminator": part}
    about = {"recipe": "digits", "data": "blobs", "seed": 3, "images": 12_345, **info}
    if condition is not None:
        parts |= {"condition": condition.kind, "condition_dim": len(condition.names)}
        about["condition"] = condition.as_json()
    torch.manual_seed(0)
    return Model.from_architecture({**shape, **parts}, about)


def figure(value, low=None, high=None, num=200):
    return {"value": value, "low": low, "high": high, "num": num, "seed": 0}


def evaluation_of(model):
    return {
        "format": 1,
        "model": {"kind": model.kind, "latent_dim": 3, "info": model.info, "digest": model.digest()},
        "data": {"name": "other blobs", "fingerprint": "x", "split": "test", "num": 150},
        "extractor": {"name": "rotations", "fingerprint": "y"},
        "seed": 5,
        "yardstick": {"frechet_distance": figure(1.5, 1.0, 2.0)},
        "reconstructions": {"mse": figure(0.01234, 0.01, 0.015, 150)},
        "likelihood": {"elbo": figure(-20.5, -21.0, -20.0, 150)},
        "codes": {},
        "samples": {
            "normal": {
                "frechet_distance": figure(7.5, 6.25, 8.75),
                "missing_labels": figure(0.0),
                "share of 3": figure(0.1),
            },
            "kde": {"frechet_distance": figure(99.0, 98.0, 100.0)},
        },
        "left_out": {},
        "seconds": 1.0,
        "conclusion": "150 held-out images are too few",
    }


@pytest.fixture
def run(tmp_path):
    """A run folder, made by hand."""
    model = tiny()
    run = tmp_path / "runs" / "blobs"
    model.save(run / "model")
    model.save(run / "best")
    settings = {"data.source": f"{SECRET}/blobs", "data.root": SECRET, "data.cache": SECRET, "loss.gamma": 0.25}
    dump_yaml(config_for("digits", settings), run / "config.yaml")
    (run / "data.json").write_text(json.dumps({"name": "blobs", "train": 1350, "test": 150, "fingerprint": "x"}))
    (run / "evaluation.json").write_text(json.dumps(evaluation_of(model)))
    (run / "reconstructions").mkdir()
    for images, value in ((500, 50), (1000, 100)):
        Image.new("L", (5, 5), value).save(run / "reconstructions" / f"{images:012}.png")
    Image.new("L", (5, 5), 7).save(run / "losses.png")
    return run


def card_of(folder):
    return ModelCard((folder / "README.md").read_text(encoding="utf-8"))


def test_a_card_is_written_from_the_run(run, tmp_path):
    vaegan.load(run).save_pretrained(tmp_path / "out", repo_id="me/blobs", license="cc-by-4.0")
    card = card_of(tmp_path / "out")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "vaegan")
    assert card.data.pipeline_tag == "unconditional-image-generation"
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results == {
        "samples/frechet_distance": 7.5,
        "samples/missing_labels": 0.0,
        "reconstructions/mse": 0.01234,
        "likelihood/elbo": -20.5,
    }
    assert {result.dataset_name for result in card.data.eval_results} == {"other blobs"}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.text.splitlines()]
    assert ["samples", "Fréchet distance", "7.5", "6.25 to 8.75", "1.5", "200"] in rows
    assert ["samples", "missing labels", "0", "–", "–", "200"] in rows
    assert ["likelihood", "ELBO, nats", "-20.5", "-21 to -20", "–", "150"] in rows
    for row in (["recipe", "digits"], ["images seen", "12,345 (9.14 epochs)"], ["seed", "3"], ["gamma", "0.25"]):
        assert row in rows
    assert "1,350 images to train on, 150 held out" in card.text
    assert "## Metrics\n\n150 held-out images are too few.\n\n| of |" in card.text
    assert "Measured on 150 held-out images of other blobs, samples from the prior normal, seed 5" in card.text
    assert re.search(r"^`cc-by-4.0`, of the model\.", card.text, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "number", "author"),
    [
        ("vaegan", "1512.09300", "Larsen"),
        ("vae", "1312.6114", "Kingma"),
        ("gan", "1406.2661", "Goodfellow"),
        ("ae", "", ""),
    ],
)
def test_a_card_says_how_to_install_and_cites_the_paper_of_its_kind(kind, number, author, tmp_path):
    tiny(kind).save_pretrained(tmp_path / "out")
    card = card_of(tmp_path / "out")
    assert "```bash\npip install vaegan\n```" in card.text
    assert set(re.findall(r"arXiv:([0-9.]+[0-9])", card.text)) == {number} - {""}
    assert [tag for tag in card.data.tags if "arxiv" in tag] == [f"arxiv:{number}"] * bool(number)
    assert re.findall(r"  author    = {(\w+), ", card.text) == [author] * bool(author)
    assert ("gan" in card.data.tags) == ("gan" in kind)


def test_pictures_are_there_and_show_the_model(run, tmp_path):
    model = vaegan.load(run)
    model.save_pretrained(tmp_path / "out")
    named = re.findall(r"!\[[^]]*\]\(([^)]*)\)", card_of(tmp_path / "out").text)
    assert named == ["images/samples.png", "images/reconstructions.png", "images/losses.png"]
    with Image.open(tmp_path / "out" / "images" / "samples.png") as picture:
        shown = np.asarray(picture)
    assert shown.shape == (4 * 4 * 14, 8 * 4 * 14)
    wanted = np.floor(model.sample(32, seed=0).numpy() * 255 + 0.5).astype(np.uint8)
    assert (shown[::14, ::14][4:8, :4] == wanted[8, 0]).all()
    with Image.open(tmp_path / "out" / "images" / "reconstructions.png") as picture:
        assert picture.getpixel((0, 0)) == 100


def test_paths_of_the_machine_stay_where_they_are(run, tmp_path):
    vaegan.load(run).save_pretrained(tmp_path / "out")
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        assert SECRET.encode() not in path.read_bytes(), path
        assert str(tmp_path).encode() not in path.read_bytes(), path
    shared = load_yaml(tmp_path / "out" / "config.yaml")
    assert (shared.data.source, shared.data.root, shared.loss.gamma) == ("blobs", None, 0.25)


@pytest.mark.parametrize("source", [f"{SECRET}/blobs", "https://me:key@a.example/blobs.tar?key=A/B&is=C"])
def test_no_setting_names_a_path_or_key_of_the_machine(run, source):
    paths = [option.path for option in options_of(Config) if Path in option.types] + ["init_from"]
    assert {"data.root", "loss.metric", "loss.perceptual_file"} <= set(paths)
    settings = dict.fromkeys(paths, f"{SECRET}/runs/a") | {"data.source": source}
    settings |= {"loss.likelihood": "laplace", "loss.perceptual": "lpips", "data.stream": "://" in source}
    dump_yaml(config_for("digits", settings), run / "config.yaml")
    vaegan.load(run).save_pretrained(run.parent / "out")
    text = (run.parent / "out" / "config.yaml").read_text()
    assert not re.search(f"{SECRET}|key|A/B|is=C", text)
    shared = load_yaml(run.parent / "out" / "config.yaml")
    assert (shared.data.source.partition(".")[0], shared.init_from) == ("blobs", "a")
    assert str(shared.loss.perceptual_file) == "a"


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        ("diffusers:stabilityai/sd-vae-ft-mse", "diffusers:stabilityai/sd-vae-ft-mse"),
        ("diffusers:HERE/secret", "diffusers:secret"),
        ("diffusers:exp/secret", "diffusers:secret"),  # of the folder around the run, where the command ran
        ("exp/removed", "removed"),
        (f"diffusers:{SECRET}", "diffusers:secret"),
        ("owner/base", "owner/base"),
    ],
)
def test_the_model_that_a_run_started_from_is_named(start, shown, run, monkeypatch):
    (run.parent / "HERE" / "secret").mkdir(parents=True)
    (run.parents[1] / "exp").mkdir()
    monkeypatch.chdir(run.parent)
    dump_yaml(config_for("digits", {"init_from": start, "data.source": "blobs"}), run / "config.yaml")
    vaegan.load(run).save_pretrained(run.parent / "out")
    assert load_yaml(run.parent / "out" / "config.yaml").init_from == shown
    card = card_of(run.parent / "out")
    assert f"| fine-tuned from | {shown} |" in card.text
    name = shown.removeprefix("diffusers:")
    assert card.data.get("base_model") == (name if "/" in name else None)
    where = "blobs (`--data`)" if "/" in name else f"blobs (`--data`), {shown} (`--init-from`)"
    assert f"trains it again. The file has no paths; also name the places of {where}.\n" in card.text


def test_the_card_of_a_fine_tuned_model_says_what_was_trained_and_what_was_not(run):
    parts = ("decoder", "discriminator")
    settings = {"data.source": "blobs", "init_from": "diffusers:owner/base_1", "train.parts": parts}
    dump_yaml(config_for("digits", settings), run / "config.yaml")
    vaegan.load(run).save_pretrained(run.parent / "out", license="mit")
    text, base = card_of(run.parent / "out").text, r"diffusers:owner/base\_1"
    assert f"fine-tuned from {base} on blobs with [`vaegan`]" in text
    assert f"Its encoder is frozen: latents are those of {base}.\n" in text
    assert "| trained | decoder, discriminator |\n| frozen | encoder |\n" in text
    assert f"- It was fine-tuned from {base} on blobs, and inherits the gaps and biases of both.\n" in text
    assert f"The licence of {base}, from which it was fine-tuned, applies too." in text
    assert "| likelihood | feature |" in text
    assert "| gamma |" in text
    for untrue in ("blobs only", "KL weight", "weight at the encoder"):
        assert untrue not in text
    dump_yaml(config_for("digits", {"data.source": "digits"}), run / "config.yaml")
    vaegan.load(run).save_pretrained(run.parent / "own")
    own = card_of(run.parent / "own").text
    assert "`vaegan train --config config.yaml` trains it again.\n" in own
    for true in ("| KL weight |", ", weight at the encoder ", "trained on blobs only"):
        assert true in own
    assert "frozen" not in own


@pytest.mark.parametrize("latent", ["vector", "map"])
def test_a_card_says_which_sizes_the_model_takes(latent, tmp_path):
    part = {"channels": (4, 4), "hidden": ()}
    shape = {"kind": "vae", "network": "conv", "image_shape": (1, 8, 8), "latent_dim": 2, "output": "tanh"}
    parts = {"latent": latent, "init": "torch", "encoder": part, "decoder": part, "discriminator": {}}
    Model.from_architecture({**shape, **parts}, {"data": "blobs"}).save_pretrained(tmp_path)
    text = card_of(tmp_path).text
    assert ("- It works at 8x8 pixels; other images are cropped and resized first.\n" in text) == (latent == "vector")
    is_said = "- It was trained at 8x8 pixels, and takes all images whose sides are multiples of 4.\n" in text
    assert is_said == (latent == "map")


def test_a_card_without_a_prior_names_none(run):
    evaluation = json.loads((run / "evaluation.json").read_text())
    model = tiny("ae")
    model.save(run / "model")
    evaluation |= {"samples": {}, "model": evaluation["model"] | {"digest": model.digest()}}
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    vaegan.load(run).save_pretrained(run.parent / "out")
    assert "held-out images of other blobs, seed 5, features of rotations." in card_of(run.parent / "out").text


def test_the_data_is_named_as_it_is(tmp_path):
    tiny(data="my_photos_2024").save_pretrained(tmp_path)
    assert "\n## Data\n\nmy\\_photos\\_2024.\n" in card_of(tmp_path).text  # Markdown of my_photos_2024


def test_what_is_shared_is_the_model_and_can_be_shared_on(run, tmp_path):
    model = vaegan.load(run)
    model.save_pretrained(tmp_path / "out", repo_id="me/blobs")
    again = vaegan.Model.from_pretrained(tmp_path / "out")
    x = model.sample(3)
    assert torch.equal(again.sample(3), x)
    assert torch.equal(again.encode(x), model.encode(x))
    assert again.info == model.info
    again.save_pretrained(tmp_path / "again", repo_id="me/blobs")
    first, second = (card_of(tmp_path / name).text for name in ("out", "again"))
    assert "7.5 | 6.25 to 8.75" in second
    assert second.splitlines()[:4] == first.splitlines()[:4]


def test_a_picture_of_the_user_is_not_shared(run, tmp_path):
    (run / "reconstructions").mkdir(exist_ok=True)
    (run / "reconstructions" / "zz.png").write_bytes(b"mine")
    (run / "reconstructions" / "999999999999.png").write_bytes(b"mine")  # damaged, after the newest
    vaegan.load(run).save_pretrained(tmp_path / "out")
    assert not [file for file in (tmp_path / "out").rglob("*.png") if file.read_bytes() == b"mine"]


def test_figures_of_another_state_are_left_out(run, tmp_path):
    model = vaegan.load(run)
    with torch.no_grad():
        next(model.decoder.parameters()).add_(0.5)
    model.save(run / "model")
    vaegan.load(run).save_pretrained(tmp_path / "out")
    card = card_of(tmp_path / "out")
    assert card.data.eval_results is None
    assert "It has not been measured." in card.text
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_the_best_model_does_not_pass_for_the_last(run, tmp_path):
    vaegan.load(run, which="best").save_pretrained(tmp_path / "out")
    text = card_of(tmp_path / "out").text
    assert "7.5" not in text
    assert "reconstructions.png" not in text
    assert "| gamma | 0.25 |" in text


@pytest.mark.parametrize(
    ("images", "lead", "row"),
    [
        (640, "An autoencoder (the pre-training of a VAE/GAN)", "autoencoder; training ended before it was over |"),
        (7008, "An autoencoder (the pre-training of a VAE/GAN)", "autoencoder |"),
        (7024, "A VAE/GAN", "autoencoder |"),
    ],
)
def test_a_card_says_how_far_training_went(images, lead, row, tmp_path):
    tiny(images=images, pretrain_images=7008).save_pretrained(tmp_path / "out")
    text = card_of(tmp_path / "out").text
    assert f"\n{lead} ([arXiv" in text
    assert f"\n| kind | a{lead[1:]} |\n" in text
    assert f"\n| images seen | {images:,} |\n| pre-training | the first 7,008 images, as an {row}\n" in text


def test_what_a_card_lacks_is_said(run, vectors, tmp_path, caplog):
    def said(model):
        caplog.clear()
        with caplog.at_level("WARNING", "vaegan"):
            model.save_pretrained(tmp_path / "out")
        return [record.getMessage() for record in caplog.records]

    assert said(vaegan.load(run)) == said(tiny()) == []
    shutil.copytree(run / "model", tmp_path / "copied")
    copied = tmp_path / "copied"
    assert said(vaegan.load(copied)) == [
        f"the card has no metrics (not measured: vaegan evaluate {copied}), no settings and pictures of the training "
        f"({copied} is a copy outside its run)"
    ]
    model = vaegan.load(run)
    with torch.no_grad():
        next(model.decoder.parameters()).add_(0.5)
    model.save(run / "model")
    assert said(vaegan.load(run)) == [
        f"the card has no metrics (of other weights or priors: vaegan evaluate {run}), no attribute vectors "
        f"(of other weights or damaged: vaegan attributes {run})"
    ]


def test_a_shared_model_does_not_take_a_folder_of_that_name_for_its_data(run, tmp_path, command, capsys, monkeypatch):
    """Its settings name the maker's folder by its last name alone; a run's own still count."""
    vaegan.load(run).save_pretrained(tmp_path / "card")
    monkeypatch.chdir(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "blobs.png")
    (tmp_path / "blobs").mkdir()
    assert data_of_run("card").source == OpenedRun("card").data_settings.source == ""
    assert data_of_run(str(run)).source == OpenedRun(run).data_settings.source == f"{SECRET}/blobs"
    assert command("reconstruct", "card") == 2
    line = "card has no record of where its images (blobs) are; name them with --data SOURCE\n"
    assert capsys.readouterr().err.endswith(line)
    shared = load_yaml(tmp_path / "card" / "config.yaml")
    digits = shared.model_copy(update={"data": shared.data.model_copy(update={"source": "digits"})})
    dump_yaml(digits, tmp_path / "card" / "config.yaml")
    assert data_of_run("card").source == "digits"
    assert load_yaml(tmp_path / "card" / "config.yaml").data.source == "digits"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("MIT", "perhaps you meant 'mit'"), ("apache 2.0", "'apache-2.0'"), ("gpl3", "'gpl"), ("", "mit, apache-2.0")],
)
def test_a_licence_that_the_hub_lacks_is_refused_before_anything_is_written(name, wanted, tmp_path, command, capsys):
    assert command("push", "nowhere", "me/x", "--license", name, "--out", tmp_path / "out") == 2
    assert re.search(f"'{name}' is not a licence identifier of the Hugging Face hub.*{wanted}", capsys.readouterr().err)
    with pytest.raises(UserError, match="is not a licence identifier"):
        tiny().save_pretrained(tmp_path / "out", license=name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["MY licence", "my-license", "proprietary"])
def test_no_licence_is_suggested_for_words_that_are_like_none(name):
    with pytest.raises(UserError, match=f"^'{name}' is not a licence identifier of the Hugging Face hub; use one"):
        check_license(name)


@pytest.mark.parametrize("kind", PARTS_OF_KIND)
def test_every_kind_has_a_card_whose_python_runs(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tiny(kind)
    if kind == "ae":
        model.priors = fit_priors(torch.randn(60, 3), names=["gaussian"], seed=0)
    model.save_pretrained("shared/model")
    model.save_pretrained("me", repo_id="me")
    text = card_of(tmp_path / "me").text
    names = {"x": torch.rand(8, 1, 4, 4)}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    assert names["x"].shape == (8, 1, 4, 4)
    assert ("x_tilde" in names) == (model.encoder is not None and model.decoder is not None)
    assert "license: unknown" in (tmp_path / "me" / "README.md").read_text()
    assert "None has been chosen" in text


@pytest.mark.parametrize(
    "condition",
    [
        Conditioning("labels", ("a|b", "<c>")),
        Conditioning("attributes", ("hat",), (0.5,), (0.5,), (0.5,), ((0.0,), (1.0,))),
    ],
    ids=["labels", "attributes"],
)
def test_a_conditional_model_says_what_it_is_conditional_on(condition, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny(condition=condition, label_names=["a|b", "<c>"]).save_pretrained("me", repo_id="me")
    text = card_of(tmp_path / "me").text
    assert f"| conditional on | the {condition.kind} of each image |" in text
    assert r"Labels: a\|b, \<c\>." in text
    names: dict[str, torch.Tensor] = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    assert names["x_tilde"].shape == (8, 1, 4, 4)


@pytest.fixture
def vectors(run):
    """Attribute vectors of the run's model."""
    torch.manual_seed(1)
    found = find_vectors(torch.randn(40, 3), (torch.rand(40, 2) > 0.5).float(), ["hat", "round glasses"])
    save_vectors(run / "model", found)
    return found


def test_attribute_vectors_come_along(run, vectors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vaegan.load(run).save_pretrained("me", repo_id="me")
    vaegan.Model.from_pretrained("me").save_pretrained("again")
    export_model(vaegan.load(run), "export", ["safetensors"])
    for folder in ("me", "again", "export"):
        there = load_vectors(folder)
        assert there.names == vectors.names
        assert torch.equal(there.vectors, vectors.vectors)
    text = card_of(tmp_path / "me").text
    assert "| attribute vectors | hat, round glasses |" in text
    names: dict[str, torch.Tensor] = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    z = names["model"].encode(names["x"])
    assert torch.equal(names["edited"], names["model"].decode(z + vectors["hat"]))


@pytest.mark.parametrize("way", ["save", "save_pretrained"])
def test_a_run_is_no_place_for_a_model(way, run):
    """Beside its settings a model would be taken for the run's own ever after."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    message = f"{run} is a run; save into {run / 'model'}, or choose a new folder"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        getattr(vaegan.load(run), way)(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_into_its_own_folder_they_stay(run, vectors):
    vaegan.load(run).save_pretrained(run / "model")
    assert torch.equal(load_vectors(run).vectors, vectors.vectors)


@pytest.mark.parametrize("what", ["trained on", "saved anew", "damaged", "without names"])
def test_vectors_of_other_weights_stay_behind(what, run, vectors, tmp_path):
    model = vaegan.load(run)
    if what == "damaged":
        (run / "model" / "attributes.json").write_text("{")
    elif what == "without names":
        (run / "model" / "attributes.json").unlink()
    else:
        with torch.no_grad():
            next(model.parameters()).add_(1)
        if what == "saved anew":
            model.save(run / "model")
    model.save_pretrained(tmp_path / "out")
    assert not list((tmp_path / "out").glob("attributes.*"))
    assert "attribute vectors" not in card_of(tmp_path / "out").text


def test_the_command_writes_a_folder_and_sends_nothing(run, tmp_path, command, capsys):
    assert command("push", run, "me/blobs", "--license", "mit", "--out", tmp_path / "out") == 0
    assert "nothing uploaded" in capsys.readouterr().out
    assert "# blobs\n" in card_of(tmp_path / "out").text
    assert command("push", run, "me/blobs", "--out", tmp_path / "out") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command("push", run, "no id", "--out", tmp_path / "out") == 2
    assert "is not a model id of the hub" in capsys.readouterr().err


def test_files_of_the_model_that_was_in_the_folder_before_go_and_others_stay(run, vectors, tmp_path, command):
    out = tmp_path / "out"
    assert command("push", run, "me/blobs", "--out", out) == 0
    (out / "images" / "mine.png").touch()
    (out / "notes.txt").touch()
    tiny("ae").save(tmp_path / "ae")
    assert command("push", tmp_path / "ae", "me/ae", "--out", out, "--overwrite") == 0
    ours = {"README.md", "config.json", "model.safetensors"}
    assert {path.name for path in out.rglob("*") if path.is_file()} == {*ours, "mine.png", "notes.txt"}
    assert data_of_run(str(out)).source == ""
    shutil.copy(run / "config.yaml", tmp_path / "ae")  # a folder without a card may be anyone's
    tiny().save_pretrained(tmp_path / "ae")
    assert (tmp_path / "ae" / "config.yaml").is_file()
