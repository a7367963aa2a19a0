"""The script that makes the README's picture, with trainings of a few steps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.mark.slow
def test_the_picture_has_a_row_for_each_model(study_script, monkeypatch, tmp_path):
    script = study_script("readme_picture")
    smaller = {"data.size": 16, "data.limit": 64, "train.images": 64, "model.decoder.channels": (4, 8, 8)}
    monkeypatch.setattr(script, "SHARED", script.SHARED | smaller)
    path = tmp_path / "readme.png"
    assert script.main(["--out", str(tmp_path / "runs"), "--picture", str(path)]) == 0
    shown = np.asarray(Image.open(path).convert("RGB"))[-184:, -300:]  # four rows of 36 pixels, two blocks of 138
    blocks = [
        [shown[8 + 44 * row : 44 + 44 * row, 8 + 146 * col : 146 + 146 * col] for col in (0, 1)] for row in range(4)
    ]
    assert (blocks[2][0][2:34, 2:34] == 255).all()  # a GAN has no encoder
    faces = [block for row, pair in enumerate(blocks) for block in (pair if row != 2 else pair[1:])]
    assert all(block[2:34, 2:34].mean() < 250 for block in faces)
    assert (blocks[0][0] != blocks[0][1]).any()
