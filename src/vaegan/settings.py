"""The settings of a training in groups: typed, bounded, each with a docstring, which is its help in ``vaegan train``.

Types check single settings; `config` checks what must hold between them. All losses are nats per image (sums over
dimensions, means over the batch), and so are their weights. No torch here.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator
from pydantic_core import PydanticCustomError

from .errors import shown
from .files import MAX_PIXELS

# The bounds of all numbers, of settings as of options. Past them nothing is trained; they end typing errors early.
PositiveFloat = Annotated[float, Field(gt=0.0, le=1e9)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, le=1e9)]
Rate = Annotated[float, Field(gt=0.0, le=1e38)]
"""A learning rate: whatever float32 holds, as one that is too high shows how a run diverges."""
PositiveInt = Annotated[int, Field(gt=0, le=10**12)]
Count = Annotated[int, Field(gt=0, le=10**6)]
"""Of what is in memory at once: images of a batch, samples, codes."""
Guidance = Annotated[float, Field(ge=0, le=100)]
"""Classifier-free, of a flow."""
Width = Annotated[int, Field(gt=0, le=2**16)]
"""Of a layer: channels, units, groups, dimensions."""
MAX_SIDE = 2**12
Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]
"""Of an image or a kernel, in pixels."""


def _size_word(size: Any) -> int | str:
    """Return a size as settings have it, 64 or "48x64", of a number, a text or (height, width); or raise ValueError."""
    parts = size if isinstance(size, (tuple, list)) else str(size).lower().split("x")
    texts = [str(part).strip() for part in parts] or [""]
    sides = [int(text) if re.fullmatch("[0-9]{1,6}", text) else 0 for text in texts]
    if len(sides) > 2 or not 0 < sides[0] * sides[-1] <= MAX_PIXELS:
        raise PydanticCustomError(
            "image_size",
            "must be a side in pixels (64) or height x width (48x64), in all at most 50 million pixels",
        )
    return _joined(sides[0], sides[-1])


def _joined(height: int, width: int) -> int | str:
    return height if height == width else f"{height}x{width}"


ImageSize = Annotated[int | str, BeforeValidator(_size_word)]
"""Height and width of an image, in pixels: 64 of a square, else a text such as "48x64"."""
Steps = Annotated[int, Field(ge=2, le=1000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Widths = Annotated[tuple[Width, ...], Field(max_length=32)]
Bands = Annotated[tuple[Annotated[int, Field(gt=0, le=1024)], ...], Field(max_length=3)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Kind = Literal["ae", "vae", "gan", "vae-dis-l", "vaegan"]
ADVERSARIAL_KINDS = ("gan", "vaegan")
"""Kinds that train a discriminator."""
PARTS = ("encoder", "decoder", "discriminator")


class KindName(NamedTuple):
    """Names of a kind of model: in a table, and in a sentence."""

    title: str
    phrase: str


KINDS: dict[str, KindName] = {
    "ae": KindName("AE", "an autoencoder"),
    "vae": KindName("VAE", "a VAE"),
    "gan": KindName("GAN", "a GAN"),
    "vae-dis-l": KindName("VAE_Dis_l", "a VAE with a discriminator layer as metric"),
    "vaegan": KindName("VAE/GAN", "a VAE/GAN"),
}
"""The kinds of models."""
PHASES = KINDS | {"discriminator": KindName("discriminator alone", "the discriminator alone")}
"""What a run can train for a while, as its records name it: a kind of model, or one network."""


class Settings(BaseModel):
    """Base of all settings: unknown names are refused, instances are immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class AugmentSettings(Settings):
    """Random changes of training images, redrawn for each batch; 0 for none."""

    shift: NonNegativeFloat = 0.0
    """Standard deviation of the shift in each direction, in pixels."""
    scale: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the zoom factor."""
    rotation: NonNegativeFloat = 0.0
    """Standard deviation of the angle, in radians."""
    gamma: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the gamma exponent."""
    contrast: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the contrast factor."""
    hue: NonNegativeFloat = 0.0
    """Standard deviation of the hue rotation, as a share of the full circle; colour images only."""


class DataSettings(Settings):
    """Where images come from and how they are prepared."""

    source: str = "digits"
    """Images: a source by name (see `vaegan data`), or a folder, .zip, .tar, .npy or .npz file. A pattern such as
    data-{00..07}.tar names several shards, hf:NAME a data set of the Hugging Face hub."""
    root: Path | None = None
    """Folder with the official files of a named source; missing files are downloaded into it."""
    size: Annotated[ImageSize | None, Field(title="SIDE|HxW")] = None
    """Resize images to this side, or to height x width such as 48x64; default: the source's own size."""
    channels: Annotated[int, Field(gt=0, le=1024)] | None = None
    """1 for grey, 3 for colour, 4 for colour with transparency, which is otherwise composited on white; any other
    number must be that of the source. Default: as in the source."""
    range: tuple[FiniteFloat, FiniteFloat] | None = None
    """LOW HIGH: the pixel values in the files that become 0 (black) and 1 (white). Default: the whole range of 8 or 16
    bits; 0 to 1 for floats."""
    crop: Literal["center", "none"] = "center"
    """'center' crops the largest centred square, or rectangle of the shape of --data.size, before resizing; 'none'
    resizes the whole image, which may distort it, and without --data.size keeps its own shape."""
    crop_size: PositiveInt | None = None
    """Side in pixels of a smaller centred square, for images with a margin; default: the largest square, and for celeba
    and lfw the paper's."""
    flip: bool = False
    """Flip training images horizontally with probability 1/2."""
    augment: AugmentSettings = AugmentSettings()
    binarize: Literal["none", "dynamic", "fixed"] = "none"
    """Black and white images: each pixel is white with its grey value as probability. 'dynamic' resamples training
    images for each batch, 'fixed' samples them once; held-out images are always sampled once."""
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of the images of a folder or array that are held out, chosen by a hash of the file name (or index)."""
    max_unreadable: Share = 0.05
    """Share of unreadable files above which training does not start, or with `stream` stops."""
    limit: PositiveInt | None = None
    """Use only this many training images, for quick trials. Synthetic sources can also generate more than usual."""
    workers: Annotated[int, Field(gt=0, le=256)] | None = None
    """Processes that decode images; default: the number of cores."""
    cache: Path | None = None
    """Folder for decoded images and fetched shards; default: vaegan in $XDG_CACHE_HOME or ~/.cache."""
    stream: bool = False
    """Read .tar shards during training, fetched as they are needed, instead of decoding all images first. They may be
    on a web server or in a bucket (S3, Google Cloud); braces stand for several: train-{000..099}.tar."""
    store_size: PositiveFloat = 20.0
    """With `stream`: maximum GB of remote shards in the cache; the least recently used are dropped."""
    shuffle_window: PositiveInt = 16_384
    """With `stream`: the shards are shuffled, then the images within windows of this many."""
    held_out_by: Literal["auto", "name", "shard"] = "auto"
    """With `stream`: hold out images by a hash of their names, or whole shards by a hash of theirs. 'auto' is 'shard'
    where an index.json beside the shards counts their images, else 'name', for which each shard is read once first."""

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        place = shown(self.source)
        if self.stream and place and not place.lower().endswith(".tar"):
            raise ValueError(
                f"--data.stream reads .tar shards, not {place}; give shards as --data, or set --data.stream false"
            )
        if not self.stream and "://" in self.source:
            raise ValueError("--data with an address needs --data.stream, which reads .tar shards")
        if self.stream and self.binarize != "none":
            raise ValueError("--data.binarize does not work with --data.stream; leave one out")
        if self.binarize == "fixed" and self.augment != AugmentSettings():
            raise ValueError("--data.augment makes the images of --data.binarize fixed grey again; choose dynamic")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"--data.range {self.range[0]:g} {self.range[1]:g} is empty; give the lower number first")
        if self.range is not None and self.range[1] - self.range[0] == float("inf"):
            raise ValueError(f"--data.range {self.range[0]:g} {self.range[1]:g} is too wide; its width must be finite")
        if self.crop_size is not None and self.crop == "center" and not self.is_square:
            raise ValueError(
                f"--data.crop-size {self.crop_size} crops a square, and --data.size {self.size} is not square; set "
                "--data.crop-size none, or give one number as --data.size"
            )
        return self

    @property
    def height_width(self) -> tuple[int, int] | None:
        """Height and width to resize to; None for the source's own size."""
        if self.size is None:
            return None
        height, _, width = str(self.size).partition("x")
        return int(height), int(width or height)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """``(C, H, W)`` of the images, if all of it is set."""
        return None if self.channels is None or self.height_width is None else (self.channels, *self.height_width)

    @property
    def is_square(self) -> bool:
        """Whether no size other than a square is set."""
        return not isinstance(self.size, str)

    def opening(self) -> dict[str, Any]:
        """The settings that decide which images are opened and how they are prepared; the others change batches."""
        return self.model_dump(exclude={"flip", "augment"})

    def for_shape(self, image_shape: tuple[int, int, int]) -> "DataSettings":
        """The same images prepared to ``(C, H, W)``, as a model wants them."""
        channels, height, width = image_shape
        return self.model_copy(update={"size": _joined(height, width), "channels": channels})


