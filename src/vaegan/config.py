"""Settings of a training: typed, complete, checked before anything is done. No torch here.

Every setting has a range and a one-line description; these descriptions are the help of ``vaegan train``.
All losses are nats per image (sums over dimensions, means over the batch), so all loss weights live on that
scale, whatever the batch size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Kind = Literal["ae", "vae", "gan", "vae-dis-l", "vaegan"]
PARTS = ("encoder", "decoder", "discriminator")


class Settings(BaseModel):
    """Base of all settings: unknown names are refused, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class AugmentSettings(Settings):
    """How training images are changed a little each time they are seen; 0 for not at all."""

    shift: NonNegativeFloat = 0.0
    """Standard deviation of the shift in each direction, in pixels."""
    scale: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the size."""
    rotation: NonNegativeFloat = 0.0
    """Standard deviation of the angle, in radians."""
    gamma: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the brightness' exponent."""
    contrast: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the contrast."""
    hue: NonNegativeFloat = 0.0
    """Standard deviation of the hue's turn, as a share of the full circle; colour images only."""


class DataSettings(Settings):
    """Where images come from and how they are prepared."""

    source: str = "digits"
    """Name of a source (see `vaegan data`), hf:NAME of a Hugging Face data set, or a path: folder, .zip, .tar shards
    (also as a pattern), .npy or .npz."""
    root: Path | None = None
    """Folder that holds the official files of a named source; they are downloaded into it if missing."""
    size: PositiveInt | None = None
    """Height and width the images are resized to; the source's own if not set."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour; the source's own if not set."""
    crop: Literal["center", "none"] = "center"
    """'center' cuts the largest centred square before resizing, 'none' squeezes the whole image."""
    crop_size: PositiveInt | None = None
    """Side in pixels of the centred square to cut, for images with a margin to remove; if not set the largest, and the
    paper's in celeba and lfw."""
    flip: bool = False
    """Mirror each training image left to right with probability one half."""
    augment: AugmentSettings = AugmentSettings()
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of a folder's or an array's images held out, chosen by a hash of the file name (or index)."""
    max_unreadable: Share = 0.05
    """Share of unreadable files past which the run stops before training."""
    limit: PositiveInt | None = None
    """Use only so many training images, for quick trials; of drawn sources also more than they have by themselves."""
    workers: PositiveInt | None = None
    """Processes that decode images; the number of cores if not set."""
    cache: Path | None = None
    """Folder for decoded images; ~/.cache/vaegan if not set."""

    def opening(self) -> dict[str, Any]:
        """The settings that decide which images are opened and how they are prepared; the others change batches."""
        return self.model_dump(exclude={"flip", "augment"})

    def for_shape(self, image_shape: tuple[int, int, int]) -> DataSettings:
        """The same images prepared to ``(C, H, W)``, as a model wants them."""
        channels, height, _ = image_shape
        return self.model_copy(update={"size": height, "channels": channels})


class PartSettings(Settings):
    """One network: convolutions or residual blocks (none in an MLP), then dense layers."""

    channels: tuple[PositiveInt, ...] = ()
    """Width of each convolution, from the image (or from the first map) on; empty in an MLP. Of a residual network, of
    the blocks at each size, of which there is one more than sizes are halved."""
    blocks: PositiveInt = 2
    """Residual blocks at each size; the decoder has one more. This and the next two are of residual networks alone."""
    groups: PositiveInt = 32
    """Groups of each group norm, a divisor of all channels; residual networks have no other norm."""
    attention: bool = True
    """Whether each pixel of the smallest map looks at all others."""
    strides: tuple[PositiveInt, ...] | None = None
    """Stride of each convolution; 2 each if not set. The decoder upsamples by it."""
    kernel: PositiveInt = 5
    """Side of the convolution kernels."""
    padding: Literal["same", "valid"] = "same"
    """'same' makes a map smaller by the stride alone, 'valid' by the kernel too; the decoder goes these sizes back."""
    hidden: tuple[PositiveInt, ...] = ()
    """Width of each dense layer between convolutions and output (in the decoder: between z and the first map)."""
    norm: Literal["none", "batch", "group", "layer"] = "batch"
    """Normalisation behind each layer but the last."""
    norm_first_layer: bool = True
    """Whether the first layer is normalised too."""
    activation: Literal["relu", "leaky", "elu", "silu", "gelu", "tanh"] = "relu"
    """Non-linearity behind each layer but the last ('leaky' has slope 0.2)."""
    order: Literal["norm-first", "activation-first"] = "norm-first"
    """Whether the norm comes before or after the activation."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of units dropped behind each dense layer in training."""


