from __future__ import annotations

import sys

import numpy as np
import pytest

from vaegan.errors import UserError
from vaegan.latent.code_shards import join_npz, join_parquet, shard_path, write_shard
from vaegan.latent.shard_files import open_shards


def arrays(num, start=0):
    rng = np.random.default_rng(start)
    return {
        "codes": rng.normal(size=(num, 3)).astype(np.float32),
        "logvar": None,
        "names": np.array([f"{10 ** (i + start)}.png" for i in range(num)]),
        "split": np.full(num, "train"),
        "labels": rng.integers(0, 2, num),
        "attributes": np.where(rng.random((num, 1)) < 0.5, np.nan, 1.5).astype(np.float32),
    }


@pytest.fixture
def shards(tmp_path):
    paths = []
    for number, num in enumerate((4, 4, 1)):
        paths.append(shard_path(tmp_path / "shards", number))
        write_shard(paths[-1], arrays(num, 4 * number))
    return paths


def joined(name):
    return np.concatenate([arrays(num, 4 * number)[name] for number, num in enumerate((4, 4, 1))])


def test_shards_join_to_the_whole(shards, tmp_path):
    join_npz(shards, tmp_path / "a.npz", {"label_names": np.array(["cat", "dog"])})
    with np.load(tmp_path / "a.npz") as file:
        found = dict(file)
    assert found.keys() == {"codes", "names", "split", "labels", "attributes", "label_names"}
    for name in ("codes", "names", "split", "labels", "attributes"):
        np.testing.assert_array_equal(found[name], joined(name))
        assert found[name].dtype == joined(name).dtype
    assert found["label_names"].tolist() == ["cat", "dog"]


def test_a_table_for_parquet(shards, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    join_parquet(shards, tmp_path / "a.parquet", ("cat", "dog"), ("age",))
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert table["name"] == joined("names").tolist()
    assert table["label"] == [("cat", "dog")[label] for label in joined("labels")]
    np.testing.assert_array_equal(np.array(table["codes"], np.float32), joined("codes"))
    ages = [None if np.isnan(age) else age for age in joined("attributes")[:, 0].tolist()]
    assert table["attribute age"] == ages
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3


def test_parquet_without_the_extra(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'vaegan\[parquet\]'"):
        join_parquet(shards, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


def index(digit):
    return {"model": 64 * digit, "sets": {}, "scale": None}


def test_finished_shards_of_the_same_are_kept_of_others_not(tmp_path):
    folder = tmp_path / "shards"
    open_shards(folder, index("a"), restart=False)
    write_shard(shard_path(folder, 0), arrays(2))
    open_shards(folder, index("a"), restart=True)
    assert shard_path(folder, 0).is_file()
    with pytest.raises(UserError, match=r"holds codes of other images or with other settings \(model\)"):
        open_shards(folder, index("b"), restart=False)
    assert shard_path(folder, 0).is_file()
    open_shards(folder, index("b"), restart=True)
    assert not shard_path(folder, 0).exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UserError, match="contains other files; choose a new one"):
        open_shards(tmp_path, {}, restart=True)
    assert (tmp_path / "precious.txt").is_file()


@pytest.mark.parametrize("damage", ["not ours", "cut"])
def test_a_shard_that_is_not_ours_or_damaged_stays(tmp_path, damage):
    open_shards(tmp_path, index("a"), restart=False)
    write_shard(shard_path(tmp_path, 0), arrays(2))
    write_shard(path := shard_path(tmp_path, 1), arrays(2))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        np.savez(path, x=1)
    (tmp_path / "shard-mine.npz").write_text("mine")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for other in "ab":
        with pytest.raises(UserError, match=r"shard-00001\.npz was not written by this command, or is damaged; move"):
            open_shards(tmp_path, index(other), restart=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    path.unlink()
    open_shards(tmp_path, index("b"), restart=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.json", "shard-mine.npz"]
