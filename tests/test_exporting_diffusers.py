"""What diffusers reads from an export gives what the model gives."""

from __future__ import annotations

import json
import sys

import pytest
import safetensors.torch
import torch
from torch import nn

from vaegan.errors import UserError
from vaegan.exporting import check_free_for_export, export_model
from vaegan.models import Model
from vaegan.recipes import RECIPES


def model(**changes):
    own = {"blocks": 2, "groups": 2, "attention": True}
    architecture = {
        "kind": "vae", "network": "residual", "image_shape": (3, 16, 24), "latent_dim": 2, "latent": "map",
        "output": "centred", "init": "torch", "discriminator": {"channels": (4,)},
        "encoder": {"channels": (4, 6, 8), **own}, "decoder": {"channels": (8, 6, 4), **own},
    }  # fmt: skip
    for name, value in changes.items():
        architecture[name] = {**architecture[name], **value} if isinstance(value, dict) else value
    torch.manual_seed(0)
    made = Model.from_architecture(architecture, {"scale_factor": 0.25}).eval()
    for parameter in made.parameters():  # as if trained: nothing is one or zero
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 0.5, 0.3)
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "vaegan", "image_shape": (1, 16, 16), "discriminator": {"patch": True}},
        {part: {"blocks": 1, "attention": False} for part in ("encoder", "decoder")},
        {"encoder": {"channels": (4, 8)}, "decoder": {"channels": (8, 4)}},
    ],
)
def test_diffusers_gives_the_same(changes, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    ours = model(**changes)
    checks = export_model(ours, tmp_path / "export", ["diffusers"])
    assert [(check.part, check.form) for check in checks] == [("encoder", "diffusers"), ("decoder", "diffusers")]
    assert all(check.difference < 1e-5 for check in checks)
    theirs = diffusers.AutoencoderKL.from_pretrained(tmp_path / "export" / "diffusers").eval()
    assert theirs.config.scaling_factor == 0.25
    x = torch.rand(2, *ours.image_shape)
    with torch.no_grad():
        latent = theirs.encode(2 * x - 1).latent_dist.mode() * theirs.config.scaling_factor
        image = theirs.decode(latent / theirs.config.scaling_factor).sample / 2 + 0.5
    torch.testing.assert_close(latent, ours.latents(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(image.clamp(0, 1), ours.decode_latents(latent), atol=1e-5, rtol=1e-4)
    assert image.std() > 0.01


def test_recipes_have_the_layout_and_the_size_of_theirs(tmp_path):
    """All names and shapes, without memory for them; kl-f8 is the autoencoder of Stable Diffusion 1."""
    diffusers = pytest.importorskip("diffusers")
    from vaegan.models.published import config_of, diffusers_name

    for name in ("kl-f4", "kl-f8"):
        recipe = RECIPES[name]
        with torch.device("meta"):
            ours = Model.from_architecture({**recipe.config.model.model_dump(), "image_shape": recipe.image_shape})
            theirs = diffusers.AutoencoderKL.from_config(config_of(ours.image_shape, ours.architecture, ours.info))
        shapes = {diffusers_name(key): value.shape for key, value in ours.state_dict().items()
                  if not key.startswith("discriminator")}  # fmt: skip
        assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}


def test_without_diffusers_the_files_are_written_and_said_to_be_unchecked(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    model().save(tmp_path / "model")
    assert command("export", tmp_path / "model", "--format", "diffusers", "--out", tmp_path / "export") == 0
    captured = capsys.readouterr()
    assert captured.out.count("not checked") == 2
    assert "diffusers is not installed" in captured.out + captured.err
    folder = tmp_path / "export" / "diffusers"
    assert json.loads((folder / "config.json").read_text())["block_out_channels"] == [4, 6, 8]
    names = safetensors.torch.load_file(folder / "diffusion_pytorch_model.safetensors")
    assert names["encoder.down_blocks.1.resnets.0.conv_shortcut.weight"].shape == (6, 4, 1, 1)
    assert names["decoder.up_blocks.0.upsamplers.0.conv.weight"].shape == (8, 8, 3, 3)
    assert names["decoder.mid_block.attentions.0.to_out.0.bias"].shape == (8,)
    assert json.loads((tmp_path / "export" / "export.json").read_text())["checked"]["files"][0]["difference"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": "vector"}, "it needs residual networks whose codes are maps"),
        ({"kind": "ae"}, "it is of kind ae"),
        ({"output": "tanh"}, "its output is tanh"),
        ({"encoder": {"channels": (4, 4, 8)}}, "the decoder's channels are not the encoder's in reverse"),
        ({"encoder": {"blocks": 1}}, "encoder and decoder differ in blocks"),
        ({"image_shape": (3, 18, 24)}, "the sides of its images are not multiples of 4"),
    ],
)
def test_models_that_have_no_such_layout(changes, message, tmp_path):
    with pytest.raises(UserError, match=f"diffusers' AutoencoderKL cannot hold this model: {message}") as caught:
        export_model(model(**changes), tmp_path / "export", ["diffusers"])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_scale_factor_is_refused(tmp_path):
    """Diffusers would take the factor that is written for the model's own."""
    ours = model()
    del ours.info["scale_factor"]
    with pytest.raises(UserError, match="this model has no latent scale factor") as caught:
        export_model(ours, tmp_path / "export", ["diffusers"])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_a_user_adds_to_an_export_is_not_replaced(tmp_path):
    export_model(model(), tmp_path / "export", ["diffusers"])
    check_free_for_export(tmp_path / "export", overwrite=True)
    (tmp_path / "export/diffusers/README.md").write_text("mine")
    with pytest.raises(UserError, match=r"diffusers contains other files \(README\.md\); choose a new one"):
        check_free_for_export(tmp_path / "export", overwrite=True)