class DecoderSettings(PartSettings):
    """The decoder: dense layers, a first map, upsampling convolutions, an output convolution."""

    first_channels: PositiveInt = 256
    """Channels of the first map, which a dense layer makes out of z."""
    output_kernel: PositiveInt = 5
    """Kernel of the last convolution, which makes the image."""
    output_stride: PositiveInt = 1
    """Factor by which the last convolution upsamples."""


class DiscriminatorSettings(PartSettings):
    """The discriminator; beside a residual encoder and decoder, too, it is one of plain convolutions."""

    patch: bool = False
    """Judge each patch, as large as the convolutions see, by itself, without dense layers; the losses are their means
    (Isola et al., arXiv:1611.07004)."""
    spectral_norm: bool = False
    """Divide each weight by its largest singular value (Miyato et al., arXiv:1802.05957)."""
    minibatch_features: Annotated[int, Field(ge=0)] = 0
    """Features of minibatch discrimination (Salimans et al., arXiv:1606.03498) before the output; 0 for none."""


class ModelSettings(Settings):
    """What is trained."""

    kind: Kind = "vaegan"
    """Autoencoder, VAE, GAN, VAE with a frozen discriminator's layer as metric, or VAE/GAN."""
    network: Literal["mlp", "conv", "residual"] = "conv"
    """Family of the three networks."""
    latent_dim: PositiveInt = 20
    """Dimensions of z; of a map its channels."""
    latent: Literal["vector", "map"] = "vector"
    """Whether z is a vector, or a map of latent_dim channels as large as the residual encoder's smallest."""
    output: Literal["tanh", "sigmoid", "linear", "centred"] = "tanh"
    """Last non-linearity of the decoder: networks of 'tanh' and of 'centred', which has none, see images as [-1, 1],
    the others as [0, 1]."""
    condition: Literal["none", "labels", "attributes"] = "none"
    """What all three networks are told about each image: its label, its attributes, or nothing."""
    init: Literal["paper", "dcgan", "torch"] = "paper"
    """First weights: 'paper' U(+-1/sqrt(3 fan_in)), 'dcgan' N(0, 0.02), 'torch' PyTorch's own."""
    encoder: PartSettings = PartSettings()
    decoder: DecoderSettings = DecoderSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()


