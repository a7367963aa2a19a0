"""Forward passes through the discriminator: logits with the features of layer l, and the R1 penalty.

Also the contexts of a pass: batch statistics that are used but not recorded, evaluation mode.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UserError, nearest
from ..losses import r1_penalty
from ..networks.parts import evaluating
from ..networks.recompute import frozen_statistics
from .diff_augment import DiscriminatorAugment
from .interface import Autocast, condition_args, gradients_of, seeded, trainable


class FeatureDiscriminator:
    """A discriminator that also returns the features of its layer l.

    Args:
        discriminator: any module, (B, C, H, W) -> logits (B,) or (B, 1); a conditional one also takes c (B, A). One
            with ``judges_patches`` gives (B, P), a logit for each patch, when called with ``each_patch=True``.
        layer: name of a submodule whose output is Dis_l; ``"logit"`` for the logit itself; ``"auto"`` for the module's
            own ``default_feature_layer``.
        joint_batch: whether `each` passes all kinds of images as one batch, so that batch norms share their statistics
            (the authors' code does; most others pass each kind by itself).
        augment: applied by `each` to all images; None for none.

    Raises:
        UserError: if the discriminator has no module of that name; in a pass, if that module did not run.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        layer: str = "auto",
        *,
        joint_batch: bool = False,
        augment: DiscriminatorAugment | None = None,
    ) -> None:
        self.discriminator, self.joint_batch, self.augment = discriminator, joint_batch, augment
        self.judges_patches = bool(getattr(discriminator, "judges_patches", False))
        self.layer = str(getattr(discriminator, "default_feature_layer", "logit")) if layer == "auto" else layer
        self._catching = False
        self._caught: Tensor | None = None
        if self.layer != "logit":
            names = [name for name, _ in discriminator.named_modules() if name]
            if self.layer not in names:
                raise UserError(
                    f"loss.feature-layer: the discriminator has no layer '{self.layer}'{nearest(self.layer, names)}; "
                    f"available: {', '.join(names)}"
                )
            discriminator.get_submodule(self.layer).register_forward_hook(self._catch)

    def _catch(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        if self._catching:  # not in passes by others, such as the R1 penalty's
            self._caught = output

    def __call__(self, x: Tensor, *c: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, (B,) or (B, P), and the features of layer l (B, ...), in the precision of the network."""
        self._catching = True
        try:
            logits = self._logits(x, *c)
        finally:
            self._catching = False
        if logits.shape[0] != x.shape[0]:
            raise UserError(
                f"the discriminator gave {logits.shape[0]} logits for {x.shape[0]} images; it must give one per image"
            )
        if self.layer == "logit":
            return logits, logits
        if self._caught is None:
            what = f"'{self.layer}' did not run in the discriminator's forward"
            raise UserError(f"loss.feature-layer: {what}; name a module that it calls")
        features, self._caught = self._caught, None
        return logits, features

    def _logits(self, x: Tensor, *c: Tensor) -> Tensor:
        if self.judges_patches:
            patches: Tensor = self.discriminator(x, *c, each_patch=True)
            return patches
        logits: Tensor = self.discriminator(x, *c)
        return logits.flatten()

    def each(
        self,
        images: dict[str, Tensor],
        *c: Tensor,
        masks: Callable[[], AbstractContextManager[None]],
        draws: Tensor | None = None,
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Pass several batches of one size: kind -> logits, (B,) or (B, P), and features (B, ...).

        ``masks`` makes the context of one pass; ``draws`` (NUM_DRAWS, B), for ``augment``, are the same for all kinds.
        """
        if self.augment is not None:
            assert draws is not None, "augmentation takes its randomness from the noise of the step"
            images = {kind: self.augment(x, draws) for kind, x in images.items()}
        if not self.joint_batch:
            outputs = {}
            for kind, x in images.items():
                with masks():
                    outputs[kind] = self(x, *c)
            return outputs
        with masks():
            logits, features = self(torch.cat(list(images.values())), *(torch.cat([t] * len(images)) for t in c))
        pairs = zip(logits.chunk(len(images)), features.chunk(len(images)), strict=True)
        return dict(zip(images, pairs, strict=True))


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Run a block in which networks are as frozen ones: in evaluation mode, and no gradient is computed for them."""
    weights = [weight for network in networks for weight in trainable(network)]
    with evaluating(*networks):
        for weight in weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in weights:
                weight.requires_grad_(True)


@contextlib.contextmanager
def evaluation_mode(networks: Iterable[nn.Module], discriminator: nn.Module | None = None) -> Iterator[None]:
    """Run a block with networks in evaluation mode, as users run them.

    The batch norms of a discriminator that is trained use the statistics of each batch (without adding them to the
    running ones), as in training, so that its losses compare with those of training.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(evaluating(*networks, *([discriminator] if discriminator is not None else [])))
        if discriminator is not None:
            stack.enter_context(frozen_statistics(discriminator, counts=False))
            for m in discriminator.modules() if trainable(discriminator) else ():
                if isinstance(m, _BatchNorm):
                    m.train()
        yield


def r1_gradients(
    discriminator: nn.Module, x: Tensor, weight: float, *, autocast: Autocast, seed: int, c: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Return the penalty and ``weight`` times its gradient for each trainable parameter of Dis.

    ``x`` are real images in the network's range, (B, C, H, W), with conditions (B, A) of a conditional Dis. The weight
    includes the steps between penalties; the seed is that of dropout masks.
    """
    x = x.detach().requires_grad_()
    with autocast(), seeded(seed, x.device), frozen_statistics(discriminator):  # x was counted in the step
        logits = discriminator(x, *condition_args(c)).flatten()
    penalty = r1_penalty(logits, x)
    return penalty.detach(), gradients_of([weight * penalty], trainable(discriminator))
