"""Tables of attributes beside the images of a folder."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from image_folders import fill, packed, paint

from vaegan import files
from vaegan.data import folder
from vaegan.errors import UserError


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("file,age\n000.png,old\n", "line 2: age: 'old' is not a number"),
        ("file,age\n001.png,1\n\n000.png,inf\n", "line 4: age is inf; leave"),
        ("file,age\n000.png,nan\n", "line 2: age is nan"),
        ("file,age\n000.png,-1e39\n", "line 2: age is -1e[+]39"),  # infinite as float32
        ("file,age\n000.png,1,2\n", "line 2: 2 values for 1"),
        ("file;age;hat\n000.png;1\n", "line 2: 1 values for 2 attributes .separated by ';'"),
        ("file, age,age \n000.png,1,2\n", "line 1: two columns are called 'age'"),
        ("file,age\n000.png,1\n./000.png,2\n", "line 3: './000.png' has a row in line 2 too"),
        ('file,age\n"000.png,1\n', "correct its quotation marks"),
        ("file,age\nother.png,1\n", "names none of the images"),
        ("file\n000.png\n", "at least one attribute"),
        ("000.png,1\n001.png,0\n", "it needs a first line"),
        ("", "at least one attribute"),
        ("\udcff", "not UTF-8 text"),
    ],
)
def test_bad_attributes(tmp_path, opened, content, complaint):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "attributes.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=complaint):
        opened(tmp_path / "x")


@pytest.mark.parametrize(
    "content",
    [
        "file;age;hat\r\n000.png;0,5;1\r\n001.png;;0\r\n",  # as spreadsheets write it where 0,5 is a number
        "file\tage\that\n000.png\t0.5\t1\n001.png\t\t0\n",
        'file, age , "hat"\n 000.png , 0.5 , 1\n"001.png", , "0"\n\n,,\n',
        "\ufeffage,file,hat,\n0.5,000.png,1,\n,./001.png,0,\n",
        ",file_name,age,hat\n0,000.png,0.5,1\n1,001.png,,0\n",  # the index of a data frame
        "age,hat,FILE\n.5,1,x\\000.png\n,0,x/001.png\n",
    ],
)
def test_attributes_as_people_write_them(tmp_path, opened, caplog, content):
    fill(tmp_path / "top" / "x", 4)
    folder = tmp_path / "top" if "FILE" in content else tmp_path / "top" / "x"
    (folder / "attributes.csv").write_bytes(content.encode())
    data = opened(tmp_path / "top")
    assert data.train.attribute_names == ("age", "hat")
    values = dict(
        zip([*data.train.names, *data.test.names], [*data.train.attributes, *data.test.attributes], strict=True)
    )
    np.testing.assert_array_equal([values["000.png"], values["001.png"]], [[0.5, 1], [np.nan, 0]])
    assert "attributes.csv: images without a row: 2" in caplog.text


def test_rows_without_image_and_images_without_row_are_counted(tmp_path, opened, caplog):
    fill(tmp_path / "x", 6)
    (tmp_path / "x" / "attributes.csv").write_text("file,age\n000.png,1\nA.png,2\nB.png,3\n")
    opened(tmp_path / "x")
    where = tmp_path / "x" / "attributes.csv"
    assert caplog.messages == [
        f"{where}: rows without an image: 2 (A.png, B.png)",
        f"{where}: images without a row: 5 (001.png, 002.png, 003.png, ...)",
    ]


def test_what_surprises_in_the_data_is_left_to_who_opens_it_quietly(tmp_path, opened, caplog):
    fill(tmp_path / "x" / "cat", 6)
    paint(tmp_path / "x" / "stray.png")
    (tmp_path / "x" / "attributes.csv").write_text("file,age\nstray.png,1\nB.png,3\n")
    data = opened(tmp_path / "x", quiet=True)
    assert caplog.messages == []
    assert [note.split(": ")[1] for note in data.notes] == [
        "rows without an image", "images without a row", "no labels, as images lie beside the class folders"
    ]  # fmt: skip
    assert opened(tmp_path / "x").notes == data.notes
    assert tuple(caplog.messages) == data.notes


def test_a_bare_name_of_two_images_is_refused_unless_its_folder_is_named(tmp_path, opened):
    for kind in ("cat", "dog"):
        fill(tmp_path / "x" / kind, 3)
    table = tmp_path / "x" / "attributes.csv"
    table.write_text("file,age\ncat/000.png,1\ndog/000.png,2\n")
    assert opened(tmp_path / "x").train.attribute_names == ("age",)
    table.write_text("file,age\ncat/001.png,1\n000.png,2\n")
    with pytest.raises(UserError, match=r"line 3: '000.png' is in several folders; name these"):
        opened(tmp_path / "x")


METADATA = {
    "metadata.csv": "file_name,text,age\n000.png,a cat,3\n001.png,,\n",
    "metadata.jsonl": '{"file_name": "000.png", "text": "a", "age": 3}\n\n{"file_name": "001.png", "box": [1, 2]}\n',
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_hugging_face_image_folders(tmp_path, opened, caplog, name):
    caplog.set_level(logging.INFO, "vaegan")
    for side in ("train", "validation"):
        fill(tmp_path / "x" / side, 3)
        (tmp_path / "x" / side / name).write_text(METADATA[name])
    data = opened(tmp_path / "x")
    assert data.train.attribute_names == ("age",)
    for part, side in ((data.train, "train"), (data.test, "validation")):
        by_name = dict(zip(part.names, part.attributes[:, 0].tolist(), strict=True))
        assert by_name[f"{side}/000.png"] == 3
        assert np.isnan([by_name[f"{side}/001.png"], by_name[f"{side}/002.png"]]).all()
    columns = "1 (text)" if name.endswith("csv") else "2 (box, text)"
    assert f"{tmp_path / 'x'}: columns of text, not read: {columns}" in caplog.messages
    assert data.left_out == ()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("metadata.csv", "id,age\n000.png,1\n", "not read: it needs a first line"),
        ("metadata.csv", "file_name,age\nother.png,1\n", "not read: it names none of the images, such as '000.png'"),
        ("metadata.jsonl", '{"name": 1}\n', "not read: it has no 'file_name'"),
        ("metadata.jsonl", '{"file_name": "000.png", "age": 1}\n{}\n', "line 2: no 'file_name'"),
        ("metadata.jsonl", '{"file_name": "000.png", "age": NaN}\n', "line 1: age is nan"),
        ("metadata.jsonl", '{"file_name": "000.png", "age": 1' + 400 * "0" + "}\n", "line 1: age is"),
        ("metadata.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("metadata.csv", "file_name,age\n000.png,inf\n", "line 2: age is inf"),
    ],
)
def test_metadata_that_is_wrong_is_refused_or_said_to_be_not_read(tmp_path, opened, caplog, name, content, complaint):
    fill(tmp_path / "x", 3)
    (tmp_path / "x" / name).write_text(content)
    if complaint.startswith("not read"):
        assert opened(tmp_path / "x").train.attributes is None
        assert f"{tmp_path / 'x' / name}: {complaint}" in caplog.text
    else:
        with pytest.raises(UserError, match=complaint):
            opened(tmp_path / "x")


def test_a_word_of_a_column_of_text_may_look_like_a_number_that_is_not_finite(tmp_path, opened, caplog):
    fill(tmp_path / "x", 3)
    (tmp_path / "x" / "metadata.csv").write_text(
        "file_name,id,age\n000.png,123e4567,1\n001.png,3fa9c2d1,2\n002.png,nan,3\n"
    )
    data = opened(tmp_path / "x")
    assert data.train.attribute_names == ("age",)
    assert "columns of text, not read: 1 (id)" in caplog.text


def test_a_table_is_read_up_to_a_bound(tmp_path, opened, monkeypatch):
    fill(tmp_path / "x", 3)
    (tmp_path / "x" / "attributes.csv").write_text("file,age\n" + 30 * "000.png,1\n")
    packed(tmp_path / "x", tmp_path / "x.zip")
    monkeypatch.setattr(files.read_bytes, "__defaults__", (100,))
    monkeypatch.setattr(folder._unpacked, "__defaults__", (100,))
    for source in ("x", "x.zip"):
        with pytest.raises(UserError, match=r"attributes.csv: longer than 0.0001 MB; correct or remove it"):
            opened(tmp_path / source)


def test_unknown_attributes_are_nan(tmp_path, opened):
    fill(tmp_path / "x", 5)
    (tmp_path / "x" / "attributes.csv").write_text("file,age,smile\n001.png,3,\n")
    data = opened(tmp_path / "x")
    names = [*data.train.names, *data.test.names]
    values = np.concatenate([data.train.attributes, data.test.attributes])
    assert values.dtype == np.float32
    assert values[names.index("001.png")][0] == 3
    assert np.isnan(values).sum() == 9
