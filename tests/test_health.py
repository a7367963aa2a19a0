"""Checks on histories made up for each sickness, and on real trainings forced into it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vaegan.pages.run_sections import CHECK_WORDS
from vaegan.settings_io import setting_names
from vaegan.training.health import CHECKS, Finding, HealthMonitor, examine

ROUTES = {
    "decoder/llike": 0.3,
    "decoder/adversarial-reconstruction": 0.3,
    "decoder/adversarial-prior": 0.4,
    "discriminator/logit-real": 0.5,
    "discriminator/logit-reconstruction": -0.5,
    "discriminator/logit-prior": -1.0,
    "discriminator/accuracy-reconstruction": 0.7,
    "discriminator/accuracy-prior": 0.8,
}
WEIGHTS = {"encoder": 10.0, "decoder": 20.0, "discriminator": 5.0}


def window(images: int = 5000, kl_factors: tuple[float, float] = (1.0, 1.0), **routes: float) -> list[dict[str, Any]]:
    """Two records, the first with routes lower by 1 part in 10 and the second higher: the mean counts."""
    changed = ROUTES | {name.replace("__", "/").replace("_", "-"): value for name, value in routes.items()}
    return [
        {
            "images": images,
            "split": "train",
            "losses": {"encoder": {"kl": 9.0}},
            "routes": {name: value * scale for name, value in changed.items()},
            "kl_factor": factor,
        }
        for scale, factor in zip((0.9, 1.1), kl_factors, strict=True)
    ]


def snapshots(**figures: Any) -> list[dict[str, Any]]:
    """Start, a snapshot, and one that has these figures."""
    healthy = {
        "weights": WEIGHTS,
        "units": {"kl": 30.0, "dead": 2, "of": 20},
        "labels": {"0": [90, 100], "1": [110, 100]},
    }
    return [
        {"images": 0, "split": "start", "weights": WEIGHTS},
        {"images": 4000, "split": "test", **healthy},
        {"images": 5000, "split": "test", **healthy, **figures},
    ]


def grown(part: str, times: float) -> dict[str, float]:
    return WEIGHTS | {part: WEIGHTS[part] * times}


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.state for finding in findings}


def test_all_is_well() -> None:
    found = examine(window(), snapshots())
    assert states(found) == dict.fromkeys(["discriminator", "kl", "units", "routes", "modes", "weights"], "ok")
    assert not any(finding.remedy for finding in found)
    assert [finding.sentence for finding in found] == [
        "the discriminator distinguishes 70.0% of reconstructions and 80.0% of samples from real images, "
        "logits 1 apart",
        "the KL of held-out images is 30 nats",
        "2 of 20 dimensions of the code are inactive",
        "at the decoder, the gradient of gamma L_llike is 0.6 times that of L_adv",  # 0.3 / hypot(0.3, 0.4)
        "the rarest label among samples is 0, 0.9 times as frequent as in the data",
        "the weight norm of the encoder is 1 times that at the start",
    ]


SURE = {"discriminator__accuracy_prior": 0.999, "discriminator__accuracy_reconstruction": 0.998}
FAR = {
    "discriminator__logit_real": 5.0,
    "discriminator__logit_prior": -9.0,
    "discriminator__logit_reconstruction": -6.0,
}
SICK = [
    ("discriminator", "warning", window(**SURE), {}, "too strong"),
    ("discriminator", "unhealthy", window(**SURE, **FAR), {}, "too strong"),
    ("discriminator", "ok", window(**SURE | {"discriminator__accuracy_prior": 0.9}), {}, "distinguishes"),
    ("discriminator", "warning", window(
        discriminator__accuracy_prior=0.5, discriminator__accuracy_reconstruction=0.4), {}, "near or below chance"),
    ("discriminator", "unhealthy", window(
        discriminator__accuracy_prior=0.3, discriminator__accuracy_reconstruction=0.2), {}, "near or below chance"),
    ("kl", "warning", window(), {"units": {"kl": 0.5, "dead": 0, "of": 20}}, "hardly uses the code"),
    ("kl", "unhealthy", window(), {"units": {"kl": 0.05, "dead": 0, "of": 20}}, "hardly uses the code"),
    ("kl", "warning", window(), {"units": {"kl": 120.0, "dead": 0, "of": 20}}, "6 per dimension"),
    ("kl", "unhealthy", window(), {"units": {"kl": 220.0, "dead": 0, "of": 20}}, "11 per dimension"),
    ("kl", "ok", window(kl_factors=(0.1, 0.2)), {"units": {"kl": 220.0, "dead": 0, "of": 20}}, "220 nats"),
    ("units", "ok", window(), {"units": {"kl": 30.0, "dead": 10, "of": 20}}, "10 of 20"),
    ("units", "warning", window(), {"units": {"kl": 30.0, "dead": 11, "of": 20}}, "11 of 20"),
    ("units", "unhealthy", window(), {"units": {"kl": 30.0, "dead": 19, "of": 20}}, "19 of 20"),
    ("routes", "warning", window(decoder__llike=0.004), {}, "reconstruction has no effect on it"),
    ("routes", "unhealthy", window(decoder__llike=0.0004), {}, "reconstruction has no effect on it"),
    ("routes", "warning", window(decoder__llike=60.0), {}, "the discriminator has no effect on it"),
    ("routes", "unhealthy", window(decoder__llike=600.0), {}, "the discriminator has no effect on it"),
    ("modes", "warning", window(), {"labels": {"0": [45, 100], "1": [155, 100]}}, "rarest label among samples is 0"),
    ("modes", "unhealthy", window(), {"labels": {"a": [9, 100], "b": [191, 100]}}, "no samples have the label a"),
    ("modes", "ok", window(), {"labels": {"0": [0, 1], "1": [200, 100]}}, "is 1"),  # 2 expected: too few to say
    ("weights", "warning", window(), {"weights": grown("decoder", 4)}, "weight norm of the decoder is 4 times"),
    ("weights", "unhealthy", window(), {"weights": grown("discriminator", 11)}, "of the discriminator is 11 times"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "state", "of_window", "figures", "words"), SICK)
def test_a_sickness_is_named(check, state, of_window, figures, words) -> None:
    found = {finding.check: finding for finding in examine(of_window, snapshots(**figures))}
    assert found[check].state == state
    assert words in found[check].sentence
    assert bool(found[check].remedy) == (state != "ok")
    others = {name: finding.state for name, finding in found.items() if name not in (check, "kl", "units")}
    assert set(others.values()) == {"ok"}


def test_remedies_name_settings_that_there_are() -> None:
    names = {f"--{name.replace('_', '-')}" for name in setting_names()}
    for check, state, of_window, figures, _ in SICK:
        found = {finding.check: finding for finding in examine(of_window, snapshots(**figures))}
        words = found[check].remedy.replace(",", " ").replace(")", " ").replace("(", " ").split()
        named = {word for word in words if word.startswith("--")}
        assert named <= names
        assert named or state == "ok"


def test_near_chance_only_settings_that_the_run_has_are_named() -> None:
    lost = window(discriminator__accuracy_prior=0.5, discriminator__accuracy_reconstruction=0.4)
    balanced = [record | {"routes": record["routes"] | {"decoder/balance": 3.0}} for record in lost]
    alone = [record | {"routes": dict(record["routes"])} for record in lost]
    for record in alone:  # a GAN
        del record["routes"]["decoder/llike"], record["routes"]["discriminator/accuracy-reconstruction"]
    remedies = [examine(records, snapshots())[0].remedy for records in (lost, balanced, alone)]
    raised = "raise --optim.discriminator-lr"
    assert remedies == [f"{raised}, or lower --loss.adversarial-weight", f"{raised}, or lower --loss.balance", raised]


def test_growth_in_all_and_before_the_first_snapshot() -> None:
    start, *_, last = snapshots(weights=grown("encoder", 8))
    found = states(examine(window(), [start, last]))
    assert found["weights"] == "ok"  # the first interval may be long
    start, *_, last = snapshots(weights=grown("encoder", 12))
    assert states(examine(window(), [start, last]))["weights"] == "warning"
    before = last | {"images": 4500}
    assert states(examine(window(), [start, before, last]))["weights"] == "warning"
    last["weights"] = before["weights"] = grown("encoder", 101)
    assert states(examine(window(), [start, before, last]))["weights"] == "unhealthy"


def test_a_learned_variance_that_begins_at_nothing_is_no_weight() -> None:
    start, before, last = ({**record} for record in snapshots())
    start["weights"] = start["weights"] | {"likelihood": 0.0}
    before["weights"] = last["weights"] = before["weights"] | {"likelihood": 3.0}
    assert states(examine(window(), [start, before, last]))["weights"] == "ok"


def test_nothing_is_said_of_the_first_images_or_of_parts_that_are_not_there() -> None:
    assert examine(window(images=999), snapshots()) == []
    assert examine(window(images=8999), snapshots(), phase_start=4000) == []
    assert examine(window(images=9000), snapshots(), phase_start=4000) != []
    # Records of another phase, and the first of this one, are left out of the means.
    early = 20 * window(images=2000, **SURE) + 20 * window(images=6900, **SURE)
    assert states(examine([*early, *window(images=7000)], snapshots(), phase_start=2000))["discriminator"] == "ok"
    assert states(examine([*early, *window(images=7000)], snapshots()))["discriminator"] != "ok"
    assert examine([], snapshots()) == []
    bare = [{"images": 2000, "split": "train", "losses": {"encoder": {"llike": 1.0}}, "routes": {}}]
    assert examine(bare, [{"images": 2000, "split": "test", "units": {"kl": 0.0, "dead": 20, "of": 20}}]) == []
    off = window(decoder__adversarial_prior=0.0, decoder__adversarial_reconstruction=0.0)
    assert "routes" not in states(examine(off, snapshots()))
    assert len(CHECKS) == 6


@pytest.fixture(scope="module")
def long_tiny(tiny):
    """Words of a tiny training that sees enough images to be judged, in two snapshots."""
    return [*tiny, "--train.epochs", "12", "--train.snapshot-epochs", "6", "--train.log-images", "128"]


NO_DISCRIMINATOR = ["--model.discriminator.channels", "none", "--model.discriminator.hidden", "none"]
PIXELS = ["--model.kind", "vae", *NO_DISCRIMINATOR, "--loss.likelihood", "gaussian", "--optim.lr", "0.003"]
PLAIN = ["--model.discriminator.norm", "none"]
FORCED = [
    ({"kl", "units"}, ["--loss.kl-weight", "1000"]),
    ({"kl"}, [*PIXELS, "--loss.pixel-variance", "0.00001", "--loss.kl-weight", "0", "--optim.encoder-lr", "0.1"]),
    ({"routes"}, ["--loss.gamma", "1e-9"]),
    ({"routes"}, ["--loss.gamma", "1e9"]),
    ({"discriminator"}, ["--optim.discriminator-lr", "0.003", "--optim.decoder-lr", "1e-9", *PLAIN]),
    ({"weights"}, ["--optim.discriminator-lr", "5"]),
]  # fmt: skip


@pytest.mark.parametrize(("checks", "words"), FORCED)
def test_a_real_training_forced_into_it(checks, words, command, long_tiny, tmp_path, capsys) -> None:
    assert command("train", *long_tiny, *words, "--out", tmp_path) == 0
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    unhealthy = {finding["check"] for finding in records[-1]["health"] if finding["state"] != "ok"}
    assert checks <= unhealthy
    named = [
        line.split(": ")[2] for line in capsys.readouterr().err.splitlines() if line.startswith("vaegan: health: ")
    ]
    assert {CHECK_WORDS[check] for check in unhealthy} <= set(named)


def test_a_quiet_training_says_nothing(command, long_tiny, tmp_path, capsys) -> None:
    assert command("train", *long_tiny, *PIXELS, "--loss.pixel-variance", "0.01", "--out", tmp_path) == 0
    assert capsys.readouterr().err == ""


def test_a_new_phase_gets_its_own_grace(caplog: pytest.LogCaptureFixture) -> None:
    """From the last record of the phase before; also where the monitor reads the records of a run that resumes."""
    chance = {f"discriminator__accuracy_{fakes}": 0.5 for fakes in ("prior", "reconstruction")}

    def train(images: int, phase: str) -> dict[str, Any]:
        return {**window(images, **chance)[0], "phase": phase}

    first = [{"images": 0, "split": "start", "weights": WEIGHTS}, train(4000, "ae")]
    snapshot = snapshots()[-1]
    resumed = [*first, train(4100, "vaegan"), {**snapshot, "health": []}]
    for images, found in ((8999, False), (9000, True)):
        for monitor in (HealthMonitor(first), HealthMonitor(resumed)):
            monitor.add(train(images, "vaegan"))
            assert ("discriminator" in {finding["check"] for finding in monitor.check(snapshot)}) == found
