"""Health checks of a training, made at each snapshot from the records of metrics.jsonl.

A check is a pure function of the records since the previous snapshot (a *window*) and of the snapshots themselves. It
returns 'ok', 'warning' or 'unhealthy' and which setting to change; None where it does not
apply, such as the discriminator's for a VAE. The first `FIRST_IMAGES` images are not judged: freshly initialised
weights seem unhealthy in every way; nor are `AFTER_SWITCH` images after a phase.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from ..data import ImageSet
from ..losses import kl_per_dimension
from ..models import Model
from ..pages.run_sections import CHECK_WORDS, state_of
from ..settings import PARTS
from .loop import Trainer

log = logging.getLogger("vaegan")

State = Literal["ok", "warning", "unhealthy"]
Records = Sequence[Mapping[str, Any]]
FIRST_IMAGES = 1000
AFTER_SWITCH = 5000
"""Images after a phase that are not judged: after pre-training a fresh discriminator meets a trained decoder, and is
below chance at first (fakes it got right, 32x32 images: 38 % after 1,600 images, 42 % after 1,900)."""
INACTIVE_NATS = 0.01
"""A dimension of the code with a lower KL carries no information: it distinguishes e^0.01 = 1.01 kinds of images."""


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        check: name of the check.
        state: 'ok', 'warning' or 'unhealthy'.
        sentence: what was measured.
        remedy: which setting to change; empty if the state is 'ok'.
    """

    check: str
    state: State
    sentence: str
    remedy: str = ""


def examine(window: Records, snapshots: Records, phase_start: int = 0) -> list[Finding]:
    """Run all checks that apply.

    Args:
        window: records of split 'train' since the snapshot before the last.
        snapshots: records of split 'start' and 'test'; the last one is checked.
        phase_start: images seen when the phase of the last record began.
    """
    if phase_start:
        window = [record for record in window if record["images"] >= phase_start + AFTER_SWITCH]
    if not window or window[-1]["images"] < FIRST_IMAGES:
        return []
    return [finding for check in CHECKS if (finding := check(window, snapshots)) is not None]


def check_discriminator(window: Records, snapshots: Records) -> Finding | None:
    """Whether discriminator and decoder are balanced: the share of pairs of real and fake that Dis gets right.

    Above 0.98 for both kinds of fakes hardly any image fools it; above 0.995 with logits 8 nats apart the minimax
    gradient that reaches the decoder, D(x_p), is down to a few hundredths. Below 0.52 for both it is no better than
    chance (means of 50 records of 64 images have an error of 0.01), below 0.4 worse than chance.
    """
    if window[-1].get("phase") == "discriminator":  # alone, nothing learns from it yet
        return None
    accuracy = _means(window, "discriminator/accuracy-")
    logits = _means(window, "discriminator/logit-")
    if not accuracy:
        return None
    gap = logits["real"] - max(logits[fakes] for fakes in accuracy)
    shares = " and ".join(f"{share:.1%} of {_FAKES[fakes]}" for fakes, share in accuracy.items())
    sentence = f"the discriminator distinguishes {shares} from real images, logits {gap:.2g} apart"
    if min(accuracy.values()) > 0.98:
        state: State = "unhealthy" if min(accuracy.values()) > 0.995 and gap > 8 else "warning"
        remedy = "lower --optim.discriminator-lr, or raise --loss.r1-weight or --loss.label-smoothing"
        return Finding("discriminator", state, f"{sentence}: it is too strong for the decoder to learn from", remedy)
    if max(accuracy.values()) < 0.52:
        state = "unhealthy" if max(accuracy.values()) < 0.4 else "warning"
        at_decoder, remedy = _means(window, "decoder/"), "raise --optim.discriminator-lr"
        if "llike" in at_decoder:  # the adversarial loss is one of two, and has a weight
            remedy += f", or lower --loss.{'balance' if 'balance' in at_decoder else 'adversarial-weight'}"
        sentence += ": it is near or below chance, so its gradient does not help the decoder"
        return Finding("discriminator", state, sentence, remedy)
    return Finding("discriminator", "ok", sentence)


