"""Exported parts, run by what others run them with, give what the model gives."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch
from torch import nn

from vaegan.data.conditions import Conditioning
from vaegan.errors import UserError
from vaegan.exporting import FORMATS, export_model, largest_difference
from vaegan.exporting.graphs import GRAPHS, plain
from vaegan.models import Model, load
from vaegan.priors.gaussian import Gaussian
from vaegan.recipes import RECIPES
from vaegan.settings_io import with_settings
from vaegan.training.factories import build_model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.usefixtures("onnx_registry")

LABELS = Conditioning("labels", ("a", "b", "c"))
ATTRIBUTES = Conditioning("attributes", ("tall", "old"), (0.5, 2.0), (0.5, 1.5), (0.5, 2.0), ((0.0, 1.0), (1.0, 4.0)))


def tiny(kind, network, shape, output, condition=None, *, every=(), encoder=(), decoder=(), discriminator=()):
    """A model with small networks of which the parts' settings are these, and its weights as if trained."""
    layers = {"hidden": (9,)} if network == "mlp" else {"channels": (8, 12), "hidden": (9,)}
    own = {"encoder": encoder, "decoder": decoder, "discriminator": discriminator}
    architecture = {
        "kind": kind,
        "network": network,
        "image_shape": shape,
        "latent_dim": 5,
        "output": output,
        "init": "torch",
        "condition": "none" if condition is None else condition.kind,
        "condition_dim": 0 if condition is None else len(condition.names),
        **{part: {**layers, **dict(every), **dict(own[part])} for part in own},
    }
    info = {} if condition is None else {"condition": condition.as_json()}
    torch.manual_seed(0)
    return lively(Model.from_architecture(architecture, info))