class PartSettings(Settings):
    """One network: convolutions or residual blocks (none in an MLP), then dense layers."""

    channels: Widths = ()
    """Width of each convolution, counted from the image (in the decoder: from its first map); empty in an MLP. In a
    residual network: width of the blocks at each resolution, one more than there are halvings."""
    blocks: Annotated[int, Field(gt=0, le=32)] = 2
    """Residual blocks at each resolution; the decoder has one more. Residual networks only."""
    groups: Width = 32
    """Groups of each group norm; must divide all channels. Residual networks only, which have no other norm."""
    attention: bool = True
    """Self-attention at the lowest resolution. Residual networks only."""
    quant: bool = True
    """A 1 x 1 convolution next to a code that is a map. Residual networks only."""
    strides: Annotated[tuple[Side, ...], Field(max_length=32)] | None = None
    """Stride of each convolution; default 2. The decoder upsamples by it."""
    kernel: Side = 5
    """Side of the convolution kernels."""
    padding: Literal["same", "valid"] = "same"
    """'same': a map shrinks by the stride only. 'valid': by the kernel too. The decoder mirrors these sizes."""
    hidden: Widths = ()
    """Width of each dense layer between convolutions and output (in the decoder: between z and the first map)."""
    norm: Literal["none", "batch", "group", "layer"] = "batch"
    """Normalisation after each layer except the last."""
    norm_first_layer: bool = True
    """Normalise the first layer too."""
    activation: Literal["relu", "leaky", "elu", "silu", "gelu", "tanh"] = "relu"
    """Activation after each layer except the last ('leaky' has slope 0.2)."""
    order: Literal["norm-first", "activation-first"] = "norm-first"
    """Whether normalisation comes before or after the activation."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Dropout rate after each dense layer."""