class LossSettings(Settings):
    """Losses and their weights, in nats per image."""

    gamma: NonNegativeFloat = 1.0
    """Decoder descends gamma * L_llike - L_GAN; on the scale of the summed feature error."""
    encoder_llike_weight: NonNegativeFloat = 1.0
    """Encoder descends L_prior * kl_weight + L_llike * this (1 in the paper)."""
    adversarial_weight: NonNegativeFloat = 1.0
    """Weight of the adversarial loss at the decoder."""
    balance: PositiveFloat | None = None
    """Weigh the adversarial loss anew in each step, so that its gradient at the decoder is so many times as long as
    that of gamma * L_llike; not if not set (Esser et al., arXiv:2012.09841)."""
    balance_at: Literal["images", "last-layer"] = "images"
    """Where these lengths are taken: at the decoder's images, or at the weight of its last layer, as in the source."""
    adversarial: Literal["minimax", "non-saturating", "hinge"] = "minimax"
    """Form of L_GAN: minimax is the paper's Algorithm 1."""
    fakes: Literal["both", "prior", "reconstructions"] = "both"
    """Which fakes L_GAN sees: samples from the prior, reconstructions, or both (the paper)."""
    real_weight: NonNegativeFloat = 1.0
    """Weight of -log D(x) in the discriminator's loss; the decoder does not see it."""
    prior_weight: NonNegativeFloat = 1.0
    """Weight of -log(1 - D(x_p)) in the discriminator's loss; the decoder does not see it."""
    reconstruction_weight: NonNegativeFloat = 1.0
    """Weight of -log(1 - D(x_tilde)) in the discriminator's loss; the decoder does not see it."""
    likelihood: Literal["feature", "gaussian", "gaussian-learned", "laplace", "bernoulli"] = "feature"
    """L_llike: in the discriminator's layer l (the paper), or in pixels on the [0, 1] scale."""
    pixel_variance: PositiveFloat = 1.0
    """Variance of a pixel (gaussian, laplace), images in [0, 1]; where learned, the value it starts from: its logarithm
    moves by about the learning rate in a step, so begin near the squared error of a pixel that you expect, such as
    0.01, or a short training ends before it has arrived."""
    perceptual: Literal["none", "auto", "classifier", "rotations", "inception", "dinov2"] = "none"
    """Network whose hidden layers compare images besides, for an L_llike in pixels: one that is trained on the data's
    labels or on quarter turns first ('auto': on what is known), or a published one. Figures in features of the network
    a model was trained with flatter it: measure it by others."""
    perceptual_weight: NonNegativeFloat = 1.0
    """Weight of that distance, times the numbers of an image, as in latent diffusion (arXiv:2112.10752)."""
    perceptual_file: Path | None = None
    """File of the weights of a published network; in the cache, downloaded if missing, if not set."""
    feature_layer: str = "auto"
    """Layer l: name of any module of the discriminator; 'auto' is its last convolution before the norm."""
    joint_batch: bool = False
    """Whether Dis sees x, x_tilde and x_p as one batch, so that its batch norms share their statistics."""
    metric: Path | None = None
    """Run whose trained discriminator is the frozen metric of 'vae-dis-l'."""
    kl_weight: NonNegativeFloat = 1.0
    """Weight of L_prior = KL(q(z|x) || N(0, I)) at the encoder, which the schedule multiplies."""
    kl_schedule: Literal[
        "constant", "inverse-batch", "inverse-latent", "linear", "sigmoid", "cyclic", "exponential"
    ] = "constant"
    """How the KL weight moves: 1, 1/B, 1/z, ramps over kl_epochs, or sigmoid(epoch)."""
    kl_epochs: PositiveFloat = 10.0
    """Length in epochs of the ramp (linear), of a cycle (cyclic), or scale of the growth (exponential)."""
    free_bits: NonNegativeFloat = 0.0
    """Nats per latent dimension that cost nothing (Kingma et al., arXiv:1606.04934)."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Real images get the target 1 - this (one-sided; Salimans et al., arXiv:1606.03498)."""
    label_noise: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Width of uniform noise that moves each target of the discriminator inwards."""
    label_flip: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Share of images whose targets are exchanged in the discriminator's loss."""
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    """How all images on their way into the discriminator are changed, real ones and made ones alike, so that it cannot
    learn few images by heart (Zhao et al., arXiv:2006.10738); with no word, not at all."""
    augment_target: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Augment as often as keeps the mean sign of real images' logits here (0.6 in Karras et al., arXiv:2006.06676);
    if not set, always."""
    augment_images: PositiveInt = 500_000
    """Images in which that goes from never to always, at most."""
    gate: bool = False
    """Balance gate of the authors' code: skip a part's step while it is too far ahead."""
    gate_equilibrium: NonNegativeFloat = 0.68
    """Mean cross entropy around which the gate balances."""
    gate_margin: NonNegativeFloat = 0.35
    """Distance from the equilibrium at which the gate closes."""
    r1_weight: NonNegativeFloat = 0.0
    """Weight of the R1 penalty, half the squared gradient at real images (Mescheder et al., arXiv:1801.04406)."""
    r1_every: PositiveInt = 16
    """Steps between R1 penalties, each weighted by this number (Karras et al., arXiv:1912.04958)."""


class OptimSettings(Settings):
    """The optimisers, one for each part."""

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    """Algorithm; rmsprop with 3e-4 is the paper's."""
    lr: PositiveFloat = 3e-4
    """Learning rate."""
    encoder_lr: PositiveFloat | None = None
    """Learning rate of the encoder, if it differs."""
    decoder_lr: PositiveFloat | None = None
    """Learning rate of the decoder, if it differs."""
    discriminator_lr: PositiveFloat | None = None
    """Learning rate of the discriminator, if it differs."""
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Adam's first decay, SGD's momentum."""
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Adam's second decay, RMSProp's decay."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty (adam, rmsprop, sgd) or decoupled decay (adamw)."""
    clip: PositiveFloat | None = None
    """Longest gradient, for each part by itself; longer ones are scaled down."""
    schedule: Literal["constant", "linear", "cosine", "anneal", "plateau"] = "constant"
    """How the learning rate falls over the run; 'anneal' is the authors' start - (t/T)^0.75 (start - stop), 'plateau'
    lowers a part's rate where its held-out loss stays."""
    final_lr_factor: Share = 0.0
    """Learning rate at the end of the run, with 'plateau' the lowest, as a factor of the first."""
    plateau_patience: PositiveInt = 6
    """Snapshots without a lower held-out loss of a part after which 'plateau' lowers its rate."""
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """What 'plateau' multiplies the rate by."""
    warmup_images: Annotated[int, Field(ge=0)] = 0
    """Images over which the learning rate rises from 0."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay per step of the averaged decoder and encoder that are saved and shown; 0 for none."""


