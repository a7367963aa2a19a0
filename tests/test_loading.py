from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file

from vaegan.errors import UserError
from vaegan.models import Model, load
from vaegan.runs.run_folder import WEIGHTS


def architecture(**kwargs):
    part = {"hidden": [7], "norm": "batch"}
    base = {"kind": "vaegan", "network": "mlp", "image_shape": [1, 4, 4], "latent_dim": 3, "output": "tanh"}
    return {**base, "init": "paper", "encoder": part, "decoder": part, "discriminator": part, **kwargs}


LARGE = {"channels": [65_536] * 2, "strides": [1, 1], "kernel": 4095}


class TestBadFolders:
    @pytest.fixture
    def saved(self, tmp_path):
        Model.from_architecture(architecture()).save(tmp_path / "m")
        return tmp_path / "m"

    def refused(self, path, told):
        with pytest.raises(UserError, match=told) as error:
            load(path)
        assert "\n" not in str(error.value)

    def change(self, folder, **values):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))

    def test_nothing_there(self, tmp_path):
        self.refused(tmp_path / "nowhere", "no run or saved model at .*nowhere")
        self.refused(tmp_path, "neither a run nor a saved model")

    def test_a_run_without_a_model_yet(self, tmp_path):
        (tmp_path / "config.yaml").write_text("recipe: digits\n")
        self.refused(tmp_path, "no saved model yet; train it further")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"parts": {"enc": torch.nn.Identity()}}, "part 'enc' is unknown"),
            ({"which": "bst"}, r"which 'bst' is unknown \(perhaps you meant 'best'\)"),
            ({"device": "gpu"}, "device 'gpu' is not available; try cpu"),
        ],
    )
    def test_options_that_do_not_exist(self, saved, options, message):
        with pytest.raises(UserError, match=message):
            load(saved, **options)

    def test_newer_format(self, saved):
        self.change(saved, format=2)
        self.refused(saved, r"written by a newer vaegan \(format 2, this one reads up to 1\): upgrade")

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "x"}', "\x00"])
    def test_damaged_description(self, saved, text):
        (saved / "config.json").write_text(text)
        self.refused(saved, r"config\.json is damaged")

    def test_unknown_setting_of_a_network(self, saved):
        self.change(saved, architecture={**architecture(), "colour": "red"})
        self.refused(saved, r"config\.json is damaged .*colour")

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"latent_dim": 10**7}, "architecture.latent_dim: 10000000 is not allowed"),
            ({"latent_dim": 0}, "architecture.latent_dim: 0 is not allowed"),
            ({"latent_dim": "3x"}, "must be a whole number"),
            ({"image_shape": [1, 10**7, 4]}, "architecture.image_shape: 10000000 is not allowed"),
            ({"encoder": {"hidden": [-1]}}, "architecture.encoder.hidden: -1 is not allowed"),
            ({"encoder": {"hidden": [1] * 10_000}}, "must have at most 32 entries"),
            ({"network": "residual", "decoder": {"blocks": 10**9}}, "architecture.decoder.blocks: 1000000000 is not"),
            ({"kind": []}, "architecture.kind"),
        ],
    )
    def test_sizes_out_of_bounds(self, saved, values, told):
        self.change(saved, architecture=architecture(**values))
        self.refused(saved, told)

    @pytest.mark.parametrize(
        "values",
        [
            {"encoder": {"hidden": [65_536] * 32, "norm": "batch"}},
            {"network": "conv", **dict.fromkeys(("encoder", "decoder", "discriminator"), LARGE)},
        ],
    )
    def test_weights_are_compared_before_memory_is_taken(self, saved, values, monkeypatch):
        """Networks of 500 GB, which the bounds of single numbers let through."""

        def take_memory(*_):
            raise AssertionError("weights are read")

        monkeypatch.setattr(safetensors.torch, "load_file", take_memory)
        self.change(saved, architecture=architecture(**values))
        self.refused(saved, "do not fit its networks: missing ")

    @pytest.mark.parametrize(
        "info",
        [
            {"label_names": 5},
            {"condition": {"kind": "labels", "names": ["a", "b"]}},  # of a model that takes none
            {"condition": {"kind": "labels"}},
            {"default_prior": ["x"]},
            {"scale_factor": "x"},
            [],
        ],
    )
    def test_facts_of_wrong_types(self, saved, info):
        self.change(saved, info=info)
        self.refused(saved, r"config\.json")

    def test_a_description_without_end(self, saved):
        (saved / "config.json").write_text("[" * 10**6)
        self.refused(saved, r"config\.json is damaged .*nested too deeply")
        (saved / "config.json").write_bytes(b" " * (2**26 + 1))
        self.refused(saved, r"config\.json is damaged .*longer than 67.1 MB")

    def test_other_sizes_and_other_networks(self, saved):
        self.change(saved, architecture=architecture(encoder={"hidden": [8], "norm": "batch"}))
        self.refused(saved, r"do not fit its networks: of another shape encoder\.[^;]* and \d+ more")
        self.change(saved, architecture=architecture(encoder={"hidden": [7, 7], "norm": "batch"}))
        self.refused(saved, r"do not fit its networks: missing encoder\.")

    @pytest.mark.parametrize("keep", [0, 7, 100, -1])
    def test_cut_weights(self, saved, keep):
        content = (saved / "model.safetensors").read_bytes()
        (saved / "model.safetensors").write_bytes(content[:keep])
        self.refused(saved, r"model\.safetensors is damaged")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_weights_that_are_not_finite(self, saved, value):
        tensors = load_file(saved / "model.safetensors")
        next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = value
        save_file(tensors, saved / "model.safetensors")
        self.refused(saved, r"the weights in .* do not fit its networks: not finite \w+\.")

    @pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e4m3fn])
    def test_weights_of_types_that_are_not_read(self, saved, dtype):
        tensors = load_file(saved / "model.safetensors")
        name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
        save_file(tensors | {name: tensors[name].to(dtype)}, saved / "model.safetensors")
        self.refused(saved, rf"fit its networks: of a type other than 16, 32 or 64-bit floats {name}$")

    def test_weights_that_are_not_finite_in_the_type_of_the_networks(self, saved):
        tensors = load_file(saved / "model.safetensors")
        name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
        save_file(tensors | {name: torch.full_like(tensors[name], 1e300, dtype=torch.float64)}, saved / WEIGHTS)
        self.refused(saved, f"not finite {name}$")

    @pytest.mark.parametrize("path", ["~nobody-of-this-name/run", "diffusers:~nobody-of-this-name/vae"])
    def test_a_home_folder_that_is_unknown(self, path):
        self.refused(path, "^~nobody-of-this-name/.*: its home folder is unknown; write the whole path, or set HOME$")

    def test_missing_weights(self, saved):
        (saved / "model.safetensors").unlink()
        self.refused(saved, r"model\.safetensors is missing")

    def test_a_pickle_is_not_read(self, saved):
        torch.save({"x": torch.ones(1)}, saved / "model.safetensors")
        self.refused(saved, r"model\.safetensors is damaged")