def lively(model):
    """Give weights and statistics the sizes of a trained model's: first weights hardly let anything through."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.normal_(parameter, 0.3, 0.3)
    c = model.condition_in_turn(8)
    given = () if c is None else (c,)
    model.train()
    with torch.no_grad():
        for _ in range(2):  # running statistics, singular vectors
            for name, part in model.parts.items():
                part(
                    torch.randn(8, model.latent_dim) if name == "decoder" else model.to_network(images(model, 8)),
                    *given,
                )
    return model.eval()


def images(model, num):
    return torch.rand(num, *model.image_shape)


MODELS = {
    "conv-batch-narrow": lambda: tiny("vaegan", "conv", (3, 12, 12), "tanh", discriminator={"strides": (1, 2)}),
    "conv-odd-group": lambda: tiny(
        "vae", "conv", (1, 9, 7), "linear", every={"norm": "group", "activation": "gelu", "order": "activation-first"}
    ),
    "conv-told-spectral": lambda: tiny(
        "vae-dis-l", "conv", (1, 8, 8), "sigmoid", LABELS,
        every={"norm": "layer", "activation": "leaky", "kernel": 4},
        discriminator={"spectral_norm": True, "minibatch_features": 3, "norm": "none", "kernel": 5},
    ),
    "conv-map": lambda: lively(
        Model.from_architecture(
            {
                "kind": "vae", "network": "conv", "image_shape": (1, 8, 12), "latent_dim": 2, "latent": "map",
                "output": "tanh", "init": "paper", "discriminator": {},
                "encoder": {"channels": (4, 6)}, "decoder": {"channels": (6, 4), "first_channels": 5},
            }
        )
    ),
    "residual-map-patches": lambda: lively(
        Model.from_architecture(
            {
                "kind": "vaegan", "network": "residual", "image_shape": (3, 16, 8), "latent_dim": 2, "latent": "map",
                "output": "centred", "init": "torch", "discriminator": {"channels": (4,), "patch": True},
                "encoder": {"channels": (4, 6), "groups": 2}, "decoder": {"channels": (6, 4), "groups": 2},
            }
        )
    ),
    "mlp-ae": lambda: tiny("ae", "mlp", (1, 6, 6), "sigmoid", every={"norm": "layer", "activation": "elu"}),
    "mlp-gan-told": lambda: tiny(
        "gan", "mlp", (1, 6, 6), "tanh", ATTRIBUTES, every={"dropout": 0.5},
        discriminator={"minibatch_features": 3, "spectral_norm": True},
    ),
}  # fmt: skip


def outputs_of_model(model, part, x, c):
    if part == "encoder":
        return [model.encode(x, condition=c)] if model.kind == "ae" else list(model.posterior(x, condition=c))
    return [(model.decode if part == "decoder" else model.discriminate)(x, condition=c)]


def check_files(model, folder, described):
    """Run each file by the library it is for, by the names and the order that export.json tells."""
    torch.manual_seed(2)
    for part, ports in described["parts"].items():
        session = onnxruntime.InferenceSession(folder / f"{part}.onnx")
        graph = torch.export.load(folder / f"{part}.pt2").module()
        names = [port["name"] for port in ports["inputs"]]
        assert {port.shape[0] for port in (*session.get_inputs(), *session.get_outputs())} == {"batch"}
        for num in (1, 4):
            x = torch.randn(num, model.latent_dim) if part == "decoder" else images(model, num)
            inputs = [x, *([] if model.conditioning is None else [model.condition_in_turn(num)])]
            wanted = outputs_of_model(model, part, *(*inputs, None)[:2])
            arrays = dict(zip(names, (each.numpy() for each in inputs), strict=True))
            of_onnx = session.run([port["name"] for port in ports["outputs"]], arrays)
            of_torch = graph(*inputs)
            of_torch = of_torch if isinstance(of_torch, tuple) else (of_torch,)
            for values, onnx, program, port in zip(wanted, of_onnx, of_torch, ports["outputs"], strict=True):
                assert list(values.shape) == [num, *port["shape"][1:]]
                assert num == 1 or values.std() > 0.01
                torch.testing.assert_close(torch.from_numpy(onnx), values, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(program, values, atol=1e-4, rtol=1e-4)
                if "range" in port:
                    assert onnx.min() >= 0.0
                    assert onnx.max() <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_files_give_what_the_model_gives(name, tmp_path):
    model = MODELS[name]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folder = tmp_path / "export"
    checks = export_model(model, folder)
    described = json.loads((folder / "export.json").read_text())
    check_files(model, folder, described)
    assert {(check.part, check.form) for check in checks} == {(part, form) for part in model.parts for form in FORMATS}
    assert all(check.difference < 1e-4 for check in checks)
    assert {check["file"] for check in described["checked"]["files"]} | {"config.json", "export.json"} == {
        path.name for path in folder.iterdir()
    }
    told = None if model.conditioning is None else model.conditioning.names
    assert told == (described["condition"] and tuple(described["condition"]["names"]))
    after = load(folder).state_dict()
    assert list(before) == list(model.state_dict()) == list(after)
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def recipe_model(name):
    """An untrained model of a recipe, with smaller images and widths where its layers stay the same."""
    channels, side, _ = RECIPES[name].image_shape
    side = 16 if side in (32, 64, 128, 256) else side
    config = RECIPES[name].config
    if config.model.encoder.channels[:1] == (128,):  # kl-f4 and the like: an eighth of the width
        parts = ("encoder", "decoder")
        widths = {f"model.{p}.channels": [w // 8 for w in getattr(config.model, p).channels] for p in parts}
        config = with_settings(config, {**widths, **{f"model.{p}.groups": 4 for p in parts}})
    return build_model(config, (channels, side, side))


def kinds_of_layers(part):
    """The classes of a part's modules; of layers also the settings, but no widths."""
    return {
        type(module).__name__
        if list(module.children())
        else re.sub(r"\b(in|out)_features=\d+, |(?<=\()(\d+, )+", "", repr(module))
        for module in part.modules()
    }


