"""The examples in the docstrings of `Model`'s public methods are right, and none that computes is without one."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest
import torch

from vaegan.models import Model

METHODS = [
    "encode", "decode", "posterior", "sample", "sample_codes", "reconstruct", "discriminate", "latents",
    "decode_latents", "save", "with_parts", "from_architecture", "from_pretrained", "save_pretrained", "push_to_hub",
]  # fmt: skip


def examples(text: str) -> dict[str, object]:
    """What the examples start from: the model of the example of `from_architecture`, images and codes."""
    names: dict[str, object] = {"Model": Model, "torch": torch}
    torch.manual_seed(0)
    for example in doctest.DocTestParser().get_examples(text):
        exec(compile(example.source, "<from_architecture>", "single"), names)  # what it prints is tested below
    return names | {"x": torch.rand(8, 1, 4, 4), "z": torch.randn(8, 3)}


@pytest.mark.parametrize("name", METHODS)
def test_the_examples_of_a_method(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = examples(inspect.getdoc(Model.from_architecture) or "")
    text = inspect.getdoc(getattr(Model, name)) or ""
    test = doctest.DocTestParser().get_doctest(text, names | {"Path": Path}, name, None, None)
    assert test.examples, f"Model.{name} shows no call"
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert result.failed == 0
    assert result.attempted == sum(doctest.SKIP not in example.options for example in test.examples)
