from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.cli import main
from vaegan.data import open_data
from vaegan.latent.code_paths import interpolate
from vaegan.models import Model, load
from vaegan.pixels import to_uint8
from vaegan.recipes import config_for
from vaegan.report.grid import triptych
from vaegan.settings import DataSettings
from vaegan.settings_io import dump_yaml


def make_run(folder: Path, kind: str = "vaegan") -> Path:
    config = config_for("digits", {"model.kind": kind})
    torch.manual_seed(0)
    model = Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()})
    model.save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "digits")


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def command(*words) -> int:
    return main([str(word) for word in words])


def test_sample_streams_the_images_of_its_codes(run, tmp_path):
    assert command("sample", run, "--out", tmp_path / "a.npz", "--num", 10, "--batch-size", 3, "--seed", 4) == 0
    found = arrays(tmp_path / "a.npz")
    model = load(run)
    z = model.sample_codes(10, seed=4)
    assert found.keys() == {"images", "codes"}
    np.testing.assert_array_equal(found["codes"], z.numpy())
    np.testing.assert_array_equal(found["images"], to_uint8(model.decode(z)))


@pytest.mark.parametrize("form", ["--out=~/a.npz", "--out ~/a.npz"])
def test_the_home_folder_is_known(run, tmp_path, monkeypatch, form):
    """The shell leaves ~ after = as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command("sample", run, "--num", 1, *form.split()) == 0
    assert len(arrays(tmp_path / "a.npz")["images"]) == 1


def test_many_samples(run, tmp_path):
    assert command("sample", run / "model", "--out", tmp_path / "a.png", "--num", 10_000) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 800


def test_reconstruct_shows_held_out_images_of_the_runs_data(run, tmp_path):
    assert command("reconstruct", run, "--out", tmp_path / "a.npz", "--num", 7) == 0
    found = arrays(tmp_path / "a.npz")
    test = open_data("digits").test
    rows = [list(test.names).index(name) for name in found["names"]]
    assert len(set(rows)) == 7
    np.testing.assert_array_equal(found["originals"], test.images[rows])
    np.testing.assert_array_equal(found["labels"], test.labels[rows])
    x = torch.from_numpy(found["originals"]).permute(0, 3, 1, 2) / 255
    model = load(run)
    np.testing.assert_allclose(found["codes"], model.encode(x).numpy(), atol=1e-5)
    assert np.abs(found["images"].astype(int) - to_uint8(model.reconstruct(x)).astype(int)).max() <= 1


@pytest.mark.parametrize(("num", "what"), [(1, "1 original and reconstruction"), (2, "originals and reconstructions")])
def test_what_is_counted_is_in_the_plural_unless_it_is_one(run, tmp_path, capsys, num, what):
    assert command("reconstruct", run, "--out", tmp_path / "a.png", "--num", num) == 0
    assert f"{what}: {tmp_path / 'a.png'}" in "".join(capsys.readouterr())


def test_reconstruct_other_images(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    words = ("--data", tmp_path / "x.npy", "--data.cache", tmp_path / "cache", "--split", "train", "--num", 100)
    assert command("reconstruct", run, *words, "--out", tmp_path / "a.npz") == 0
    found = arrays(tmp_path / "a.npz")
    assert found["originals"].shape == found["images"].shape
    assert found["originals"].shape[1:] == (8, 8, 1)
    assert 15 < len(found["images"]) < 30


def test_pairs_in_a_file_are_all_there_are(run, tmp_path):
    test = open_data("digits").test
    assert command("reconstruct", run, "--out", tmp_path / "pairs.npz", "--batch-size", 100) == 0
    np.testing.assert_array_equal(arrays(tmp_path / "pairs.npz")["originals"], test.images)
    assert command("reconstruct", run, "--out", tmp_path / "pairs") == 0
    assert len(list((tmp_path / "pairs").glob("*_original.png"))) == len(test.images)


def test_a_triptych_has_blocks_of_originals_reconstructions_and_new_images(run, tmp_path, capsys):
    words = ("reconstruct", run, "--num", 5, "--seed", 3)
    assert command(*words, "--out", tmp_path / "a.npz") == 0
    assert command("sample", run, "--num", 5, "--seed", 3, "--out", tmp_path / "b.npz") == 0
    pairs, new = arrays(tmp_path / "a.npz"), arrays(tmp_path / "b.npz")
    assert command(*words, "--triptych") == 0
    with Image.open(run / "pictures" / "triptych.png") as picture:
        expected = triptych(pairs["originals"], pairs["images"], new["images"])
        np.testing.assert_array_equal(np.asarray(picture), expected[:, :, 0])
    assert command(*words, "--triptych", "--out", tmp_path / "a.gif") == 2
    assert "a triptych is one picture; end its name in .png" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_interpolate_between_codes(how, run, tmp_path):
    words = ("--between", "codes", "--num", 3, "--steps", 5, "--method", how, "--out", tmp_path / "a.npz")
    assert command("interpolate", run, *words) == 0
    model = load(run)
    z = model.sample_codes(6)
    expected = interpolate(z[:3], z[3:], 5, how).transpose(0, 1).reshape(15, -1)
    np.testing.assert_array_equal(arrays(tmp_path / "a.npz")["codes"], expected.numpy())


def test_images_that_would_not_be_used_are_refused(run, tmp_path, capsys):
    gan = make_run(tmp_path / "gan", "gan")
    for words in (
        ("interpolate", run, "--between", "codes"),
        ("interpolate", gan),
        ("traverse", gan, "--center", "origin"),
    ):
        for option, value in (("--data", tmp_path), ("--split", "train"), ("--data.held-out", 0.5)):
            assert command(*words, option, value) == 2
            assert f"{option} has no effect: " in capsys.readouterr().err


def test_all_images_of_a_folder_of_ones_own(run, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "two"
    folder.mkdir()
    for name in "ab":
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / f"{name}.png")
    words = ("--data", folder, "--data.cache", tmp_path / "cache", "--split", "all")
    assert command("reconstruct", run, *words, "--out", tmp_path / "pairs.npz") == 0
    assert command("interpolate", run, *words, "--num", 1, "--steps", 3, "--out", tmp_path / "path.npz") == 0
    pairs, path = arrays(tmp_path / "pairs.npz"), arrays(tmp_path / "path.npz")
    files = [np.asarray(Image.open(folder / f"{name}.png")) for name in "ab"]
    assert sorted(each.tobytes() for each in pairs["originals"]) == sorted(each.tobytes() for each in files)
    np.testing.assert_array_equal(path["images"].reshape(3, -1)[[0, 2]], pairs["images"].reshape(2, -1))


def test_a_film_goes_there_and_back(run, tmp_path):
    assert command("interpolate", run, "--num", 2, "--steps", 4, "--out", tmp_path / "a.gif") == 0
    with Image.open(tmp_path / "a.gif") as film:
        frames = []
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB")))
    assert len(frames) == 6
    np.testing.assert_array_equal(frames[1], frames[5])
    np.testing.assert_array_equal(frames[2], frames[4])
    assert (frames[0] != frames[3]).any()


def test_pictures_nobody_named_go_to_the_run_and_are_replaced(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    for _ in range(2):
        for name in ("sample", "reconstruct", "interpolate"):
            assert command(name, run, "--num", 2) == 0
            assert str(run / "pictures" / f"{name}.png") in capsys.readouterr().out
    assert len(list((run / "pictures").iterdir())) == 3


def test_pictures_of_the_model_of_a_run_go_to_the_run_as_the_model_may_be_copied(tmp_path, capsys):
    run, own = make_run(tmp_path / "run"), make_run(tmp_path / "own") / "model"
    before = sorted((run / "model").iterdir())
    assert command("sample", run / "model", "--num", 2) == 0
    assert str(run / "pictures" / "sample.png") in capsys.readouterr().out
    assert sorted((run / "model").iterdir()) == before
    own.replace(tmp_path / "model")  # a copy, in no run
    assert command("sample", tmp_path / "model", "--num", 2) == 0
    assert (tmp_path / "model" / "pictures" / "sample.png").is_file()


def test_a_gan_interpolates_between_codes_of_itself(tmp_path):
    run = make_run(tmp_path / "gan", "gan")
    assert command("interpolate", run, "--num", 2, "--steps", 3) == 0
    assert (run / "pictures" / "interpolate.png").is_file()


def test_a_gan_traverses_from_the_origin_the_dimension_of_most_change_first(tmp_path):
    run = make_run(tmp_path / "gan", "gan")
    words = ("--num", 3, "--steps", 3, "--center", "origin", "--out", tmp_path / "a.npz")
    assert command("traverse", run, *words) == 0
    with np.load(tmp_path / "a.npz") as file:
        images, names = file["images"].reshape(3, 3, 64).astype(float), file["names"]
    change = abs(images[:, 0] - images[:, 2]).mean(1) / 255
    assert change[0] >= change[1] >= change[2] > 0
    model = load(run)
    z = torch.zeros(2, model.latent_dim)
    all_changes = []
    for d in range(model.latent_dim):
        z[:, d] = torch.tensor([-3.0, 3.0])
        low, high = to_uint8(model.decode(z)).astype(float)
        all_changes.append(abs(low - high).mean() / 255)
        z[:, d] = 0
    assert change[0] == pytest.approx(max(all_changes))
    assert names[0].startswith(f"z{int(np.argmax(all_changes))}, {change[0]:.3f}")


BAD = [
    ("traverse RUN/gan", "this model is a GAN and has no encoder, so no image has a code; add --center origin"),
    ("sample RUN --label 3", "train one with --model.condition labels, or fit a prior for each label: vaegan priors "),
    ("sample RUN/gan --label 3", "train one with --model.condition labels\n"),
    ("sample RUN --label 3 --attribute hat=1", "labels and attributes cannot be combined; give --label or --attribute"),
    ("sample", "RUN is missing; write vaegan sample RUN, see --help"),
    ("sample nowhere", "no run or saved model at nowhere; check the path"),
    ("sample demos", "no run or saved model at demos (perhaps you meant 'demo'); check the path"),
    ("sample RUN --num 0", "--num: '0' is not allowed: must be greater than 0"),
    ("sample RUN --num many", "--num: 'many' is not allowed: must be a whole number"),
    ("sample RUN --nun 3", "unknown option --nun (perhaps you meant '--num')"),
    ("traverse RUN --around origin", "--around is now --center"),
    ("traverse RUN --how 3", "unknown option --how"),
    ("interpolate RUN --between fou", "must be 'images', 'codes' or 'four' (perhaps you meant 'four')\n"),
    ("sample RUN --device tpu9", "--device: 'tpu9' is not available; try cpu or auto"),
    ("sample RUN --out a.jpg", "cannot tell from a.jpg what to write; end it in .png"),
    ("sample RUN --out RUN/config.yaml", "cannot tell from"),
    ("sample RUN/ae", "this model is a plain autoencoder"),
    ("reconstruct RUN/gan", "this model is a GAN and has no encoder"),
    ("reconstruct RUN --split tset", "--split: 'tset' is not allowed: must be 'all', 'test' or 'train'"),
    ("reconstruct RUN --data mnits", "no such path: 'mnits' (perhaps you meant 'mnist')"),
    ("reconstruct RUN --data none/here", "no such path: 'none/here'; --data takes a folder of images"),
    ("reconstruct RUN/alone", "has no record of where its images (unnamed) are; name them with --data SOURCE"),
    ("reconstruct RUN --bands 9 --data none/here", "--bands 9: give one channel, or three as red, green and blue"),
    ("encode RUN --data.channels 3", "--data.channels 3: the model's images are grey; leave it out"),
    ("interpolate RUN --steps 1", "--steps: '1' is not allowed: must be greater than or equal to 2"),
    ("interpolate RUN --method cubic", "--method: 'cubic' is not allowed: must be 'linear' or 'spherical'"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[words for words, _ in BAD])
def test_a_mistake_is_one_line_and_leaves_nothing(words, line, tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path / "run")
    make_run(run / "gan", "gan")
    make_run(run / "ae", "ae")
    shutil.copytree(run / "model", run / "alone")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    words = words.replace("RUN", "run")
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"vaegan {words.split()[0]}: ")
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", ["evaluate nowhere", "report diffusers:nowhere", "export nowhere"])
def test_a_missing_run_is_named_before_a_file_in_the_way(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("evaluation.json", "report.html", "export"):
        (tmp_path / name).write_text("mine")
    assert main(words.split()) == 2
    assert "nowhere" in capsys.readouterr().err


def test_what_the_user_named_is_only_replaced_when_told(run, tmp_path, capsys):
    out = tmp_path / "a.png"
    out.write_bytes(b"precious")
    assert command("sample", run, "--out", out) == 2
    assert "exists; choose another name or allow it to be replaced (--overwrite)" in capsys.readouterr().err
    assert out.read_bytes() == b"precious"
    assert command("sample", run, "--out", out, "--overwrite") == 0
    with Image.open(out) as image:
        image.verify()


def test_what_training_said_of_its_images_is_not_repeated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (8, 8), i if name == "own" else 9 * i).save(tmp_path / name / f"{i}.png")
        (tmp_path / name / "attributes.csv").write_text("file,hat\n0.png,1\n9.png,1\n")
    data = open_data("own", size=8, channels=1, cache="cache", quiet=True)
    (tmp_path / "run" / "data.json").write_text(f'{{"fingerprint": "{data.fingerprint}"}}')
    for name, said in (("own", False), ("other", True)):
        assert command("reconstruct", "run", "--data", name, "--data.cache", "cache") == 0
        assert ("rows without an image: 1 (9.png)" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    "words",
    [
        "sample RUN --out x/a.png",
        "sample RUN --out x",
        "reconstruct RUN --out x/deep/pictures",
        "reconstruct RUN --data digits --out link/a.gif",
        "encode RUN --out x/codes.npz",
        "cluster RUN --out x/../x/clusters",
        "evaluate RUN --out x/e.json",
        "export RUN --out x/e",
        "priors RUN --out x/p",
        "report RUN --out x/report.html",
        "push RUN me/x --out x/p",
        "compare RUN RUN --out x/c.html",
        "sample BY --out x/a.png",
        "reconstruct OTHER --data x --out x/a.png",
    ],
)
def test_nothing_is_written_into_the_images(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    for name, source in (("RUN", tmp_path / "x"), ("BY", "x"), ("OTHER", "digits")):
        make_run(tmp_path / name)
        dump_yaml(config_for("digits", {"data.source": str(source)}), tmp_path / name / "config.yaml")
    assert command(*words.split()) == 2
    assert "is in the folder of the images" in capsys.readouterr().err
    assert list((tmp_path / "x").iterdir()) == []


def test_data_settings_of_the_run_are_the_defaults_in_its_help(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    dump_yaml(config_for("digits", {"data.held-out": 0.375}), run / "config.yaml")
    assert command("reconstruct", run, "--help-all") == 0
    assert "(default: 0.375)" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert DataSettings().held_out != 0.375