class DecoderSettings(PartSettings):
    """The decoder: dense layers if z is a vector, a first map, upsampling convolutions, an output convolution."""

    first_channels: Width = 256
    """Channels of the first map, which the first layer computes from z."""
    output_kernel: Side = 5
    """Kernel of the last convolution, which outputs the image."""
    output_stride: Side = 1
    """Factor by which the last convolution upsamples."""


class DiscriminatorSettings(PartSettings):
    """The discriminator; plain convolutions even beside a residual encoder and decoder."""

    patch: bool = False
    """Classify each patch, as large as the receptive field, without dense layers; losses are means over patches
    (Isola et al., arXiv:1611.07004)."""
    spectral_norm: bool = False
    """Divide each weight by its largest singular value (Miyato et al., arXiv:1802.05957)."""
    minibatch_features: Annotated[int, Field(ge=0, le=2**16)] = 0
    """Features of minibatch discrimination before the output (Salimans et al., arXiv:1606.03498); 0 for none."""


_SHAPES = ("kernel", "padding", "first_channels", "output_kernel", "output_stride")
_NORMS = ("norm", "norm_first_layer", "activation", "order")
_RESIDUAL = ("blocks", "groups", "attention", "quant")
_UNUSED = {
    "mlp": ("channels", "strides", "patch", *_SHAPES, *_RESIDUAL),
    "conv": _RESIDUAL,
    "residual": ("strides", *_SHAPES, *_NORMS),
}


def family_of(network: str, part: str) -> str:
    """Return the family of a part, such as 'encoder': a discriminator beside residual networks is convolutional."""
    return "conv" if (network, part) == ("residual", "discriminator") else network


def unused_settings(network: str, part: str) -> tuple[str, ...]:
    """Return the settings of a part, such as 'encoder', that a family of networks does not use."""
    return _UNUSED[family_of(network, part)]


