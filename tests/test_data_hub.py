"""Data sets of the hub, with a stand-in for the library."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image as Pillow

from vaegan.data import open_data
from vaegan.errors import UserError


class Image:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    dtype = "int64"

    def __init__(self, names: list[str]) -> None:
        self.names = names


class Value:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class Array2D(Value):
    shape = (2, 2)


class Table:
    """What is used of `datasets.Dataset`."""

    def __init__(self, columns: dict[str, list], features: dict[str, object], fingerprint: str = "1") -> None:
        self.columns, self.features, self._fingerprint = columns, features, fingerprint

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.columns[key]
        assert not any(isinstance(feature, Image) and feature.decode for feature in self.features.values())
        return {name: column[key] for name, column in self.columns.items()}

    def select_columns(self, names: list[str]) -> Table:
        return Table({name: self.columns[name] for name in names}, {name: self.features[name] for name in names})

    def cast_column(self, name: str, feature: object) -> Table:
        return Table(self.columns, {**self.features, name: feature})


def table(first: int, num: int, *, label: int | None = None, folder=None) -> Table:
    images = []
    for i in range(first, first + num):
        file = io.BytesIO()
        Pillow.new("L", (4, 4), i).save(file, "PNG")
        if folder is None:
            images.append({"bytes": file.getvalue(), "path": None})
        else:
            (folder / f"{i}.png").write_bytes(file.getvalue())
            images.append({"bytes": None, "path": str(folder / f"{i}.png")})
    numbers = list(range(first, first + num))
    columns = {
        "caption": ["text"] * num,
        "picture": images,
        "kind": [i % 2 if label is None else label for i in numbers],
        "age": [None if i == first else float(i) for i in numbers],
        "male": [i % 3 == 0 for i in numbers],
    }
    features = {
        "caption": Value("string"),
        "picture": Image(),
        "kind": ClassLabel(["ape", "cat"]),
        "age": Value("float32"),
        "male": Value("bool"),
    }
    return Table(columns, features)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open ``hf:some/set`` where the library gives these splits."""

    def opened(splits, source="hf:some/set", **options):
        asked = []

        def load_dataset(name, configuration):
            asked.append((name, configuration))
            if isinstance(splits, Exception):
                raise splits
            return splits

        library = types.ModuleType("datasets")
        library.Image, library.ClassLabel, library.load_dataset = Image, ClassLabel, load_dataset
        monkeypatch.setitem(sys.modules, "datasets", library)
        data = open_data(source, cache=tmp_path / "cache", workers=1, **options)
        return data, asked

    return opened


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_own_split_labels_and_attributes(opened, held_out):
    splits = {"extra": table(90, 3), held_out: table(20, 5), "train": table(0, 10)}
    data, asked = opened(splits)
    assert asked == [("some/set", None)]
    assert data.name == "hf:some/set"
    assert data.image_shape == (1, 4, 4)
    for part, first, num in ((data.train, 0, 10), (data.test, 20, 5)):
        values = part.images[:, 0, 0, 0].astype(int)
        assert sorted(values) == list(range(first, first + num))
        assert [int(name.split("-")[1]) + first for name in part.names] == values.tolist()
        np.testing.assert_array_equal(part.labels, values % 2)
        np.testing.assert_array_equal(part.attributes[:, 0], np.where(values == first, np.nan, values))
        np.testing.assert_array_equal(part.attributes[:, 1], values % 3 == 0)
    assert data.train.label_names == ("ape", "cat")
    assert data.train.attribute_names == ("age", "male")
    assert sorted(data.test.names)[0] == f"{held_out}-000000"


def test_sets_sorted_by_class_come_shuffled(opened):
    splits = {"train": table(0, 100), "test": table(100, 100)}
    data, _ = opened(splits, limit=20)
    for part in (data.train, data.test):
        assert part.images[:20, 0, 0, 0].std() > 15
    again, _ = opened(splits, limit=20)
    assert data.train.names == again.train.names


def test_without_a_held_out_split_a_share_is_held_out(opened):
    data, _ = opened({"everything": table(0, 50)}, held_out=0.3)
    assert len(data.train) + len(data.test) == 50
    assert 5 < len(data.test) < 25
    assert not set(data.train.names) & set(data.test.names)


def test_configuration_and_images_by_path(tmp_path, opened):
    data, asked = opened({"train": table(0, 5, folder=tmp_path), "test": table(9, 2)}, source="hf:some/set:small")
    assert asked == [("some/set", "small")]
    assert sorted(data.train.images[:, 0, 0, 0]) == list(range(5))


@pytest.mark.parametrize("label", [-1, "null"])
def test_unlabelled_test_images_leave_no_labels(opened, label):
    unlabelled = table(5, 2, label=-1)
    unlabelled.columns["kind"] = [0, None if label == "null" else label]
    data, _ = opened({"train": table(0, 5), "test": unlabelled})
    assert data.train.labels is None


def test_a_local_folder_is_refused(opened, tmp_path, monkeypatch):
    """It would be loaded, and its path published with the model."""
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("photos", str(tmp_path / "photos"), str(tmp_path / "missing")):
        with pytest.raises(UserError, match=f"{name} is on this machine, not a data set of the hub; leave out 'hf:'"):
            opened({"train": table(0, 5)}, source=f"hf:{name}")


def test_only_images(opened):
    splits = {"train": table(0, 5).select_columns(["picture"]), "test": table(9, 2).select_columns(["picture"])}
    data, _ = opened(splits)
    assert data.train.labels is None
    assert data.train.attributes is None


def test_no_images(opened):
    with pytest.raises(UserError, match="hf:some/set: none of its columns caption has images"):
        opened({"train": table(0, 5).select_columns(["caption"])})


@pytest.mark.parametrize("error", [FileNotFoundError("no 'some/set'\nhere"), ConnectionError(""), ValueError("config")])
def test_what_cannot_be_loaded(opened, error):
    with pytest.raises(UserError, match="hf:some/set: cannot be loaded") as caught:
        opened(error)
    assert "\n" not in str(caught.value)


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'vaegan\[hf\]'"):
        open_data("hf:some/set")


def test_columns_of_arrays_are_no_attributes(opened):
    with_boxes = table(0, 10)
    with_boxes.columns["box"] = [[[0.0, 1.0], [2.0, 3.0]]] * 10
    with_boxes.features["box"] = Array2D("float32")
    data, _ = opened({"train": with_boxes, "test": table(20, 5)})
    assert data.train.attribute_names == ("age", "male")
