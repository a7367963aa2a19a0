"""Any input is answered: exit code 0 or 2, one line, nothing of the user's changed, nothing left over, bounded memory.

Inputs are damaged copies of settings, records, models and data; hypothesis chooses the damage, the same in every run.
``HOSTILE_EXAMPLES=1000 pytest tests/test_hostile.py`` tries more, ``benchmarks/hostile.py`` thousands with figures.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vaegan.cli import main
from vaegan.config import Config
from vaegan.settings_io import setting_names

SAVED = Path(__file__).parent / "saved"
MODELS = ("conv-0.1.0", "maps-0.1.0", "told-mlp-0.1.0")
EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "8"))
tried = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # no search for a smaller example: it takes minutes
)
more_tried = settings(tried, max_examples=3 * EXAMPLES)

NUMBERS = (-(10**9), -1, 0, 1, 2, 3, 4097, 10**7, 10**12, 10**30, -0.5, 0.5, 1e300, float("nan"), float("inf"))
TEXTS = ("", " ", "x", "none", "..", "/", "/dev/zero", "a\nb", "\0", "顔", "1e3", "9" * 5000, "vae", "labels")
NESTED = ([], {}, [[]], [None], [1] * 100, [-1, 2], [1e9] * 3, {"a": 1}, {"": {}}, [[1, 2], [3]], ["a", "b"])
values = st.sampled_from((None, True, *NUMBERS, *TEXTS, *map(json.dumps, NESTED))).map(
    lambda value: json.loads(value) if isinstance(value, str) and value[:1] in "[{" and value else value
)


def answer(*words: object) -> tuple[int, str]:
    """Exit code and standard error of a command; it must be done, or refused in one line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    said = err.getvalue()
    assert code in (0, 2), said
    assert "Traceback" not in said
    if code == 2:
        assert said.splitlines()[-1].startswith(f"vaegan {words[0]}: ")
        assert len([line for line in said.splitlines() if line.startswith(f"vaegan {words[0]}")]) == 1
    return code, said


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder in which only what is named `out` may change."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def digests(place: Path) -> dict[str, str]:
    """Return a hash of each of a user's files; the cache and the output are ours."""
    files = (path for path in place.rglob("*") if path.is_file() and path.relative_to(place).parts[0] not in OURS)
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


OURS = ("cache", "out.npz", "out.html", "out")


def assert_nothing_left(place: Path, before: dict[str, str]) -> None:
    """Nothing of the user's has changed, nothing is half written."""
    assert digests(place) == before
    assert not [path for path in place.rglob("*") if ".part" in path.name or ".before" in path.name]


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """The examples of a test take at most 1 GB more than the process had."""
    resource = pytest.importorskip("resource", reason="only POSIX has it")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