class ModelSettings(Settings):
    """Kind of model and its networks."""

    kind: Kind = "vaegan"
    """What to train: autoencoder, VAE, GAN, VAE with a frozen discriminator layer as metric, or VAE/GAN. A kind other
    than the recipe's also sets the likelihood, output and weights that it needs, unless you set them."""
    network: Literal["mlp", "conv", "residual"] = "conv"
    """Architecture of the three networks. Changing it from the recipe's also sets default layer sizes, unless you set
    them."""
    latent_dim: Width = 20
    """Dimensions of z; channels if z is a map."""
    latent: Literal["vector", "map"] = "vector"
    """Whether z is a vector, or a map of latent_dim channels at the encoder's lowest resolution; then there are no
    dense layers."""
    output: Literal["tanh", "sigmoid", "linear", "centred"] = "tanh"
    """Last activation of the decoder. With 'tanh' and with 'centred' (no activation) networks use images in [-1, 1],
    otherwise in [0, 1]."""
    condition: Literal["none", "labels", "attributes"] = "none"
    """Condition all three networks on the attributes or the label of each image."""
    init: Literal["paper", "dcgan", "torch"] = "paper"
    """Initial weights: 'paper' U(+-1/sqrt(3 fan_in)), 'dcgan' N(0, 0.02), 'torch' PyTorch's default."""
    encoder: PartSettings = PartSettings()
    decoder: DecoderSettings = DecoderSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()


class Architecture(ModelSettings):
    """Arguments of `networks.build_parts`, which a saved model holds to be built again."""

    image_shape: tuple[Width, Side, Side]
    """(C, H, W)."""
    condition_dim: Annotated[int, Field(ge=0, le=2**16)] = 0
    """Dimensions of the condition."""


