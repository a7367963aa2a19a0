from __future__ import annotations

from vaegan.data.conditions import Conditioning
from vaegan.recipes import config_for
from vaegan.training.factories import build_model
from vaegan.training.profiling import cost_of

CONFIG = config_for("mnist-gan")  # dense layers: 100-256-512-1024-784 and 784-1024-512-256-1
DEC = 100 * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
DIS = 784 * 1024 + 1024 * 512 + 512 * 256 + 256


def test_a_gan_by_hand():
    records = [
        {"images": 1000, "images_per_second": 500.0},
        {"images": 3000, "images_per_second": 1000.0},
        {"images": 3000, "split": "test"},
    ]
    found = cost_of(build_model(CONFIG, (1, 28, 28)), CONFIG, records)
    assert (found["training_seconds"], found["images_per_second"], found["images_seen"]) == (4.0, 750.0, 3000.0)
    assert found["training_operations"] == 2 * (3 * DEC - 100 * 256 + 6 * DIS - 784 * 1024)
    assert found["sample_operations"] == 2 * DEC
    assert found["reconstruction_operations"] is None
    assert found["encoder_parameters"] is None
    assert found["decoder_parameters"] + found["discriminator_parameters"] == 2_948_113  # as in `vaegan recipes`


def test_without_a_run_only_the_model_is_known():
    found = cost_of(build_model(CONFIG, (1, 28, 28)))
    assert {name for name, value in found.items() if value is not None} == {
        "sample_operations", "decoder_parameters", "discriminator_parameters"
    }  # fmt: skip


def test_the_discriminator_of_another_run_is_counted(tmp_path):
    """VAE_Dis_l pays for the discriminator that it was given, not for one of its own settings."""
    small = {f"model.{part}.hidden": (16,) for part in ("encoder", "decoder", "discriminator")}
    build_model(config_for("mnist-mlp", {**small, "model.kind": "gan"}), (1, 28, 28)).save(tmp_path)
    config = config_for("mnist-mlp", {**small, "model.kind": "vae-dis-l", "loss.metric": tmp_path})
    wide = config_for("mnist-mlp", {**small, "model.kind": "vae-dis-l", "loss.metric": tmp_path,
                                    "model.discriminator.hidden": (512,)})  # fmt: skip
    costs = [cost_of(build_model(each, (1, 28, 28)), each)["training_operations"] for each in (config, wide)]
    assert costs[0] == costs[1] > 0


def test_a_conditional_model_costs_what_its_wider_layers_do():
    condition = Conditioning("labels", ("a", "b", "c"))
    config = config_for("mnist-mlp", {"model.condition": "labels"})
    told = build_model(config, (1, 28, 28), {"condition": condition.as_json()})
    plain = build_model(config_for("mnist-mlp"), (1, 28, 28))
    more = cost_of(told, config)["sample_operations"] - cost_of(plain)["sample_operations"]
    assert more == 2 * 3 * 1024  # three numbers more beside z, into 1024 units
    training = [cost_of(*each)["training_operations"] for each in ((plain, config_for("mnist-mlp")), (told, config))]
    assert training[0] < training[1]
