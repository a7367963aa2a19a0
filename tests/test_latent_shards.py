"""Latents in safetensors shards: what is in them, and that any number of processes, killed or not, writes the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vaegan.data.dataset import ImageSet
from vaegan.distributed import share_of_work
from vaegan.errors import UserError
from vaegan.latent import latent_shards
from vaegan.latent.code_shards import set_shards
from vaegan.latent.latent_shards import channel_moments, encode_to_shards, merged_moments, statistics_of
from vaegan.models import Model, load
from vaegan.pixels import PixelFormat
from vaegan.runs.opened import OpenedRun

# Encodes in one process after another, each of which kills itself at one of the moments where it computes, writes,
# flushes or renames; the number of processes changes. Then one finishes.
KILLED = """
import os, random, signal, sys
from pathlib import Path
import numpy as np
import safetensors.torch
from vaegan.data.dataset import ImageSet
from vaegan.latent import latent_shards
from vaegan.latent.code_shards import set_shards
from vaegan.models import load

folder, images = Path(sys.argv[1]), np.load(sys.argv[2])[..., None]
model = load(folder / "model")
shards = set_shards({"train": ImageSet(images, list(map(str, range(len(images)))))}, 10, {})

def encode(name, moment, process=(0, 1)):
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = iter(range(moment, -1, -1))
    def counted(function):
        def call(*arguments, **settings):
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **settings)
        return call
    latent_shards.encode_images = counted(latent_shards.encode_images)
    safetensors.torch.save = counted(safetensors.torch.save)
    Path.replace, os.fsync = counted(Path.replace), counted(os.fsync)
    latent_shards.encode_to_shards(model, shards, folder / name, flip=True, process=process)
    os._exit(0)

assert encode("one", 10**6) == 0
chance, kills = random.Random(0), 0
for _ in range(20):
    size = chance.randrange(1, 4)
    kills += encode("many", chance.randrange(16), (chance.randrange(size), size)) == -signal.SIGKILL
