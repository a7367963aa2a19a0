"""Phases of a run: a VAE before the adversarial loss starts, the discriminator alone, then all networks."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

import vaegan
from vaegan.data import ImageData, ImageSet
from vaegan.distributed import ALONE
from vaegan.errors import UserError
from vaegan.objectives import Noise
from vaegan.objectives.interface import trainable
from vaegan.recipes import config_for
from vaegan.settings_io import with_settings
from vaegan.training import factories
from vaegan.training.health import check_discriminator

SIZE, STEPS, Z = 4, 10, 3
PHASES = {"loss.adversarial_start": 0.3, "loss.discriminator_warmup": 0.3}
SMALL = {
    "model.latent_dim": Z, "train.batch_size": SIZE, "train.images": SIZE * STEPS, "train.precision": "fp32",
    "loss.likelihood": "gaussian-learned", "model.discriminator.strides": (1, 2),
    "model.encoder.channels": (4,), "model.encoder.hidden": (8,), "model.decoder.channels": (4,),
    "model.decoder.first_channels": 4, "model.discriminator.channels": (4, 4), "model.discriminator.hidden": (8,),
    "model.discriminator.spectral_norm": True, "model.decoder.hidden": (8,), "model.decoder.dropout": 0.5,
    "loss.gamma": 2.0, "loss.kl_weight": 0.5, "loss.encoder_llike_weight": 3.0, "loss.adversarial": "hinge",
}  # fmt: skip


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
DATA = ImageData("noise", *[ImageSet(IMAGES, [str(i) for i in range(20)])] * 2, fingerprint="noise")


def trainer_of(named, *, kind="vaegan"):
    """A trainer of small networks with batch norm, spectral norm and dropout, as a session makes it."""
    config = config_for("digits", {"model.kind": kind, **SMALL, **named})
    model = factories.build_model(config, (1, 8, 8)).train()
    return factories.build_trainer(config, model, DATA, {}, ALONE, torch.device("cpu"))


def weights(trainer):
    return copy.deepcopy({name: part.state_dict() for name, part in trainer.objective.parts.items()})


def moved(before, after):
    """Of each part that changed, whether all or some of its tensors did."""
    changed = {
        name: [key for key, tensor in before[name].items() if not torch.equal(tensor, after[name][key])]
        for name in before
    }
    return {name: keys for name, keys in changed.items() if keys}


def test_in_each_phase_exactly_the_intended_parts_change():
    """Bit for bit, weights and buffers: running statistics, their counts, vectors of the spectral norm."""
    trainer = trainer_of(PHASES)
    for phase, steps, parts in (
        ("vae", 3, {"encoder", "decoder", "likelihood"}),
        ("discriminator", 3, {"discriminator"}),
        (None, 4, {"encoder", "decoder", "discriminator", "likelihood"}),
    ):
        for _ in range(steps):
            before, now = weights(trainer), trainer.phase(trainer.images)
            assert (now.name if now else None) == phase
            trainable_before = [w.requires_grad for part in trainer.objective.parts.values() for w in part.parameters()]
            step = trainer.step(record=True)
            after = moved(before, weights(trainer))
            assert after.keys() == step.gradients.keys() == step.losses.keys() | ({"likelihood"} & parts) == parts
            assert any("running_mean" in key for key in next(iter(after.values())))
            assert all(all(part.training for part in trainer.objective.parts[name].modules()) for name in before)
            assert [w.requires_grad for p in trainer.objective.parts.values() for w in p.parameters()] == (
                trainable_before
            )
            assert ("discriminator/accuracy-prior" in step.routes) == (phase != "vae")
    assert trainer.images == trainer.settings.total_images


def test_frozen_parts_stay_frozen_in_all_phases():
    config = {**PHASES, "init_from": "a-model", "train.parts": ("decoder", "discriminator")}
    trainer = trainer_of(config)
    first, changed = weights(trainer), []
    for _ in trainer.run():
        changed.append(set(moved(first, weights(trainer))))
    assert changed[0] == {"decoder", "likelihood"}
    assert changed[-1] == {"decoder", "likelihood", "discriminator"}


def test_the_gradients_before_the_adversarial_start_are_those_of_the_vae():
    """Against plain backward passes of its two sums, of the same likelihood, KL, weights and noise."""
    trainer = trainer_of({**PHASES, "model.decoder.dropout": 0.0})
    encoder, decoder, _, likelihood = trainer.objective.parts.values()
    likelihood.log_variance.data.fill_(-0.5)  # as a resumed run has it
    assert trainer.current.likelihood is trainer.objective.likelihood  # a perceptual part, too
    x, noise = trainer.network_range(trainer.batches(0)), Noise.draw(SIZE, Z, seed=0, images=0)
    ours = trainer.current.step(x, noise, kl_factor=0.25).gradients
    mu, logvar = encoder(x)
    z = mu + torch.exp(logvar / 2) * noise.eps
    variance = likelihood.log_variance.exp()
    error = (decoder(z) / 2 - x / 2).square()
    llike = (error / variance + (2 * torch.pi * variance).log()).sum() / 2 / SIZE
    kl = (mu.square() + logvar.exp() - logvar - 1).sum() / 2 / SIZE
    for part, loss in (
        ("encoder", 3 * llike + 0.5 * 0.25 * kl), ("decoder", 2 * llike), ("likelihood", llike),
    ):  # fmt: skip
        theirs = torch.autograd.grad(loss, trainable(trainer.objective.parts[part]), retain_graph=True)
        torch.testing.assert_close(ours[part], list(theirs), rtol=1e-4, atol=1e-5)


def test_the_gradients_of_the_discriminator_alone_are_its_own():
    """Against plain backward passes: encoder and decoder in evaluation mode, so without dropout."""
    trainer = trainer_of({"loss.discriminator_warmup": 0.5, "model.discriminator.spectral_norm": False})
    trainer.step()  # whose running statistics are no longer those at the start
    encoder, decoder, discriminator, _ = trainer.objective.parts.values()
    x, noise = trainer.network_range(trainer.batches(SIZE)), Noise.draw(SIZE, Z, seed=0, images=SIZE)
    encoder.eval(), decoder.eval()
    mu, logvar = encoder(x)
    fakes = decoder(mu + torch.exp(logvar / 2) * noise.eps), decoder(noise.z_p)
    losses = trainer.objective.adversarial
    terms = [losses.discriminator_loss("real", discriminator(x), noise)]
    terms += [
        losses.discriminator_loss(kind, discriminator(fake.detach()), noise)
        for kind, fake in zip(("reconstruction", "prior"), fakes, strict=True)
    ]
    theirs = torch.autograd.grad(sum(terms), trainable(discriminator))
    ours = trainer.step(keep=True).applied
    assert ours.keys() == {"discriminator"}
    torch.testing.assert_close(ours["discriminator"], list(theirs), rtol=1e-4, atol=1e-6)


def test_a_gan_has_a_discriminator_to_train_alone():
    trainer = trainer_of({"loss.discriminator_warmup": 0.4}, kind="gan")
    for images in range(0, SIZE * STEPS, SIZE):
        before = weights(trainer)
        trainer.step()
        wanted = {"discriminator"} if images < 4 * SIZE else {"decoder", "discriminator"}
        assert moved(before, weights(trainer)).keys() == wanted


def test_a_resume_within_any_phase_is_exact():
    """Also of the adapted probability of augmentation, and with a pre-training before."""
    named = PHASES | {"train.pretrain_epochs": 0.4, "loss.augment": ("colour",), "loss.augment_target": 0.6}
    whole, states = trainer_of(named), []
    assert [phase.name for phase in whole.phases] == ["ae", "vae", "discriminator"]
    for _ in whole.run():
        states.append(whole.state())
    for state in states[:-1]:
        resumed = trainer_of(named)
        resumed.restore(state)
        for _ in resumed.run():
            pass
        assert moved(weights(whole), weights(resumed)) == {}
        assert torch.equal(resumed.adaptive.p, whole.adaptive.p)
        assert resumed.steps == whole.steps == STEPS


def test_without_phases_there_is_one_objective_and_the_same_numbers():
    plain, other = trainer_of({}), trainer_of({"loss.adversarial_start": 0.0, "loss.discriminator_warmup": 0.0})
    assert plain.phases == other.phases == []
    assert plain.current is plain.objective
    for _ in zip(plain.run(), other.run(), strict=True):
        assert moved(weights(plain), weights(other)) == {}


def test_the_last_phase_is_a_run_from_where_the_others_ended():
    """Its steps are those of a trainer without phases, so schedules count all images."""
    named = {"optim.schedule": "cosine", "loss.kl_schedule": "linear", "loss.kl_epochs": 4.0}
    whole, plain = trainer_of(PHASES | named), trainer_of(named)
    while whole.phase(whole.images):
        whole.step()
    plain.restore(whole.state())
    for one, other in zip(whole.run(), plain.run(), strict=True):
        assert one.losses == other.losses
    assert moved(weights(whole), weights(plain)) == {}


def test_the_gate_waits_and_r1_works_for_the_discriminator_alone():
    """A gate that is always closed to the discriminator does not stop its own phase."""
    named = {"loss.gate": True, "loss.gate_equilibrium": 50.0, "loss.r1_weight": 1.0, "loss.r1_every": 1}
    trainer = trainer_of(PHASES | named)
    for record in trainer.run():
        phase = trainer.phase(record.images - SIZE)
        assert record.skipped == (set() if phase else {"discriminator"})
        assert ("discriminator/r1" in record.routes) == (phase is None or phase.name == "discriminator")


def test_health_does_not_judge_a_discriminator_that_trains_alone():
    routes = {"discriminator/accuracy-prior": 1.0, "discriminator/logit-real": 9.0, "discriminator/logit-prior": -9.0}
    window = [{"images": 9000, "split": "train", "losses": {}, "routes": routes, "phase": "vaegan"}]
    assert check_discriminator(window, []).state == "unhealthy"
    assert check_discriminator([window[0] | {"phase": "discriminator"}], []) is None


PIXELS = {"loss.likelihood": "laplace"}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"loss.adversarial_start": 0.5},
            "--loss.likelihood feature needs a discriminator, untrained before --loss.adversarial-start; choose",
        ),
        (
            {"loss.adversarial_start": 0.5, "loss.discriminator_warmup": 0.5, **PIXELS},
            "are 100% of the run and leave nothing",
        ),
        ({"loss.adversarial_start": 1.0}, "must be less than 1"),
        (
            {"train.parts": ("decoder",), "init_from": "a", "loss.discriminator_warmup": 0.1},
            "--loss.discriminator-warmup needs the discriminator in training; add it to --train.parts, or set",
        ),
        (
            {"train.parts": ("decoder",), "init_from": "a", "loss.adversarial_start": 0.1, **PIXELS},
            "--loss.adversarial-start needs the discriminator in training",
        ),
        (
            {"train.parts": ("discriminator",), "init_from": "a", "loss.adversarial_start": 0.1, **PIXELS},
            "--train.parts discriminator leaves nothing to train before --loss.adversarial-start",
        ),
        ({"model.kind": "gan", "loss.adversarial_start": 0.1}, "--loss.adversarial-start has no effect on a GAN"),
        ({"model.kind": "vae", "loss.discriminator_warmup": 0.1}, "--loss.discriminator-warmup has no effect on a VAE"),
    ],
)
def test_contradictions_are_refused(named, message):
    with pytest.raises(UserError, match=message) as caught:
        config_for("digits", named)
    assert "\n" not in str(caught.value)


def test_another_kind_of_model_leaves_the_phases_out():
    config = config_for("digits", PHASES | PIXELS)
    assert with_settings(config, {"model.kind": "vae"}).loss.discriminator_warmup == 0
    gan = with_settings(config, {"model.kind": "gan"}).loss
    assert (gan.adversarial_start, gan.discriminator_warmup) == (0, 0.3)


def test_a_run_too_short_for_its_phases_is_refused():
    with pytest.raises(UserError, match=r"the run has 2 steps, and none is left to train all networks together"):
        trainer_of({"loss.adversarial_start": 0.1, "loss.discriminator_warmup": 0.1, "train.images": 2 * SIZE})


def test_it_is_refused_before_a_network_is_trained_for_the_losses(command, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(factories, "open_frozen", None)
    words = [*tiny, "--loss.likelihood", "laplace", "--loss.perceptual", "auto", "--loss.discriminator-warmup", "0.9"]
    assert command("train", "digits", *words, "--train.images", 32, "--out", tmp_path / "run") == 2
    assert "the run has 2 steps, and none is left to train all networks together; train" in capsys.readouterr().err


def test_records_log_and_card_name_the_phases(command, tiny, tmp_path, capsys):
    words = [*tiny, "--loss.likelihood", "laplace", "--loss.adversarial-start", "0.25", "--optim.ema", "0.9"]
    words += ["--loss.discriminator-warmup", "0.25", "--train.log-images", "1000", "--train.images", "128"]
    assert command("train", *words, "--out", tmp_path / "run") == 0
    said = capsys.readouterr().out.splitlines()
    line = "training a VAE up to 32 images, the discriminator alone up to 64 images, then a VAE/GAN"
    steps = ["32 images: now training the discriminator alone", "64 images: now training a VAE/GAN"]
    assert [text for text in said if "training a" in text or "now training" in text] == [line, *steps]
    records = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in records if record["split"] == "train"]
    assert [(r["images"], r["phase"]) for r in train] == [
        (32, "vae"), (64, "discriminator"), (112, "vaegan"), (128, "vaegan"),
    ]  # fmt: skip
    assert [set(r["losses"]) for r in train[:2]] == [{"encoder", "decoder"}, {"discriminator"}]
    assert set(train[0]["losses"]["encoder"]) == {"kl", "llike", "total"}
    assert command("report", tmp_path / "run", "--out", tmp_path / "report.html") == 0
    page = (tmp_path / "report.html").read_text()
    assert "At 32 images the phase changes to discriminator alone: losses of different phases" in page
    vaegan.load(tmp_path / "run").save_pretrained(tmp_path / "card")
    card = (tmp_path / "card" / "README.md").read_text()
    assert "| adversarial loss | from 25% of the run on; until then a VAE |" in card
    assert "| discriminator alone | 25% of the run |" in card
    assert command("train", *words[:-1], "256", "--out", tmp_path / "run") == 0
    assert "phases that are shares" not in capsys.readouterr().err  # all phases are over


def test_a_longer_run_within_its_phases_says_that_they_move(command, tiny, tmp_path, capsys):
    words = [*tiny, "--loss.discriminator-warmup", "0.5", "--out", tmp_path / "run"]
    assert command("train", *words, "--train.images", "32") == 0
    assert command("train", *words, "--train.images", "128") == 0
    assert "the run length changed from 32 to 128 images, so phases set as a fraction" in capsys.readouterr().err