class TrainSettings(Settings):
    """How long, how often, how."""

    epochs: PositiveFloat = 20.0
    """Passes over the training images."""
    images: PositiveInt | None = None
    """Stop after so many images seen, whatever `epochs` says."""
    pretrain_epochs: NonNegativeFloat = 0.0
    """Of these epochs, so many at the start train encoder (its mean code) and decoder as an autoencoder in pixels."""
    batch_size: PositiveInt = 64
    """Images of one step, over all processes."""
    snapshot_epochs: PositiveFloat = 1.0
    """Epochs between snapshots: grids, held-out losses, checkpoint."""
    log_images: PositiveInt | None = None
    """Images between records of metrics.jsonl; about 50 a snapshot if not set."""
    keep_checkpoints: PositiveInt = 3
    """Checkpoints kept."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 is autocast; 'auto' takes what this device computes faster (measured for a moment at the start)."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Layout of convolution weights and images; 'auto' as above."""
    compile: bool = False
    """Compile the networks with torch.compile."""
    sync_batchnorm: bool = False
    """Batch statistics over all processes instead of each one's share."""
    tensorboard: bool = True
    """Write TensorBoard files too, where the extra is installed."""
    priors: tuple[Literal["gaussian", "mixture", "kde", "flow"], ...] = ("gaussian", "mixture", "kde")
    """Priors fitted to the codes at the end; with no name, none. A flow takes minutes."""
    held_out_images: PositiveInt = 1000
    """Held-out images on which losses are computed at a snapshot."""
    best_metric: Literal["auto", "fd", "none"] = "auto"
    """How snapshots are scored to keep the best one's model as RUN/best: 'fd' is the Fréchet distance of samples plus
    that of reconstructions, 'auto' is 'fd' where the run is long enough to train a network for the features first."""
    best_images: Annotated[int, Field(ge=2)] = 2000
    """Samples, and held-out images at most, behind such a score."""


class Config(Settings):
    """Everything that decides a training."""

    recipe: str = "digits"
    """Name of the recipe these settings started from."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of all randomness: the same seed, settings and device give the same run."""
    device: str = "auto"
    """'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the best there is."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """When a loss or gradient is not finite: stop, or go back to the last good checkpoint with half the step."""
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    train: TrainSettings = TrainSettings()
