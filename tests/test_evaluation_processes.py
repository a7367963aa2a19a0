"""Evaluation by several processes: the same figures as by one, bit for bit."""

from __future__ import annotations

import json

import pytest
import torch

from vaegan.distributed import World

# Evaluates with an extractor that is trained for a moment only.
EVALUATE = """
import sys
from vaegan.cli import main
from vaegan.metrics.extractors import learned

learned.num_images_for = lambda num, shape: 500
sys.exit(main(["evaluate", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_two_processes_measure_what_one_does(python, make_model, tmp_path):
    model = make_model()
    model.save(tmp_path / "model")
    reports = []
    for world in (1, 2):
        words = [tmp_path / "model", "--data", "digits", "--data.cache", tmp_path / f"cache-{world}"]
        words += ["--num", "60", "--batch-size", "16", "--out", tmp_path / f"{world}.json"]
        done = python("-c", EVALUATE, *words, world=world)
        assert done.returncode == (0 if world == 1 else [0, 0]), done.stderr
        assert done.stdout.count("95 % interval") == 1
        reports.append(json.loads((tmp_path / f"{world}.json").read_text()))
        del reports[-1]["seconds"]
    assert reports[0]["left_out"] == {}
    assert reports[0] == reports[1]


def test_alone_rows_are_joined_in_order():
    rows = ({"a": torch.full((i + 1,), float(i)), "b": torch.ones(1, 2)} for i in range(3))
    together = World().gathered(rows)
    assert together["a"].tolist() == [0, 1, 1, 2, 2, 2]
    assert together["b"].shape == (3, 2)


def test_steps_of_a_process():
    assert [list(World(rank, 3).own(range(7))) for rank in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