class LossSettings(Settings):
    """Losses and their weights, in nats per image."""

    gamma: NonNegativeFloat = 1.0
    """The decoder minimises gamma * L_llike - L_GAN."""
    encoder_llike_weight: NonNegativeFloat = 1.0
    """The encoder minimises kl_weight * L_prior + encoder_llike_weight * L_llike (1 in the paper)."""
    adversarial_weight: NonNegativeFloat = 1.0
    """Weight of the adversarial loss at the decoder."""
    adversarial_start: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the run, at its start, in which encoder and decoder train as a VAE, without an adversarial loss, as
    before disc_start in the code of Rombach et al. (arXiv:2112.10752)."""
    discriminator_warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the run, after `adversarial_start`, in which the discriminator trains alone."""
    balance: PositiveFloat | None = None
    """Rescale the adversarial loss in each step so that its gradient norm at the decoder is this multiple of that of
    gamma * L_llike (Esser et al., arXiv:2012.09841), separately in each micro-batch and process; default: no
    rescaling."""
    balance_at: Literal["images", "last-layer"] = "images"
    """Where to compare the gradient norms: at the decoder's images, or at the weight of its last layer."""
    adversarial: Literal["minimax", "non-saturating", "hinge"] = "minimax"
    """Form of L_GAN; minimax is Algorithm 1 of the paper."""
    fakes: Literal["both", "prior", "reconstructions"] = "both"
    """Fakes in L_GAN: samples from the prior, reconstructions, or both (the paper)."""
    real_weight: NonNegativeFloat = 1.0
    """Weight of -log D(x) in the discriminator's loss; does not affect the decoder."""
    prior_weight: NonNegativeFloat = 1.0
    """Weight of -log(1 - D(x_p)) in the discriminator's loss; does not affect the decoder."""
    reconstruction_weight: NonNegativeFloat = 1.0
    """Weight of -log(1 - D(x_tilde)) in the discriminator's loss; does not affect the decoder."""
    likelihood: Literal["feature", "gaussian", "gaussian-learned", "laplace", "bernoulli"] = "feature"
    """L_llike: in the discriminator's layer l (the paper), or per pixel, with images in [0, 1]."""
    pixel_variance: PositiveFloat = 1.0
    """Variance of a pixel (gaussian, laplace), with images in [0, 1]. For gaussian-learned the initial value; its
    logarithm moves by about the learning rate per step, so start near the per-pixel MSE you expect, such as 0.01."""
    perceptual: Literal["none", "auto", "classifier", "rotations", "inception", "dinov2", "lpips"] = "none"
    """Network for a perceptual loss beside a per-pixel L_llike: one trained first on the data's labels or on rotation
    prediction ('auto': labels if there are any), or a published one; 'lpips' is LPIPS with VGG16. Metrics in the
    features a model was trained with are biased in its favour; evaluate with another extractor."""
    perceptual_weight: NonNegativeFloat = 1.0
    """Weight of the perceptual loss, times the number of values of an image, as in latent diffusion (arXiv:2112.10752).
    """
    perceptual_file: Path | None = None
    """File with the weights of a published network, or its folder; default: the cache, downloaded if missing."""
    equivariance_weight: NonNegativeFloat = 0.0
    """For codes that are maps: weight, relative to L_llike, of the same loss between the scaled and rotated image and
    what its scaled and rotated code decodes to (EQ-VAE, Kouzelis et al., arXiv:2502.09509); 0 for none."""
    alignment_weight: NonNegativeFloat = 0.0
    """For codes that are maps: align them with the features of a frozen network. The gradient norm of this loss at the
    codes is this multiple of that of L_llike (0.1 in VA-VAE, Yao et al., arXiv:2501.01423); 0 for none."""
    alignment: Literal["auto", "classifier", "rotations", "inception", "dinov2"] = "auto"
    """Network to align with, as for `perceptual` ('dinov2' in VA-VAE); published weights come from the cache, and are
    downloaded if missing."""
    feature_layer: str = "auto"
    """Layer l: name of any module of the discriminator; 'auto' is its last convolution, of an MLP its last hidden dense
    layer, before the norm."""
    joint_batch: bool = False
    """Pass x, x_tilde and x_p through the discriminator as one batch, so that its batch norms share their statistics.
    """
    metric: Path | None = None
    """Run whose trained discriminator is the frozen metric of vae-dis-l."""
    kl_weight: NonNegativeFloat = 1.0
    """Weight of L_prior = KL(q(z|x) || N(0, I)) at the encoder. The schedule multiplies it."""
    kl_schedule: Literal[
        "constant", "inverse-batch", "inverse-latent", "linear", "sigmoid", "cyclic", "exponential"
    ] = "constant"
    """Schedule of the factor on the KL weight: 1 (constant), 1/B (inverse-batch), 1/Z (inverse-latent), a ramp from 0
    to 1 over kl_epochs (linear) or over the first half of each cycle (cyclic), sigmoid(epoch/3 - 5), or growth from
    0.01 by a factor of e every kl_epochs, without bound (exponential)."""
    kl_epochs: PositiveFloat = 10.0
    """Epochs of the ramp (linear), of a cycle (cyclic), or time constant (exponential)."""
    draws: Annotated[int, Field(gt=0, le=1000)] = 1
    """Codes drawn for each image by a VAE. With more than 1 its loss is the importance-weighted bound (IWAE, Burda et
    al., arXiv:1509.00519, eq. 8); the decoder's time and memory grow with them."""
    free_bits: NonNegativeFloat = 0.0
    """KL per latent dimension, in nats, that is free of penalty (Kingma et al., arXiv:1606.04934)."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """One-sided label smoothing: real images get the target 1 - label_smoothing (Salimans et al.,
    arXiv:1606.03498)."""
    label_noise: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Width of uniform noise that moves each discriminator target inwards."""
    label_flip: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Share of images whose targets are flipped in the discriminator's loss."""
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    """Augmentations of all images before the discriminator, real and fake, so that it cannot memorise a small data set
    (Zhao et al., arXiv:2006.10738); default: none."""
    augment_target: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Adapt the probability of augmentation so that the mean sign of the logits of real images stays at this value (0.6
    in Karras et al., arXiv:2006.06676); default: always augment."""
    augment_images: PositiveInt = 500_000
    """Minimum number of images over which the adapted probability can move from 0 to 1."""
    gate: bool = False
    """Balance gate of the authors' code: skip the step of a network that is too strong."""
    gate_equilibrium: NonNegativeFloat = 0.68
    """Mean cross entropy around which the gate balances."""
    gate_margin: NonNegativeFloat = 0.35
    """Distance from the equilibrium at which the gate closes."""
    r1_weight: NonNegativeFloat = 0.0
    """Weight of the R1 penalty, half the squared gradient norm at real images (Mescheder et al., arXiv:1801.04406)."""
    r1_every: PositiveInt = 16
    """Steps between R1 penalties, whose weight is multiplied by this number (lazy regularisation, Karras et al.,
    arXiv:1912.04958)."""