print(kills, len(list(folder.glob("many/latents-*.json"))))
assert encode("many", 10**6) == 0
"""


def sets(seed=0):
    rng = np.random.default_rng(seed)

    def some(num, name):
        names = [f"{name}/é {i}.png" for i in range(num)]
        return ImageSet(rng.integers(0, 256, (num, 8, 8, 1), np.uint8), names, rng.integers(0, 3, num), tuple("abc"))

    return {"train": some(50, "a"), "test": some(11, "b")}


def shards(size=16, seed=0):
    return set_shards(sets(seed), size, {"data": f"seed {seed}"})


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def model(make_model):
    return make_model()


def test_shards_hold_latents_mirrored_ones_labels_and_names(model, tmp_path):
    assert encode_to_shards(model, shards(), tmp_path, flip=True) == 61
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "index.json",
        *[f"latents-{i:06d}.{ending}" for i in range(5) for ending in ("json", "safetensors")],
        "statistics.json",
    ]
    parts = [load_file(path) for path in sorted(tmp_path.glob("*.safetensors"))]
    assert [len(part["latents"]) for part in parts] == [16, 16, 16, 2, 11]
    whole = sets()
    images = np.concatenate([part.images for part in whole.values()])
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    for name, of in (("latents", x), ("latents_flip", x.flip(3))):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), model.encode(of))
    labels = torch.cat([part["labels"] for part in parts])
    assert labels.dtype == torch.int64
    assert labels.tolist() == [*whole["train"].labels, *whole["test"].labels]
    names = [name for part in parts for name in bytes(part["names"].numpy()).decode().split("\n")]
    assert names == [*whole["train"].names, *whole["test"].names]
    facts = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("latents-*.json"))]
    assert [(f["shard"], f["split"], f["images"]) for f in facts] == [
        (0, "train", 16), (1, "train", 16), (2, "train", 16), (3, "train", 2), (4, "test", 11),
    ]  # fmt: skip


def test_an_empty_shard_is_finished_and_changes_no_statistics(model, tmp_path):
    whole, asked, allowed = shards(), [], [18]

    def read(number):
        asked.append(number)
        split, images = whole.read(number)
        return (split[:0], images.take(slice(0))) if number in (0, 3) else (split, images)  # of 16 and 2

    def check(num):
        if num > allowed[0]:
            raise UserError("too many")

    given = replace(whole, read=read, check=check)
    for process, num in (((1, 2), 16), ((0, 2), 27)) * 2:
        assert encode_to_shards(model, given, tmp_path, flip=True, process=process) == num
    assert asked == [1, 3, 0, 2, 4]
    empty = load_file(tmp_path / "latents-000003.safetensors")
    sizes = {"latents": (0, 16), "latents_flip": (0, 16), "labels": (0,), "names": (0,)}
    assert {key: tuple(part.shape) for key, part in empty.items()} == sizes
    stored = torch.cat([load_file(path)["latents"] for path in sorted(tmp_path.glob("*.safetensors"))])
    statistics = json.loads((tmp_path / "statistics.json").read_text())
    assert (statistics["images"], statistics["shards"]) == (43, 5)
    np.testing.assert_allclose(statistics["mean"], stored.double().mean(0), rtol=1e-6)
    allowed[0] = 17
    with pytest.raises(UserError, match="too many"):
        encode_to_shards(model, given, tmp_path / "one")
    assert not (tmp_path / "one/latents-000003.json").exists()
    encode_to_shards(model, given, tmp_path / "many", process=(0, 2))
    with pytest.raises(UserError, match="too many"):  # of both together
        encode_to_shards(model, given, tmp_path / "many", process=(1, 2))
    assert not (tmp_path / "many/statistics.json").exists()


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_statistics_are_those_of_what_is_stored(model, tmp_path, dtype):
    encode_to_shards(model, shards(), tmp_path, dtype=dtype)
    files = sorted(tmp_path.glob("*.safetensors"))
    stored = torch.cat([load_file(path)["latents"] for path in files])
    assert stored.dtype == {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    statistics = json.loads((tmp_path / "statistics.json").read_text())
    assert (statistics["images"], statistics["shards"]) == (61, 5)
    np.testing.assert_allclose(statistics["mean"], stored.double().mean(0).numpy(), rtol=1e-12)
    np.testing.assert_allclose(statistics["std"], stored.double().std(0).numpy(), rtol=1e-12)


def test_statistics_of_maps_are_by_channel_and_stable_far_from_zero():
    x = 1e6 + torch.randn(300, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moments = merged_moments(channel_moments(x[:7]), channel_moments(x[7:], rows=100))
    assert moments["count"] == 300 * 20
    np.testing.assert_allclose(moments["mean"], x.mean((0, 2, 3)).numpy(), rtol=1e-13)
    np.testing.assert_allclose(moments["squares"] / (moments["count"] - 1), x.var((0, 2, 3)).numpy(), rtol=1e-8)


def test_scaled_latents(model, tmp_path):
    model.info["scale_factor"] = 0.5
    encode_to_shards(model, shards(), tmp_path / "a")
    encode_to_shards(model, shards(), tmp_path / "b", scaled=True)
    a, b = (load_file(tmp_path / name / "latents-000000.safetensors")["latents"] for name in "ab")
    assert torch.equal(b, 0.5 * a)


def test_any_number_of_processes_in_any_order_writes_the_same(model, tmp_path):
    encode_to_shards(model, shards(), tmp_path / "one", flip=True)
    many = tmp_path / "many"
    assert encode_to_shards(model, shards(), many, flip=True, process=(2, 3)) == 16  # shard 2
    assert not (many / "statistics.json").exists()
    assert encode_to_shards(model, shards(), many, flip=True, process=(1, 2)) == 18  # shards 1 and 3
    written = {path.name: path.stat().st_mtime_ns for path in many.glob("latents-*")}
    assert encode_to_shards(model, shards(), many, flip=True, process=(0, 1)) == 61  # what is left: 0 and 4
    assert {name: (many / name).stat().st_mtime_ns for name in written} == written
    assert content(many) == content(tmp_path / "one")
    read = []
    watched = replace(shards(), read=lambda index: read.append(index) or ("train", sets()["train"]))
    assert encode_to_shards(model, watched, many, flip=True) == 61
    assert read == []


def test_what_is_of_something_else_is_refused_or_replaced(model, make_model, tmp_path):
    encode_to_shards(model, shards(), tmp_path, process=(0, 2))
    (tmp_path / "latents_stats.pt").write_text("the user's")
    brighter = make_model()
    brighter.pixels = PixelFormat.of("uint8", (0.0, 200.0))
    for other, images, options, differing in (
        (make_model(seed=1), shards(), {}, "model"),
        (brighter, shards(), {}, "model"),
        (model, shards(seed=1), {}, "data, labels"),
        (model, shards(), {"flip": True}, "flip"),
        (model, shards(), {"flip": True, "dtype": "bf16"}, "dtype, flip"),
    ):
        with pytest.raises(UserError, match=rf"\({differing}\); choose a new folder or --overwrite"):
            encode_to_shards(other, images, tmp_path, process=(1, 2), **options)
    # Process 1 replaces the index, but not shards of process 0, which may be writing new ones by now.
    encode_to_shards(model, shards(size=32), tmp_path, process=(1, 2), overwrite=True)
    assert (tmp_path / "latents-000004.safetensors").exists()
    with pytest.raises(UserError, match=r"latents-000000\.json is of another model, images or settings"):
        encode_to_shards(model, shards(size=32), tmp_path, process=(0, 2))
    encode_to_shards(model, shards(size=32), tmp_path, process=(0, 2), overwrite=True)
    assert not (tmp_path / "latents-000004.safetensors").exists()
    assert (tmp_path / "latents_stats.pt").read_text() == "the user's"
    (tmp_path / "latents_stats.pt").unlink()
    encode_to_shards(model, shards(size=32), tmp_path / "new")
    new = content(tmp_path / "new")
    assert {name: (tmp_path / name).read_bytes() for name in new} == new


def test_of_two_that_overwrite_at_once_the_second_stays(model, tmp_path, monkeypatch):
    encode_to_shards(model, shards(), tmp_path / "alone", dtype="bf16")
    real, began = latent_shards.latents_of, []

    def latents_of(*arguments, **settings):
        began.append(len(began))
        if len(began) == 2:  # in the second shard of the first
            encode_to_shards(model, shards(), tmp_path / "both", dtype="bf16", overwrite=True)
        return real(*arguments, **settings)

    monkeypatch.setattr(latent_shards, "latents_of", latents_of)
    with pytest.raises(
        UserError, match=r"another command has started to write other codes into .*both; choose another"
    ):
        encode_to_shards(model, shards(), tmp_path / "both", overwrite=True)
    assert content(tmp_path / "both") == content(tmp_path / "alone")


def test_half_a_shard_is_made_again(model, tmp_path):
    encode_to_shards(model, shards(), tmp_path)
    whole = content(tmp_path)
    (tmp_path / "latents-000003.json").unlink()  # killed between the two files
    (tmp_path / "latents-000004.json").write_text("{")
    encode_to_shards(model, shards(), tmp_path)
    assert content(tmp_path) == whole


def damaged(record, **changes):
    return json.dumps({**json.loads(record), **changes})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("safetensors", lambda whole: b""),
        ("safetensors", lambda whole: whole[:-1]),
        ("json", lambda whole: json.dumps({"of": json.loads(whole)["of"]}).encode()),
        *(
            ("json", lambda whole, changes=changes: damaged(whole, **changes).encode())
            for changes in (
                {"count": 0}, {"count": 7}, {"images": 3}, {"shard": 3}, {"mean": ["x"] * 5}, {"mean": [0.0]},
                {"squares": [float("nan")] * 5},
            )
        ),
    ],
)  # fmt: skip
def test_a_damaged_shard_is_made_again(model, tmp_path, name, damage):
    few = set_shards({"train": sets()["train"]}, 25, {})
    encode_to_shards(model, few, tmp_path)
    whole = content(tmp_path)
    path = tmp_path / f"latents-000001.{name}"
    path.write_bytes(damage(whole[path.name]))
    encode_to_shards(model, few, tmp_path)
    assert content(tmp_path) == whole


@pytest.mark.parametrize("index", [{"model": "resnet", "x": 1}, None])
def test_nothing_of_a_folder_that_is_partly_anothers_is_touched(model, make_model, tmp_path, index):
    encode_to_shards(model, shards(), tmp_path)
    theirs = {"shard-mine.npz": "abc", "latents-000000.json": '{"of": "user"}', "latents-000000.safetensors": "abc"}
    for name, text in theirs.items():
        (tmp_path / name).write_text(text)
    if index:
        (tmp_path / "index.json").write_text(json.dumps(index))
    before = content(tmp_path)
    what = "contains other files" if index else r"latents-000000\.json was not written by this command"
    with pytest.raises(UserError, match=what):
        encode_to_shards(make_model(seed=1), shards(), tmp_path, overwrite=True)
    assert content(tmp_path) == before


def test_statistics_of_another_model_do_not_survive_if_their_record_is_lost(maps, tmp_path):
    encode_to_shards(maps, shards(), tmp_path)
    (tmp_path / "statistics.json").unlink()
    before = (tmp_path / "latents_stats.pt").read_bytes()
    encode_to_shards(maps, shards(seed=1), tmp_path, overwrite=True, process=(0, 2))
    assert not (tmp_path / "latents_stats.pt").exists()
    encode_to_shards(maps, shards(seed=1), tmp_path, overwrite=True)
    assert (tmp_path / "latents_stats.pt").read_bytes() != before


@pytest.fixture
def maps():
    own = {"blocks": 1, "groups": 2, "attention": False}
    torch.manual_seed(0)
    return Model.from_architecture(
        {
            "kind": "vae", "network": "residual", "image_shape": (1, 8, 8), "latent_dim": 3, "latent": "map",
            "output": "centred", "init": "torch", "discriminator": {}, "encoder": {"channels": (4, 6), **own},
            "decoder": {"channels": (6, 4), **own},
        },
        {"scale_factor": 2.0},
    )  # fmt: skip


def test_trainers_get_the_statistics_of_all_codes_by_any_number_of_processes(maps, tmp_path):
    encode_to_shards(maps, shards(), tmp_path / "one")
    for process in ((1, 2), (0, 2)):
        encode_to_shards(maps, shards(), tmp_path / "many", process=process)
    assert content(tmp_path / "many") == content(tmp_path / "one")
    codes = np.concatenate([load_file(path)["latents"] for path in sorted(tmp_path.glob("one/*.safetensors"))])
    written = torch.load(tmp_path / "one" / "latents_stats.pt", weights_only=True)
    assert [(name, each.dtype, each.shape) for name, each in written.items()] == [
        (name, torch.float32, (1, 3, 1, 1)) for name in ("mean", "std")
    ]
    by_channel = codes.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    for name, wanted in (("mean", by_channel.mean(1)), ("std", by_channel.std(1, ddof=1))):
        np.testing.assert_allclose(written[name].flatten(), wanted, rtol=1e-6)


def test_a_trainers_own_statistics_stay(maps, tmp_path, caplog):
    encode_to_shards(maps, shards(), tmp_path)
    encode_to_shards(maps, shards(seed=1), tmp_path, overwrite=True)  # ours are replaced
    encode_to_shards(maps, shards(seed=1), tmp_path / "new")
    file = tmp_path / "latents_stats.pt"
    assert file.read_bytes() == (tmp_path / "new" / "latents_stats.pt").read_bytes()
    assert "does not match" not in caplog.text
    file.write_bytes(b"theirs")
    encode_to_shards(maps, shards(), tmp_path, overwrite=True)
    assert file.read_bytes() == b"theirs"
    assert "latents_stats.pt does not match statistics.json; remove it" in caplog.text


def test_an_export_has_the_statistics_of_its_latents(maps, command, tmp_path):
    """Its latents have mean 0 and deviation 1 in each channel, also as diffusers' pipelines scale them back."""
    maps.save(tmp_path / "model")
    encode_to_shards(maps, shards(), tmp_path / "latents")
    words = ["--latent-statistics", tmp_path / "latents", "--format", "safetensors,diffusers"]
    assert command("export", tmp_path / "model", *words, "--out", tmp_path / "export") == 0
    x = torch.from_numpy(np.concatenate([part.images for part in sets().values()])).permute(0, 3, 1, 2) / 255
    for place in (tmp_path / "export", f"diffusers:{tmp_path / 'export' / 'diffusers'}"):
        model = load(place)
        latents = model.latents(x)
        torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(3))
        torch.testing.assert_close(model.decode_latents(latents), maps.reconstruct(x), atol=1e-5, rtol=1e-4)
    config = json.loads((tmp_path / "export" / "diffusers" / "config.json").read_text())
    std, mean = (torch.tensor(config[name]).view(1, -1, 1, 1) for name in ("latents_std", "latents_mean"))
    torch.testing.assert_close(latents * std / config["scaling_factor"] + mean, maps.maps(maps.encode(x)))
    encode_to_shards(load(tmp_path / "export"), shards(), tmp_path / "scaled", scaled=True)
    scaled = json.loads((tmp_path / "scaled" / "statistics.json").read_text())
    np.testing.assert_allclose([*scaled["mean"], *scaled["std"]], [0, 0, 0, 1, 1, 1], atol=1e-5)
    with pytest.raises(UserError, match="choose a new folder"):  # another scale
        encode_to_shards(maps, shards(), tmp_path / "scaled", scaled=True)