class TestHub:
    @pytest.fixture
    def asked(self, monkeypatch, tmp_path):
        """A hub that holds 'someone/faces', a run; records the names asked for."""
        Model.from_architecture(architecture()).save(tmp_path / "cache" / "model")
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        names = []

        def snapshot_download(name, allow_patterns, **_):
            names.append(name)
            if name != "someone/faces":
                raise ConnectionError("offline\nand more")
            assert "model/model.safetensors" in allow_patterns
            return str(tmp_path / "cache")

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
        return names

    def test_a_name_that_is_no_path_is_fetched(self, asked):
        assert load("someone/faces").kind == "vaegan"
        assert asked == ["someone/faces"]

    def test_what_the_hub_does_not_give_is_told_in_one_line(self, asked):
        told = r"no run or saved model at some/one, and the hub cannot be reached \(offline\), and the cache has no"
        with pytest.raises(UserError, match=told):
            load("some/one")

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("runs/digit", "runs/digits"),
            ("run/digits", "runs/digits"),
            ("rnus/digit", "runs/digits"),
            ("digit", "runs/digits"),
            ("mist", "runs/mnist"),
            ("runs/digits/modle", "runs/digits/model"),
            ("bset", "best"),
        ],
    )
    def test_a_run_of_a_similar_name_is_offered_and_nothing_asked_for(self, asked, path, meant):
        for folder in ("runs/digits/model", "runs/mnist", "best"):
            Model.from_architecture(architecture()).save(Path(folder))
        with pytest.raises(UserError) as caught:
            load(path)
        assert str(caught.value).startswith(f"no run or saved model at {path} (perhaps you meant '{meant}'); check")
        assert asked == []
        assert load("someone/faces").kind == "vaegan"

    def test_a_folder_of_runs_names_them(self, asked):
        for i in range(7):
            (Path("runs") / f"r{i}").mkdir(parents=True)
            (Path("runs") / f"r{i}" / "config.yaml").touch()
        Path("runs", "other").mkdir()
        some = "runs/r0, runs/r1, runs/r2, runs/r3, runs/r4, ..."
        told = rf"^runs is neither a run nor a saved model: choose one of those in it, {some}$"
        with pytest.raises(UserError, match=told):
            load("runs")

    def test_a_mistyped_run_is_not_asked_for(self, asked):
        Path("runs").mkdir()
        for path in ("runs/mnist", "mnist", "./some/one", "/some/one"):
            with pytest.raises(UserError, match="no run or saved model"):
                load(path)
        assert asked == []