@pytest.fixture(scope="module")
def exported():
    """Few pairs of recipe and part with all kinds of layers that `MODELS` lacks: always that with most for its size."""
    kinds = {}
    for name in RECIPES:
        with torch.device("meta"):
            model = recipe_model(name)
        kinds |= {(name, part): kinds_of_layers(network) for part, network in model.parts.items()}
    done = (kinds_of_layers(network) for make in MODELS.values() for network in make().parts.values())
    chosen, missing = [], set().union(*kinds.values()).difference(*done)
    while missing:
        chosen.append(max(kinds, key=lambda pair: len(kinds[pair] & missing) / (8 + len(kinds[pair]))))
        missing -= kinds[chosen[-1]]
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_exported(name, exported, tmp_path):
    """Every kind of layer of every recipe is exported, in one of the parts that have it or in one of `MODELS`."""
    new = {part for recipe, part in exported if recipe == name}
    if not new:  # others have all its kinds
        return
    model = lively(recipe_model(name))
    for part in set(model.parts) - new:
        setattr(model, part, None)
    checks = export_model(model, tmp_path / "export", ["onnx", "torch"])
    assert {(check.part, check.form) for check in checks} == {(p, form) for p in new for form in GRAPHS}
    most = 1e-5
    assert all(check.difference < most for check in checks)
    for part in new:
        x = torch.randn(4, model.latent_dim) if part == "decoder" else images(model, 4)
        outputs = outputs_of_model(model, part, x, None)
        assert all(values.std(0).mean() > 20 * most for values in outputs), "nothing to compare"


def test_the_graph_holds_plain_layers_and_the_model_keeps_its_own():
    model = MODELS["conv-told-spectral"]()
    network = plain(model.discriminator.to(memory_format=torch.channels_last))
    kinds = {
        type(module).__module__.split(".")[0]
        for module in network.modules()
        if "weight" in dict(module.named_parameters(recurse=False))
    }
    assert kinds == {"torch"}
    assert not any("parametrizations" in key for key in network.state_dict())
    assert any("parametrizations" in key for key in model.state_dict())
    assert all(weight.is_contiguous() for weight in network.parameters())
    x = images(model, 3)
    c = model.condition_in_turn(3)
    with torch.no_grad():
        torch.testing.assert_close(network(x, c), model.discriminate(x, condition=c), atol=1e-5, rtol=1e-5)


def test_priors_come_along(tmp_path):
    model = MODELS["mlp-ae"]()
    model.priors = {"gaussian": Gaussian(torch.ones(5), torch.eye(5), torch.full((5,), 2.0))}
    model.info["default_prior"] = "gaussian"
    checks = export_model(model, tmp_path / "one", ["safetensors"])
    assert [check.difference for check in checks] == [0.0, 0.0]
    assert torch.equal(load(tmp_path / "one").sample(3), model.sample(3))
    assert not list((tmp_path / "one").glob("*.onnx"))
    assert json.loads((tmp_path / "one/export.json").read_text())["default_prior"] == "gaussian"


class Encoder(nn.Sequential):
    def forward(self, x):
        return super().forward(x).chunk(2, dim=1)


class Undecided(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :2] if x.sum() > 0 else x.flatten(1)[:, 2:4]


def user_made(encoder):
    return Model(encoder=encoder, kind="vae", image_shape=(1, 4, 4), latent_dim=2, image_range=(0.0, 1.0))


def test_networks_of_ones_own(tmp_path):
    model = user_made(Encoder(nn.Flatten(), nn.Linear(16, 4)))
    checks = export_model(model, tmp_path / "one")
    assert [(check.part, check.form) for check in checks] == [("encoder", form) for form in FORMATS]
    with pytest.raises(UserError, match="the encoder cannot be exported as a graph: "):
        export_model(user_made(Undecided()), tmp_path / "two", ["torch"])
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_difference_too_large_is_an_error_and_leaves_what_was_there(tmp_path, monkeypatch):
    model = MODELS["mlp-ae"]()
    folder = tmp_path / "export"
    export_model(model, folder, ["torch"])
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    def shifted(path):
        run = GRAPHS["torch"].read(path)
        return lambda *inputs: tuple(each + 0.02 for each in run(*inputs))

    monkeypatch.setitem(GRAPHS, "onnx", GRAPHS["torch"]._replace(read=shifted))
    with pytest.raises(
        UserError, match=r"the encoder as onnx differs from the model by \d\.\de-0\d, more than 0\.0001"
    ):
        export_model(model, folder, ["onnx"], overwrite=True)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="the encoder as torch differs from the model by inf"):
        export_model(model, tmp_path / "two", ["torch"])
    assert list(tmp_path.iterdir()) == [folder]


