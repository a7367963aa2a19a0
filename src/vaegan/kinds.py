"""What a kind of model and a family of networks bring along: settings that follow from them, and those they use."""

import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from .config import Config
from .errors import UserError
from .settings import ADVERSARIAL_KINDS, KINDS, PARTS, PartSettings, family_of, unused_settings

_SIZES: dict[tuple[str, str], dict[str, Any]] = {
    **{("mlp", part): {"channels": (), "strides": None, "hidden": (512, 512)} for part in PARTS},
    ("conv", "encoder"): {"channels": (32, 64), "strides": None, "hidden": (256,)},
    ("conv", "decoder"): {"channels": (64, 32), "strides": None, "hidden": (), "first_channels": 64},
    **{(net, PARTS[2]): {"channels": (32, 64), "strides": None, "hidden": (256,)} for net in ("conv", "residual")},
    ("residual", "encoder"): {"channels": (32, 64, 64), "strides": None, "hidden": ()},
    ("residual", "decoder"): {"channels": (64, 64, 32), "strides": None, "hidden": ()},
}
"""Sizes of a part where a family of networks is chosen that the settings have no sizes for."""


def ended_in_pretraining(info: Mapping[str, Any]) -> bool:
    """Whether training ended in the pre-training as an autoencoder, by a model's facts."""
    return (info.get("images") or 0) <= (info.get("pretrain_images") or -1)