def check_kl(window: Records, snapshots: Records) -> Finding | None:
    """Whether the code is used, and stays near the prior: KL of held-out images.

    With less than 1 nat a code distinguishes fewer than e = 2.7 kinds of images, with less than 0.1 none: the decoder
    ignores it. More than 5 nats per dimension, on average, mean noise of e^-5 of the prior's width or a mean far
    outside of the prior; from 10 on the model is an autoencoder, whose codes N(0, I) never hits. While the KL weight
    still rises, a high KL is intended.
    """
    units = _units(window, snapshots)
    if not units:
        return None
    kl, per_dimension = units["kl"], units["kl"] / units["of"]
    sentence = f"the KL of held-out images is {kl:.3g} nats"
    if kl < 1.0:
        remedy = "lower --loss.kl-weight, let it rise (--loss.kl-schedule linear), or set --loss.free-bits 0.1"
        return Finding(
            "kl", "unhealthy" if kl < 0.1 else "warning", f"{sentence}: the decoder hardly uses the code", remedy
        )
    rises = window[0].get("kl_factor", 1.0) < window[-1].get("kl_factor", 1.0)
    if per_dimension > 5.0 and not rises:
        sentence += f", {per_dimension:.3g} per dimension: codes lie far from the prior"
        return Finding("kl", "unhealthy" if per_dimension > 10.0 else "warning", sentence, "raise --loss.kl-weight")
    return Finding("kl", "ok", sentence)


def check_units(window: Records, snapshots: Records) -> Finding | None:
    """Whether dimensions of the code are inactive: those with a mean KL below `INACTIVE_NATS`.

    A few only mean that the code is larger than these images need; with over half of them inactive, a smaller code does
    the same, and with over nine tenths something prevents the code from being used.
    """
    units = _units(window, snapshots)
    if not units:
        return None
    share = units["dead"] / units["of"]
    sentence = f"{units['dead']} of {units['of']} dimensions of the code are inactive"
    if share <= 0.5:
        return Finding("units", "ok", sentence)
    remedy = "lower --model.latent-dim or --loss.kl-weight, or set --loss.free-bits 0.1"
    return Finding("units", "unhealthy" if share > 0.9 else "warning", sentence, remedy)


def check_routes(window: Records, snapshots: Records) -> Finding | None:
    """Whether both losses move the decoder: gradient norms of gamma L_llike and of L_adv at its images.

    Adam removes any common factor, so their ratio counts. At 1 : 100 the smaller one turns the sum by half a degree, at
    1 : 1000 it is lost in the noise of the larger one. A gradient that is exactly 0 was turned off by a setting.
    """
    adversarial = math.hypot(*_means(window, "decoder/adversarial-").values())
    llike = _means(window, "decoder/").get("llike", 0.0)
    if not adversarial or not llike:
        return None
    ratio = llike / adversarial
    sentence = f"at the decoder, the gradient of gamma L_llike is {ratio:.2g} times that of L_adv"
    if 0.01 <= ratio <= 100:
        return Finding("routes", "ok", sentence)
    state: State = "warning" if 0.001 <= ratio <= 1000 else "unhealthy"
    change, without = ("raise", "reconstruction") if ratio < 1 else ("lower", "the discriminator")
    remedy = f"{change} --loss.gamma, or balance both with --loss.balance 1"
    return Finding("routes", state, f"{sentence}: {without} has no effect on it", remedy)


def check_modes(window: Records, snapshots: Records) -> Finding | None:
    """Whether samples miss labels, according to a classifier.

    Warns where a label has less than half of its share of the held-out images; below a tenth it counts as missing.
    Judged are labels of which at least 20 samples are expected, so that half of them is over 2 sigma away.
    """
    labels = snapshots[-1].get("labels")
    if not labels:
        return None
    num = sum(made for made, _ in labels.values())
    total = sum(real for _, real in labels.values())
    shares = {
        name: made / num / (real / total) for name, (made, real) in labels.items() if num and num * real >= 20 * total
    }
    if not shares:
        return None
    rarest = min(shares, key=lambda name: shares[name])
    sentence = f"the rarest label among samples is {rarest}, {shares[rarest]:.2g} times as frequent as in the data"
    if shares[rarest] >= 0.5:
        return Finding("modes", "ok", sentence)
    remedy = "set --model.discriminator.minibatch-features 32, lower --train.batch-size, or raise --loss.r1-weight"
    if missing := [name for name, share in shares.items() if share < 0.1]:
        return Finding("modes", "unhealthy", f"few or no samples have the label {', '.join(missing[:10])}", remedy)
    return Finding("modes", "warning", sentence, remedy)