def test_an_encoder_is_checked_with_a_small_image(maps, tmp_path):
    seen = []
    for side in (8, 512):
        model = Model.from_architecture(maps.architecture | {"image_shape": (1, side, 8)})
        model.save(tmp_path / str(side))
        opened = OpenedRun(tmp_path / str(side), model=model)
        model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
        opened.check_encoder()
    assert seen == [(1, 1, 8, 8), (1, 1, 8, 8)]


def test_statistics_that_do_not_fit_are_refused(maps, make_model, tmp_path):
    encode_to_shards(maps, shards(), tmp_path / "latents")
    encode_to_shards(maps, shards(), tmp_path / "scaled", scaled=True)
    encode_to_shards(maps, shards(), tmp_path / "half", process=(0, 2))
    for name, model, message in (
        ("latents", make_model(), "holds latents of another model"),
        ("scaled", maps, "holds scaled latents; encode without --scaled"),
        ("half", maps, r"has no statistics\.json; finish"),
    ):
        with pytest.raises(UserError, match=message):
            statistics_of(tmp_path / name, model)
    with torch.no_grad():
        for weight in maps.encoder.quant.parameters():
            weight.zero_()
    encode_to_shards(maps, shards(), tmp_path / "constant")
    with pytest.raises(UserError, match="a latent channel is constant"):
        statistics_of(tmp_path / "constant", maps)