class OptimSettings(Settings):
    """The optimisers, one for each network."""

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    """Algorithm; the paper uses rmsprop with 3e-4."""
    lr: Rate = 3e-4
    """Learning rate."""
    encoder_lr: Rate | None = None
    """Learning rate of the encoder, if different."""
    decoder_lr: Rate | None = None
    """Learning rate of the decoder, if different."""
    discriminator_lr: Rate | None = None
    """Learning rate of the discriminator, if different."""
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Adam's first decay rate; momentum of SGD."""
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Adam's second decay rate; RMSProp's decay rate."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty (adam, rmsprop, sgd) or decoupled decay (adamw)."""
    clip: PositiveFloat | None = None
    """Clip the gradient norm of each network to this value."""
    schedule: Literal["constant", "linear", "cosine", "anneal", "plateau"] = "constant"
    """Learning rate schedule over the run; 'anneal' is the authors' start - (t/T)^0.75 (start - stop), 'plateau' lowers
    the rate of a network whose held-out loss stops falling."""
    final_lr_factor: Share = 0.0
    """Final learning rate (with 'plateau' the lowest) as a factor of the first."""
    plateau_patience: PositiveInt = 6
    """Snapshots without a lower held-out loss of a network before 'plateau' lowers its rate."""
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Factor by which 'plateau' lowers the rate."""
    warmup_images: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Images over which the learning rate rises from 0."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay per step of the exponential moving average of encoder and decoder, which is saved and used for all outputs;
    0 for no average."""


class TrainSettings(Settings):
    """Length of the run, snapshots, precision."""

    epochs: PositiveFloat = 20.0
    """Passes over the training images."""
    images: PositiveInt | None = None
    """Stop after this many images instead of after `epochs`."""
    pretrain_epochs: NonNegativeFloat = 0.0
    """How many of the epochs, at the start, train the encoder (its mean) and the decoder as a per-pixel autoencoder."""
    parts: tuple[Literal["encoder", "decoder", "discriminator"], ...] = ()
    """Networks to train, such as decoder,discriminator; the others are frozen at the weights of --init-from.
    Default: all."""
    batch_size: Count = 64
    """Images per step, over all processes."""
    accumulate: Count = 1
    """To save memory: micro-batches into which each process splits its images of a step. They are computed one after
    another, and their gradients are added up. Batch norm normalises each separately."""
    checkpoint_activations: bool = False
    """To save memory: store only the input of each block and compute the rest again in the backward pass. Gradients are
    the same; a step takes 20 to 40 % longer."""
    snapshot_epochs: PositiveFloat = 1.0
    """Epochs between snapshots: image grids, held-out losses, a checkpoint."""
    log_images: PositiveInt | None = None
    """Images between records of metrics.jsonl; default: about 50 records per snapshot."""
    keep_checkpoints: PositiveInt = 3
    """Number of checkpoints to keep."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 uses autocast; 'auto' means bf16 on a CPU or GPU that has bf16 arithmetic, else fp32."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Memory layout of convolution weights and images; 'auto' means channels_last for network conv in bf16."""
    threads: Annotated[int, Field(gt=0, le=1024)] | None = None
    """Threads of each process on a CPU; default: OMP_NUM_THREADS, or as many as other programs leave cores free. A run
    that is resumed keeps its number, because rounding depends on it."""
    compile: bool = False
    """Compile the networks with torch.compile."""
    sync_batchnorm: bool = False
    """Compute batch norm statistics over all processes."""
    tensorboard: bool = True
    """Also write TensorBoard files, if the extra is installed."""
    priors: tuple[Literal["gaussian", "mixture", "kde", "flow"], ...] = ("gaussian", "mixture", "kde")
    """Priors to fit to the codes at the end; none if empty. A flow takes minutes."""
    held_out_images: Count = 1000
    """Held-out images for the losses at a snapshot."""
    best_metric: Literal["auto", "fd", "none"] = "auto"
    """Score that selects RUN/best among the snapshots: 'fd' is the Fréchet distance of samples plus that of
    reconstructions; 'auto' is 'fd' if the run is long enough to be worth training a feature extractor first."""
    best_images: Annotated[int, Field(ge=2, le=10**6)] = 2000
    """Samples, and at most as many held-out images, for that score."""