def settings_that_follow(base: Config, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further settings, by dotted name, that must change for another kind of model or family of networks.

    Args:
        base: settings made for `base.model.kind` and `base.model.network`.
        named: settings that the user set; those that depend on them follow.
    """
    changes: dict[str, Any] = {}
    kind, network = named.get("model.kind", base.model.kind), named.get("model.network", base.model.network)
    if (kind, network) == (base.model.kind, base.model.network):
        return changes
    for part in PARTS:
        settings: PartSettings = getattr(base.model, part)
        is_needed = (kind != "gan") if part == "encoder" else part == "decoder" or kind in ADVERSARIAL_KINDS
        if network != base.model.network or (is_needed and not (settings.channels or settings.hidden)):
            changes |= {f"model.{part}.{name}": value for name, value in _SIZES.get((str(network), part), {}).items()}
    without_dense: set[str] = set()
    if network == "mlp":
        changes["model.discriminator.patch"] = False
    elif named.get("model.latent", base.model.latent) == "map":
        without_dense |= {"model.encoder.hidden", "model.decoder.hidden"}
    if named.get("model.discriminator.patch", base.model.discriminator.patch) and network != "mlp":
        without_dense.add("model.discriminator.hidden")
    changes |= dict.fromkeys(without_dense & changes.keys(), ())
    if kind == base.model.kind:
        return changes
    if kind != "vaegan":
        changes |= {"loss.balance": None, "loss.adversarial_start": 0.0}
    if kind not in ADVERSARIAL_KINDS:
        changes |= {"loss.augment": (), "loss.augment_target": None, "loss.discriminator_warmup": 0.0}
    if kind == "gan":
        changes |= {"loss.perceptual": "none", "loss.perceptual_file": None, "train.pretrain_epochs": 0.0}
        loss = base.loss  # a GAN's fakes are samples: where Dis's weights are shares of one, theirs is that of all
        fakes = loss.reconstruction_weight + (loss.prior_weight if loss.fakes == "both" else 0.0)
        if loss.fakes != "prior" and math.isclose(loss.real_weight + fakes, 1.0):
            changes["loss.prior_weight"] = fakes
    if kind == "vae-dis-l":
        changes |= {"loss.likelihood": "feature", "loss.gamma": 1.0}
        changes |= {"loss.perceptual": "none", "loss.perceptual_file": None}
    if kind in ("ae", "vae") and base.loss.likelihood == "feature":
        changes |= {"loss.likelihood": "bernoulli", "loss.gamma": 1.0}
        changes |= {"loss.kl_weight": 1.0, "loss.kl_schedule": "constant", "loss.encoder_llike_weight": 1.0}
        if named.get("loss.likelihood", "bernoulli") == "bernoulli":
            changes["model.output"] = "sigmoid"
    return changes


_USES: tuple[tuple[tuple[str, ...], str], ...] = (
    (ADVERSARIAL_KINDS, "adversarial real_weight prior_weight label_smoothing label_noise label_flip joint_batch "
     "augment augment_target augment_images discriminator_warmup gate gate_equilibrium gate_margin r1_weight r1_every"),
    (("vaegan",), "gamma adversarial_weight adversarial_start balance balance_at fakes reconstruction_weight"),
    (("vaegan", "vae-dis-l"), "feature_layer"),
    (("vae-dis-l",), "metric"),
    (("vae",), "draws"),
    (("ae", "vae", "vae-dis-l", "vaegan"), "alignment_weight alignment"),
    (("vae", "vae-dis-l", "vaegan"), "encoder_llike_weight kl_weight kl_schedule kl_epochs free_bits"),
    (("ae", "vae", "vaegan"), "likelihood pixel_variance perceptual perceptual_weight perceptual_file "
     "equivariance_weight"),
)  # fmt: skip
"""The kinds of models that each setting of the losses has a meaning for."""


_WITHOUT_EFFECT: dict[str, tuple[str, tuple[object, ...], object]] = {
    "data.crop_size": ("data.crop", ("none",), "center"),
    **{f"data.{name}": ("data.stream", (False,), "true") for name in ("store_size", "shuffle_window", "held_out_by")},
    "train.best_images": ("train.best_metric", ("none",), "auto"),
    "loss.balance_at": ("loss.balance", (None,), 0.5),
    "loss.prior_weight": ("loss.fakes", ("reconstructions",), "both"),
    "loss.reconstruction_weight": ("loss.fakes", ("prior",), "both"),
    "loss.feature_layer": ("loss.likelihood", ("gaussian", "gaussian-learned", "laplace", "bernoulli"), "feature"),
    "loss.alignment": ("loss.alignment_weight", (0,), 0.1),
    "loss.pixel_variance": ("loss.likelihood", ("feature", "bernoulli"), "gaussian"),
    "loss.perceptual_weight": ("loss.perceptual", ("none",), "auto"),
    "loss.kl_epochs": ("loss.kl_schedule", ("constant", "inverse-batch", "inverse-latent", "sigmoid"), "linear"),
    "loss.augment_images": ("loss.augment_target", (None,), 0.6),
    "loss.gate_equilibrium": ("loss.gate", (False,), "true"),
    "loss.gate_margin": ("loss.gate", (False,), "true"),
    "loss.r1_every": ("loss.r1_weight", (0,), 10),
    "optim.eps": ("optim.name", ("sgd",), "adam"),
    "optim.beta1": ("optim.name", ("rmsprop",), "adam"),
    "optim.beta2": ("optim.name", ("sgd",), "adam"),
    "optim.final_lr_factor": ("optim.schedule", ("constant",), "cosine"),
    **{f"optim.plateau_{name}": ("optim.schedule", ("constant", "linear", "cosine", "anneal"), "plateau")
       for name in ("patience", "factor")},
}  # fmt: skip
"""Settings that have no effect while another one has one of some values, and a value of it with which they do."""


_OF_TRAINED: dict[str, str] = {
    "encoder": "optim.encoder_lr model.encoder.dropout loss.kl_weight loss.kl_schedule loss.kl_epochs loss.free_bits "
    "loss.encoder_llike_weight",
    "decoder": "optim.decoder_lr model.decoder.dropout loss.gamma loss.adversarial_weight",
    "discriminator": "optim.discriminator_lr model.discriminator.dropout loss.real_weight loss.prior_weight "
    "loss.reconstruction_weight loss.label_smoothing loss.label_noise loss.label_flip loss.r1_weight loss.r1_every "
    "loss.gate loss.gate_equilibrium loss.gate_margin",
    "encoder or decoder": "optim.ema",
}
"""Settings without effect while these parts are frozen; images are still augmented before a frozen discriminator."""


def why_without_effect(config: Config, name: str) -> str | None:
    """Return why a setting, by dotted name, does nothing here, and what to do about it; None if it does something.

    This kind of model or family of networks does not use it, or it belongs to something switched off or frozen.
    """
    kind, network = config.model.kind, config.model.network
    unused = {f"loss.{of_loss}" for kinds, names in _USES if kind not in kinds for of_loss in names.split()}
    part = {"gan": "encoder", "vaegan": "none"}.get(kind, "discriminator")
    if name in unused or name.startswith((f"model.{part}.", f"optim.{part}_lr")):
        return f"on {KINDS[kind].phrase} (--model.kind {kind}); leave it out"
    group, _, rest = name.partition(".")
    of_part, _, setting = rest.partition(".")
    if group == "model" and of_part in PARTS:
        if setting in unused_settings(network, of_part):
            return f"on --model.network {network}; leave it out"
        is_conv = family_of(network, of_part) == "conv"
        if setting == "dropout" and is_conv and not getattr(config.model, of_part).hidden:
            return f"without --model.{of_part}.hidden, because dropout follows dense layers only; leave it out"
    for parts, names in _OF_TRAINED.items():
        each = parts.split(" or ")
        if name in names.split() and all(map(config.is_frozen, each)):
            return f"without training the {parts}; add {each[-1]} to --train.parts, or leave it out"
    if name in _WITHOUT_EFFECT:
        other, values, example = _WITHOUT_EFFECT[name]
        if other not in unused and (now := attrgetter(other)(config)) in values:
            needed = f"--{other.replace('_', '-')}"
            state = f"with {needed} {now}" if now and now != "none" else f"without {needed}"
            return f"{state}; add {needed} {example}, or leave it out"
    return None


def refuse_without_effect(config: Config, named: Mapping[str, Any]) -> None:
    """Raise UserError for the first setting that does nothing, of those that the user set to something."""
    kind, default = config.model.kind, Config()
    same = {"loss.gamma": 1, "loss.draws": 1, "loss.likelihood": "feature" if kind == "vae-dis-l" else None}
    for name, value in named.items():
        is_default = attrgetter(name)(config) == attrgetter(name)(default)
        if value in (None, 0, (), [], "none", same.get(name)) or (
            is_default and (name in _WITHOUT_EFFECT or name.startswith("model."))
        ):
            continue
        if why := why_without_effect(config, name):
            raise UserError(f"--{name.replace('_', '-')} has no effect {why}")
    adversarial = config.loss.adversarial_weight
    if "loss.adversarial_weight" in named and config.loss.balance is not None and adversarial not in (0, 1):
        raise UserError(
            "--loss.adversarial-weight has no effect with --loss.balance, which sets the ratio of both gradients; "
            "change --loss.balance, or leave out --loss.adversarial-weight"
        )