@pytest.mark.parametrize("name", ["latents-000001.safetensors", "latents-000005.safetensors", "latents-000001.json"])
def test_a_file_that_is_not_ours_stays(model, tmp_path, name):
    encode_to_shards(model, shards(), tmp_path, process=(0, 2))
    others = {"latents": torch.ones(2, 3)}
    if name.endswith(".json"):
        (tmp_path / name).write_text("{}")
    else:
        save_file(others, tmp_path / name)
    before = content(tmp_path)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(UserError, match=f"{name} was not written by this command, or is damaged; move"):
            encode_to_shards(model, shards(), tmp_path, process=(1, 2), **options)
    assert content(tmp_path) == before


def test_a_folder_of_others_is_refused(model, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="contains other files"):
        encode_to_shards(model, shards(), tmp_path, overwrite=True)


def test_numbers_too_large_for_the_format_are_refused(model, tmp_path):
    model.info["scale_factor"] = 1e9
    with pytest.raises(UserError, match="latents of shard 0 are not finite as fp16; use --dtype bf16 or fp32"):
        encode_to_shards(model, shards(), tmp_path, scaled=True, dtype="fp16")
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


def test_killed_at_any_moment_and_started_again_with_another_number(python, model, images_file, tmp_path):
    model.save(tmp_path / "model")
    done = python("-c", KILLED, tmp_path, images_file)
    assert done.returncode == 0, done.stderr
    kills, finished = map(int, done.stdout.split())
    assert kills >= 5
    assert finished >= 5
    assert content(tmp_path / "many") == content(tmp_path / "one")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3"}, (0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "4"}, (2, 4)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MIN": "0"}, (3, 8)),
        ({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1",
          "SLURM_ARRAY_TASK_STEP": "2"}, (2, 3)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8"}, (3, 8)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),  # a batch script without srun
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "RANK": "1", "WORLD_SIZE": "4",
          "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}, (5, 8)),
    ],
)  # fmt: skip
def test_which_process_this_is(environment, expected):
    assert share_of_work(environment) == expected