def check_weights(window: Records, snapshots: Records) -> Finding | None:
    """Whether weights explode: how much a network's norm grew since the snapshot before, and since the start.

    In good trainings no network's weights grew to more than 5 times their first norm, most of it before the first
    snapshot. From there on 3 times in one interval, or 10 times in all, is unusual; 10 times in one or 100 in all is an
    explosion. Parameters outside of networks, such as a learned log variance, may start at 0 and grow freely.
    """
    norms = [
        {part: norm for part, norm in record["weights"].items() if part in PARTS}
        for record in snapshots
        if record.get("weights")
    ]
    if len(norms) < 2:
        return None
    first, before, now = norms[0], norms[-2] if len(norms) > 2 else norms[-1], norms[-1]
    lately = {part: norm / before[part] for part, norm in now.items()}
    in_all = {part: norm / first[part] for part, norm in now.items()}
    worst = max(now, key=lambda part: max(lately[part] / 3, in_all[part] / 10))
    sentence = f"the weight norm of the {worst} is {in_all[worst]:.3g} times that at the start"
    if lately[worst] <= 3 and in_all[worst] <= 10:
        return Finding("weights", "ok", sentence)
    state: State = "unhealthy" if lately[worst] > 10 or in_all[worst] > 100 else "warning"
    sentence += f", {lately[worst]:.3g} times that at the last snapshot"
    return Finding("weights", state, sentence, f"lower --optim.{worst}-lr, or set --optim.clip 1")


CHECKS: tuple[Callable[[Records, Records], Finding | None], ...] = (
    check_discriminator, check_kl, check_units, check_routes, check_modes, check_weights,
)  # fmt: skip
_FAKES = {"prior": "samples", "reconstruction": "reconstructions"}


def _units(window: Records, snapshots: Records) -> Mapping[str, Any] | None:
    """What `code_usage` measured, where the encoder is trained towards a prior (in pre-training it is not)."""
    return snapshots[-1].get("units") if "kl" in window[-1]["losses"].get("encoder", {}) else None


def _means(window: Records, prefix: str) -> dict[str, float]:
    """Mean over the records of each route whose name begins with ``prefix``, by the rest of its name."""
    values: dict[str, list[float]] = {}
    for record in window:
        for name, value in record.get("routes", {}).items():
            if name.startswith(prefix):
                values.setdefault(name.removeprefix(prefix), []).append(value)
    return {name: sum(each) / len(each) for name, each in values.items()}


class HealthMonitor:
    """Follows the records of a run, and logs a line when the state of a check changes."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self._window: list[Mapping[str, Any]] = []
        self._snapshots: list[Mapping[str, Any]] = []
        self._states: dict[str, str] = {}
        self._phase: str | None = None
        self._phase_start = self._images = 0
        for record in records:
            self.add(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record."""
        if record["split"] == "train":
            if record.get("phase") != self._phase:
                self._phase, self._phase_start = record.get("phase"), self._images
            self._images = record["images"]
            self._window.append(record)
            return
        self._snapshots.append(record)
        self._window = []
        self._states |= {finding["check"]: state_of(finding) for finding in record.get("health", ())}

    def check(self, snapshot: Mapping[str, Any]) -> list[dict[str, str]]:
        """Check a snapshot's record, log what has changed since the one before; return the findings as plain data."""
        findings = examine(self._window, [*self._snapshots, snapshot], self._phase_start)
        for finding in findings:
            name, before = CHECK_WORDS[finding.check], self._states.get(finding.check, "ok")
            if finding.state == before:
                continue
            if finding.state == "ok":
                log.info("health: %s: ok again: %s", name, finding.sentence)
            else:
                log.warning("health: %s: %s: %s; %s", name, finding.state, finding.sentence, finding.remedy)
        return [asdict(finding) for finding in findings]

    @property
    def has_begun(self) -> bool:
        """Whether there are any records."""
        return bool(self._snapshots or self._window)

    @property
    def warnings(self) -> str:
        """The checks that are not ok, such as ``KL unhealthy, gradient balance warning``; empty if all are."""
        return ", ".join(f"{CHECK_WORDS[c]} {state}" for c, state in self._states.items() if state != "ok")


MOST_IMAGES = 512


def weight_norms(trainer: Trainer) -> dict[str, float]:
    """Norm of all weights of each part."""
    return {part: float(norm) for part, norm in trainer.weight_norms().items()}


def code_usage(model: Model, held_out: ImageSet) -> dict[str, float | int] | None:
    """Measure how much information the dimensions of the code carry, on the first `MOST_IMAGES` held-out images.

    Returns ``kl`` in nats per image, ``dead`` dimensions with less than `INACTIVE_NATS` on average, ``of`` how many;
    None without an encoder that gives a distribution.
    """
    if model.encoder is None or model.kind == "ae":
        return None
    used = held_out.take(slice(MOST_IMAGES))
    mu, logvar = model.posterior(used.unit(), condition=model.condition_of(used))
    nats = kl_per_dimension(mu, logvar).mean(0)
    return {"kl": float(nats.sum()), "dead": int(torch.sum(nats < INACTIVE_NATS)), "of": len(nats)}