def places_in(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in nested lists and mappings."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield (*at, key)
        yield from places_in(value, (*at, key))


def damaged(draw: Any, tree: Any) -> Any:
    """Return a copy of nested values of which some are replaced, removed or added."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        places = list(places_in(tree))
        if not places:
            break
        *way, key = draw(st.sampled_from(places))
        inside = tree
        for step in way:
            inside = inside[step]
        what = draw(st.sampled_from(("replace", "replace", "replace", "remove", "add")))
        if what == "remove":
            del inside[key]
        elif what == "add" and isinstance(inside, dict):
            inside[draw(st.sampled_from(TEXTS))] = draw(values)
        else:
            inside[key] = draw(values)
    return tree


def damaged_bytes(draw: Any, content: bytes) -> bytes:
    """Return bytes of which some are overwritten, cut off or repeated."""
    at = draw(st.integers(0, max(0, len(content) - 1)))
    what = draw(st.sampled_from(("cut", "overwrite", "repeat", "nothing")))
    if what == "cut":
        return content[:at]
    if what == "overwrite":
        return content[:at] + draw(st.binary(min_size=1, max_size=8)) + content[at + 4 :]
    return content[:at] + content[at:] * (3 if what == "repeat" else 0)


@more_tried
@given(st.data())
def test_any_option_of_training(data: st.DataObject) -> None:
    """Names and values of settings on the command line; the data do not exist, so that nothing is trained."""
    names = data.draw(st.lists(st.sampled_from(list(setting_names())), min_size=1, max_size=3))
    words = [f"--{name.replace('_', '-')}={data.draw(values)}" for name in names if name != "data.source"]
    with folder() as place:
        code, _ = answer("train", "digits", "--out", place / "out", *words, "--data", place / "nothing")
        assert code == 2
        assert_nothing_left(place, {})


@more_tried
@given(st.data())
def test_any_settings_file(data: st.DataObject) -> None:
    tree = damaged(data.draw, Config().model_dump(mode="json"))
    content = data.draw(st.sampled_from((yaml.safe_dump(tree).encode(), json.dumps(tree).encode())))
    if data.draw(st.booleans()):
        content = damaged_bytes(data.draw, content)
    with folder() as place:
        (place / "c.yaml").write_bytes(content)
        before = digests(place)
        words = ("--data", place / "nothing", "--out", place / "out")
        assert answer("train", "--config", place / "c.yaml", *words)[0] == 2
        assert_nothing_left(place, before)


NUMBER_OPTIONS = {
    "sample": ("num", "seed", "batch-size"),
    "interpolate": ("num", "steps", "seed"),
    "traverse": ("num", "steps", "range", "images"),
    "nearest": ("num", "show", "k", "held-out"),
    "cluster": ("num", "k", "restarts", "repeats", "gallery"),
    "evaluate": ("num", "draws", "seed", "batch-size"),
    "serve": ("port", "batch-size"),
    "reproduce": ("seeds", "num", "samples"),
}


@pytest.mark.parametrize("command", NUMBER_OPTIONS)
@pytest.mark.parametrize("value", ["1e30", "10000000000", "-1", "nan", "9" * 5000, "0x10", ""])
def test_numbers_of_all_commands_have_bounds(command: str, value: str) -> None:
    for name in NUMBER_OPTIONS[command]:
        code, said = answer(command, f"--{name}={value}", *(() if command == "reproduce" else ("nowhere",)))
        assert code == 2
        assert f"--{name}: " in said


def test_so_many_threads_as_would_crash_torch_are_refused() -> None:
    code, said = answer("train", "--train.threads", "100000", "--device", "none")
    assert code == 2
    assert "--train.threads: '100000' is not allowed" in said


@pytest.mark.parametrize("fact", [{"pretrain_images": "x"}, {"pretrain_images": [2]}, {"attribute_names": 7}])
def test_facts_that_a_card_shows_have_types(fact: dict[str, Any]) -> None:
    with folder() as place:
        shutil.copytree(SAVED / MODELS[0], place / "model")
        path = place / "model/config.json"
        description = json.loads(path.read_text())
        path.write_text(json.dumps(description | {"info": description["info"] | fact}))
        code, said = answer("push", place / "model", "me/x", "--out", place / "out")
        assert code == 2
        assert f"info.{next(iter(fact))}: " in said


@more_tried
@given(st.data())
def test_any_description_of_a_model(data: st.DataObject) -> None:
    with folder() as place:
        shutil.copytree(SAVED / data.draw(st.sampled_from(MODELS)), place / "model")
        path = place / "model" / data.draw(st.sampled_from(("config.json", "config.json", "priors.json")))
        path.write_text(json.dumps(damaged(data.draw, json.loads(path.read_text()))))
        before = digests(place)
        words = data.draw(st.sampled_from(((), ("--prior", "gaussian"), ("--label", "1"), ("--prior", "mixture"))))
        answer("sample", place / "model", "--num", "2", "--out", place / "out.npz", *words)
        assert_nothing_left(place, before)


@tried
@given(st.data())
def test_any_bytes_in_a_model(data: st.DataObject) -> None:
    with folder() as place:
        shutil.copytree(SAVED / data.draw(st.sampled_from(MODELS)), place / "model")
        names = ("config.json", "model.safetensors", "priors.json", "priors.safetensors")
        path = place / "model" / data.draw(st.sampled_from(names))
        path.write_bytes(damaged_bytes(data.draw, path.read_bytes()))
        before = digests(place)
        answer("sample", place / "model", "--num", "2", "--out", place / "out.npz")
        assert_nothing_left(place, before)


RECORDS = [
    {"split": "start", "images": 0, "epoch": 0.0, "time": 1.0},
    {"split": "train", "images": 16, "epoch": 0.5, "losses": {"encoder": {"loss": 3.0}}, "images_per_second": 9.0},
    {"split": "test", "images": 32, "epoch": 1.0, "losses": {"encoder": {"loss": 2.0}}, "health": []},
]


@tried
@given(st.data())
def test_any_records(data: st.DataObject) -> None:
    """A run without a model yet, whose records are damaged, has a report."""
    lines = [json.dumps(record) for record in damaged(data.draw, RECORDS * 3)]
    content = "\n".join(lines).encode() + b"\n"
    if data.draw(st.booleans()):
        content = damaged_bytes(data.draw, content)
    with folder() as place:
        run = place / "run"
        run.mkdir()
        (run / "config.yaml").write_text(yaml.safe_dump(Config().model_dump(mode="json")))
        (run / "metrics.jsonl").write_bytes(content)
        before = digests(place)
        answer("report", run, "--out", place / "out.html", "--data", place / "nothing")
        assert_nothing_left(place, before)


@pytest.mark.parametrize("epoch", [{"epoch": 0.0}, {"epoch": -1.0}, {"epoch": float("nan")}, {"epoch": 1e300}, {}])
def test_records_of_no_epoch_have_a_report(tmp_path: Path, epoch: dict[str, float]) -> None:
    records = [{name: value for name, value in record.items() if name != "epoch"} | epoch for record in RECORDS]
    (tmp_path / "config.yaml").write_text("recipe: digits\n")
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert answer("report", tmp_path, "--out", tmp_path / "out.html", "--data", tmp_path / "nothing")[0] == 0


def data_files(place: Path) -> dict[str, bytes]:
    """Return a small data set in each form, by the name of its file."""
    from PIL import Image

    images = np.random.default_rng(0).integers(0, 255, (12, 8, 8), np.uint8)
    files = {}
    for name, save in {
        "a.npy": lambda file: np.save(file, images),
        "a.npz": lambda file: np.savez_compressed(file, images=images, labels=np.arange(12) % 2),
    }.items():
        with io.BytesIO() as file:
            save(file)
            files[name] = file.getvalue()
    (place / "pictures").mkdir()
    for k, image in enumerate(images):
        Image.fromarray(image).save(place / "pictures" / f"{k}.png")
    (place / "pictures" / "attributes.csv").write_text("file,a,b\n" + "".join(f"{k}.png,{k},1\n" for k in range(12)))
    for form in ("zip", "tar"):
        files[f"a.{form}"] = Path(shutil.make_archive(str(place / "a"), form, place / "pictures")).read_bytes()
    files |= {f"pictures/{path.name}": path.read_bytes() for path in (place / "pictures").iterdir()}
    return files


@tried
@given(st.data())
def test_any_data_file(data: st.DataObject) -> None:
    with folder() as place:
        files = data_files(place)
        name = data.draw(
            st.sampled_from(("a.npy", "a.npz", "a.zip", "a.tar", "pictures/attributes.csv", "pictures/0.png"))
        )
        (place / name).write_bytes(damaged_bytes(data.draw, files[name]))
        source = place / name.split("/")[0]
        before = digests(place)
        words = ("--data", source, "--data.cache", place / "cache", "--num", "2", "--out", place / "out.npz")
        answer("reconstruct", SAVED / "conv-0.1.0", *words)
        assert_nothing_left(place, before)