def test_an_array_with_gaps_is_refused():
    with pytest.raises(UserError, match=r"not evenly spaced .*; set --process R/N"):
        share_of_work({"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "1"})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("WORLD_SIZE=abc", "WORLD_SIZE is 'abc': set it to a whole number from 1, or unset it"),
        ("WORLD_SIZE=0", "WORLD_SIZE is '0'"),
        ("WORLD_SIZE=-1", "WORLD_SIZE is '-1'"),
        ("WORLD_SIZE=2 RANK=5", "RANK is '5': set it to a whole number from 0 to 1"),
        ("SLURM_ARRAY_TASK_ID=x", "SLURM_ARRAY_TASK_ID is 'x'"),
        ("SLURM_ARRAY_TASK_COUNT=", "SLURM_ARRAY_TASK_COUNT is ''"),
        ("SLURM_ARRAY_TASK_STEP=0", "SLURM_ARRAY_TASK_STEP is '0'"),
        ("SLURM_STEP_NUM_TASKS=1(x2)", r"SLURM_STEP_NUM_TASKS is '1\(x2\)'"),
        ("SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=2", "SLURM_PROCID is '2'"),
    ],
)
def test_variables_that_are_no_numbers_are_named(environment, message):
    with pytest.raises(UserError, match=f"environment variable {message}"):
        share_of_work(dict(word.split("=") for word in environment.split()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--flip", "--flip applies to safetensors shards only; add --format safetensors"),
        ("--format safetensors --out a.npz", "--format safetensors writes a folder; give a name without an extension"),
        ("--format safetensors --process 4/4", "give R/N with R from 0 to N - 1, such as 0/4"),
    ],
)
def test_mistakes(command, capsys, words, message):
    assert command("encode", "demo", *words.split()) == 2
    assert message in capsys.readouterr().err


def test_several_processes_write_shards_only(command, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command("encode", "demo", "--out", "a.npz") == 2
    assert "several processes can write only safetensors shards; add --format safetensors" in capsys.readouterr().err
