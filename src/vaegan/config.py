"""All settings of a training run, complete, and checked before anything else happens. No torch here."""

import itertools
from collections.abc import Iterator, Mapping
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .settings import (
    ADVERSARIAL_KINDS,
    KINDS,
    MAX_SIDE,
    PARTS,
    Bands,
    DataSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    PartSettings,
    Seed,
    Settings,
    TrainSettings,
    family_of,
)


class Config(Settings):
    """All settings of a training run. Contradictory settings are rejected."""

    recipe: str = "digits"
    """Name of the recipe that these settings are based on."""
    seed: Seed = 0
    """Random seed: the same seed, settings, device and threads give the same run."""
    device: str = "auto"
    """'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the best one available."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """If a loss or gradient is not finite: stop, or roll back to the last good checkpoint and halve the learning rate.
    """
    bands: Bands = ()
    """Channels that pictures show, counted from 1: one as grey, or three as red, green and blue, such as 3,2,1.
    Default: the first of one or two channels, else the first three."""
    init_from: Annotated[str | None, Field(title="RUN")] = None
    """Start from the weights of this model: a run, a saved model, an id on the hub, or diffusers:PATH (a diffusers
    model: a folder or an id on the hub). The settings of its networks are used, too; a discriminator that it does not
    have starts with new weights."""
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    train: TrainSettings = TrainSettings()

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        for line in itertools.chain(_contradictions(self), _network_contradictions(self.model)):
            raise ValueError(line)
        return self

    def is_frozen(self, part: str) -> bool:
        """Whether a part of the model is not trained because others are named."""
        return bool(self.train.parts) and part not in self.train.parts


def _contradictions(config: Config) -> Iterator[str]:
    """Yield each contradiction between model and losses as a line."""
    model, loss, kind = config.model, config.loss, f"--model.kind {config.model.kind}"
    likelihood = f"--loss.likelihood {loss.likelihood}"
    is_adversarial, has_encoder = model.kind in ADVERSARIAL_KINDS, model.kind != "gan"
    if loss.likelihood == "feature" and model.kind in ("ae", "vae"):
        yield f"{likelihood} needs a discriminator, which {kind} does not have; choose bernoulli, gaussian or laplace"
    if loss.likelihood == "bernoulli" and has_encoder and model.output != "sigmoid":
        yield f"{likelihood} needs --model.output sigmoid, not {model.output}; set it, or choose gaussian"
    if model.kind == "vae-dis-l" and loss.metric is None:
        yield f"{kind} needs the discriminator of an earlier run; name the run with --loss.metric RUN"
    if loss.perceptual != "none" and (loss.likelihood == "feature" or not has_encoder):
        yield (
            f"--loss.perceptual {loss.perceptual} needs an encoder and a per-pixel likelihood, not {kind} with "
            f"{likelihood}; choose --loss.likelihood laplace, or --loss.perceptual none"
        )
    if loss.equivariance_weight and (model.latent != "map" or loss.likelihood == "feature"):
        yield (
            "--loss.equivariance-weight needs codes that are maps and a per-pixel likelihood, not --model.latent "
            f"{model.latent} with {likelihood}; start from the recipe kl-f4, or set it to 0"
        )
    alignment = "--loss.alignment-weight"
    if loss.alignment_weight and model.latent != "map":
        yield (
            f"{alignment} needs codes that are maps, not --model.latent {model.latent}; start from the recipe kl-f4, "
            "or set it to 0"
        )
    if loss.alignment_weight and config.is_frozen("encoder"):
        yield f"{alignment} trains the encoder, which is frozen; add encoder to --train.parts, or set the weight to 0"
    if loss.balance is not None and model.kind != "vaegan":
        yield f"--loss.balance needs two losses of a decoder, which only a VAE/GAN has, not {kind}; set it to none"
    if loss.balance is not None and not loss.gamma:
        yield "--loss.balance is relative to gamma * L_llike, which --loss.gamma 0 leaves out; set it to none"
    if loss.balance is not None and config.is_frozen("decoder"):
        yield "--loss.balance needs the decoder in training; add decoder to --train.parts, or set it to none"
    if loss.perceptual_file is not None and loss.perceptual not in ("inception", "dinov2", "lpips"):
        what = f"--loss.perceptual {loss.perceptual}"
        yield f"--loss.perceptual-file applies only to a published network such as lpips, not to {what}; leave it out"
    if loss.augment and not is_adversarial:
        yield f"--loss.augment needs a discriminator in training, which {kind} does not have; set it to none"
    if loss.augment_target is not None and not loss.augment:
        yield "--loss.augment-target needs augmentations; name them with --loss.augment, or set it to none"
    if config.data.binarize != "none" and has_encoder and loss.likelihood not in ("bernoulli", "feature"):
        yield f"--data.binarize gives black and white pixels, which {likelihood} does not fit; choose bernoulli"
    if loss.draws > 1:
        yield from _bound_contradictions(config)
    yield from _phase_contradictions(config)
    if config.data.stream and model.condition != "none":
        yield (
            f"--data.stream gives no {model.condition}, which --model.condition {model.condition} needs; set "
            "--model.condition none or --data.stream false"
        )
    if config.train.pretrain_epochs and not has_encoder:
        yield f"--train.pretrain-epochs trains an encoder, which {kind} does not have; set it to 0"
    trained = {"gan": PARTS[1:], "vaegan": PARTS}.get(model.kind, PARTS[:2])
    parts = f"--train.parts {','.join(config.train.parts)}"
    for part in config.train.parts:
        if part not in trained:
            yield f"{parts}: {kind} trains no {part}; choose among {', '.join(trained)}"
    if config.train.parts and config.init_from is None and set(trained) - set(config.train.parts):
        yield f"{parts} would freeze other networks at random weights; name a model to start from with --init-from"
    if config.train.parts and config.train.pretrain_epochs:
        yield f"{parts} contradicts --train.pretrain-epochs, which trains encoder and decoder; leave one out"
    dis = model.discriminator
    if config.train.accumulate > 1 and is_adversarial and dis.minibatch_features:
        yield "--train.accumulate splits the batch that --model.discriminator.minibatch-features compares; drop one"
    if config.train.checkpoint_activations and (model.network == "mlp" or config.train.compile):
        yield "--train.checkpoint-activations works neither with --model.network mlp nor --train.compile; leave it out"
    if loss.joint_batch and is_adversarial and (dis.dropout or dis.minibatch_features):
        yield (
            "--loss.joint-batch cannot be combined with dropout or minibatch features in the discriminator; set "
            "--loss.joint-batch false"
        )
    if max(config.data.height_width or (0,)) > MAX_SIDE:
        size = f"--data.size {config.data.size}"
        yield f"{size}: images can have at most {MAX_SIDE} pixels per side; choose a smaller size"
    if config.train.compile and loss.r1_weight and is_adversarial:
        yield (
            "--loss.r1-weight needs second derivatives, which compiled networks do not have; leave out "
            "--train.compile, or set --loss.r1-weight 0"
        )


def _bound_contradictions(config: Config) -> Iterator[str]:
    """Yield each setting with which the loss of several draws would be no bound of log p(x) as a line."""
    loss, model = config.loss, config.model
    needed: tuple[tuple[str, object, object], ...] = (
        ("model.kind", model.kind, "vae"),
        ("model.latent", model.latent, "vector"),
        ("loss.perceptual", loss.perceptual, "none"),
        ("loss.gamma", loss.gamma, 1),
        ("loss.encoder-llike-weight", loss.encoder_llike_weight, 1),
        ("loss.kl-weight", loss.kl_weight, 1),
        ("loss.kl-schedule", loss.kl_schedule, "constant"),
        ("loss.free-bits", loss.free_bits, 0),
    )
    for option, value, wanted in needed:
        if value != wanted:
            yield f"--loss.draws {loss.draws} needs --{option} {wanted}, not {value}; set it, or set --loss.draws 1"


def _phase_contradictions(config: Config) -> Iterator[str]:
    """Yield each reason why the phases before all networks train together cannot be as a line."""
    loss, kind = config.loss, config.model.kind
    start, warmup = "--loss.adversarial-start", "--loss.discriminator-warmup"
    for option, share in ((start, loss.adversarial_start), (warmup, loss.discriminator_warmup)):
        if share and kind not in (ADVERSARIAL_KINDS if option == warmup else ("vaegan",)):
            yield f"{option} has no effect on {KINDS[kind].phrase} (--model.kind {kind}); set it to 0"
        if share and config.is_frozen("discriminator"):
            yield f"{option} needs the discriminator in training; add it to --train.parts, or set {option} 0"
    if loss.adversarial_start and loss.likelihood == "feature":
        yield f"--loss.likelihood feature needs a discriminator, untrained before {start}; choose laplace or {start} 0"
    if loss.adversarial_start and config.is_frozen("encoder") and config.is_frozen("decoder"):
        yield f"--train.parts discriminator leaves nothing to train before {start}; set it to 0"
    if (share := loss.adversarial_start + loss.discriminator_warmup) >= 1:
        yield f"{start} and {warmup} are {share:.0%} of the run and leave nothing for all networks together; lower one"


def _network_contradictions(model: ModelSettings) -> Iterator[str]:
    """Yield each setting that no network can be built with as a line."""
    parts: dict[str, PartSettings] = {"encoder": model.encoder, "decoder": model.decoder}
    if model.kind == "gan":
        del parts["encoder"]
    if model.latent == "map":
        yield from _map_contradictions(model, parts)
    if model.kind in ADVERSARIAL_KINDS:  # the discriminator of vae-dis-l is that of another run
        if model.discriminator.patch and model.network != "mlp":
            yield from _patch_contradictions(model)
        parts["discriminator"] = model.discriminator
    is_described = any(part.channels or part.hidden for part in (model.encoder, model.decoder, model.discriminator))
    for name, part in parts.items():
        call, num = f"--model.{name}", len(part.channels)
        is_residual = family_of(model.network, name) == "residual"
        if model.network == "mlp":
            for setting, nothing in {"channels": "none", "strides": "none", "patch": "false"}.items():
                if getattr(part, setting, None):
                    fix = f"set it to {nothing}, or choose conv"
                    yield f"{call}.{setting} cannot be set with --model.network mlp; {fix}"
        elif not part.channels and is_described:
            yield f"--model.network {model.network} needs a width for each convolution; set {call}.channels"
        elif is_residual and part.strides:
            network = "--model.network residual, which always downsamples by 2"
            yield f"{call}.strides cannot be set with {network}; set it to none"
        elif is_residual and any(width % part.groups for width in part.channels):
            yield f"{call}.groups {part.groups} does not divide all {call}.channels; choose another number"
        elif part.strides is not None and len(part.strides) != num:
            yield f"{call}.strides has {len(part.strides)} numbers, {call}.channels has {num}; give one per convolution"


def _map_contradictions(model: ModelSettings, parts: Mapping[str, PartSettings]) -> Iterator[str]:
    what = "--model.latent map"
    if model.network == "mlp":
        yield f"{what} needs --model.network conv or residual, not {model.network}"
    if model.condition != "none":
        yield f"{what} has no dense layer for --model.condition {model.condition}; choose --model.latent vector"
    for name, part in parts.items():
        if part.hidden:
            yield f"{what} has no dense layers; set --model.{name}.hidden to none"
    if model.network == "conv":
        for name, part in parts.items():
            if part.padding != "same":
                yield f"{what} needs --model.{name}.padding same, not {part.padding}"
            if part.dropout:
                yield f"{what} has no dense layers; set --model.{name}.dropout to 0"
        factors = [prod(part.strides or (2,) * len(part.channels)) for part in parts.values()]
        factors[-1] *= model.decoder.output_stride
        if len(set(factors)) > 1:
            yield (
                f"{what} needs strides of the same product in encoder and decoder, not {factors[0]} and {factors[1]} "
                "(2 for each convolution by default); change --model.encoder.strides or --model.decoder.strides"
            )
    elif len({len(part.channels) for part in parts.values()}) > 1:
        numbers = f"{len(model.encoder.channels)} and {len(model.decoder.channels)}"
        yield f"{what} needs --model.encoder.channels and --model.decoder.channels of equal length, not {numbers}"


def _patch_contradictions(model: ModelSettings) -> Iterator[str]:
    dis, what = model.discriminator, "--model.discriminator.patch"
    dense = {"hidden": dis.hidden, "dropout": dis.dropout, "minibatch-features": dis.minibatch_features}
    for name, value in dense.items():
        if value:
            yield f"{what} has no dense layers; set --model.discriminator.{name} to {'none' if name == 'hidden' else 0}"
    if model.condition != "none":
        condition = f"--model.condition {model.condition}"
        yield f"{what} has no dense layer for {condition}; set {what} false, or --model.condition none"