def test_differences_by_hand():
    wanted = torch.tensor([[100.0, -200.0], [1.0, 2.0]])
    assert largest_difference(wanted, wanted + torch.tensor([[0.0, 0.5], [0.25, 0.0]])) == pytest.approx(0.5 / 200)
    assert largest_difference(wanted / 1000, wanted / 1000 - 0.25) == pytest.approx(0.25)
    assert largest_difference(wanted, wanted[:1]) == float("inf")
    assert largest_difference(wanted, wanted / 0) == float("inf")


def saved(folder):
    MODELS["mlp-ae"]().save(folder)
    return folder


def test_command(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vaegan.cli._LONG", float("inf"))  # no line on how long it took
    run = saved(tmp_path / "run")
    assert command("export", run) == 0
    captured = capsys.readouterr()
    begun, *rows, told = [line.split() for line in captured.out.splitlines()]
    assert " ".join(begun) == "exporting encoder, decoder as safetensors, onnx, torch"
    assert [row[:3] for row in rows[1:]] == [
        ["encoder", "safetensors", "model.safetensors"],
        ["decoder", "safetensors", "model.safetensors"],
        ["encoder", "onnx", "encoder.onnx"],
        ["encoder", "torch", "encoder.pt2"],
        ["decoder", "onnx", "decoder.onnx"],
        ["decoder", "torch", "decoder.pt2"],
    ]
    assert all(float(row[3]) < 1e-4 for row in rows[1:])
    assert " ".join(told) == f"5 files, checked against the model: {run / 'export'}"
    assert captured.err == "", "the exporters talk"
    assert command("export", run, "--format", "torch") == 0, "what nobody named a place for is replaced"
    removed = "config.json, decoder.onnx, encoder.onnx, model.safetensors"
    assert f"files of the earlier export are removed: {removed}\n" in capsys.readouterr().out
    assert command("export", run, "--format", "torch") == 0
    assert "removed" not in capsys.readouterr().out
    assert sorted(path.name for path in (run / "export").iterdir()) == ["decoder.pt2", "encoder.pt2", "export.json"]
    assert load(run).kind == "ae"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "tflite"], "tflite"),
        (["--format", ""], "no format to export; name some of safetensors, onnx, torch"),
        (["--out", "{full}"], "contains other files (mine.txt); choose a new one"),
        (["--out", "{full}", "--overwrite", "true"], "contains other files (mine.txt)"),
        (["--out", "{mixed}", "--overwrite", "true"], "contains other files (mine.txt)"),
        (["--out", "{file}"], "is a file; name a folder"),
        (["--out", "{file}/below"], "cannot write"),
        (["--out", "{earlier}"], "exists; choose another name or allow it to be replaced (--overwrite)"),
    ],
)
def test_mistakes_are_told_in_one_line(command, tmp_path, capsys, words, told):
    run = saved(tmp_path / "run")
    places = {name: tmp_path / name for name in ("full", "file", "earlier", "mixed")}
    for name in ("full", "earlier", "mixed"):
        places[name].mkdir()
        if name != "earlier":
            (places[name] / "mine.txt").touch()
        if name != "full":
            (places[name] / "export.json").write_text('{"vaegan": "0.1.0"}')
    places["file"].touch()
    there = sorted(tmp_path.rglob("*"))
    assert command("export", run, *(word.format(**places) for word in words)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == there


def test_a_missing_extra_is_named(command, tmp_path, capsys, monkeypatch):
    run = saved(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert command("export", run) == 2
    assert "ONNX needs onnxruntime: pip install 'vaegan[onnx]', or --format" in capsys.readouterr().err
    assert not (run / "export").exists()
    assert command("export", run, "--format", "safetensors,torch") == 0
