"""What a bundle's encoder takes and gives, as its manifest says it.

Source: docs/bundle.md, "Encoders".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import BatchBounds, ComponentSpec, Manifest, NormalPrior

ENCODER = "encoder"
MEAN, LOG_VARIANCE = "mean", "log_variance"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """What an encoder takes and gives.

    Args:
        component: its graph.
        image: the name of its input.
        shape: of one image: C, H, W.
        range: of the values of black and white.
        prior: the decoder's input that the latent feeds.
        posterior: whether it gives mean and log-variance, and not the latent itself.
        bounds: batch sizes that it takes.
    """

    component: str
    image: str
    shape: tuple[int, int, int]
    range: tuple[float, float]
    prior: NormalPrior
    posterior: bool
    bounds: BatchBounds


def find_encoder(manifest: Manifest) -> EncoderSpec:
    """Return what the manifest says of its encoder.

    Raises:
        InputError: there is none that takes an image as the decoder makes it, and gives what the
            decoder takes.
    """
    component = next((c for c in manifest.components if c.name == ENCODER), None)
    if component is None:
        raise InputError(
            f"{manifest.name} has no encoder, its family is {manifest.family!r}",
            fix="images are encoded by bundles of family 'vae' or 'autoencoder'",
        )
    if manifest.sampler.kind != "feedforward":
        raise InputError(
            f"the sampler of {manifest.name} is {manifest.sampler.kind!r}, an encoder's latents "
            f"need a decoder of one pass: 'feedforward'"
        )
    prior, posterior = _find_latent(manifest, component)
    image = component.inputs[0]
    made = manifest.sample_spec()
    takes = ", ".join(f"{i.name} {i.shape[1:]}" for i in component.inputs)
    range_ = manifest.output.range
    if len(component.inputs) != 1 or manifest.output.kind != "image" or range_ is None:
        raise InputError(
            f"the encoder of {manifest.name} takes {takes}, its decoder makes "
            f"{manifest.output.noun}, expected one image and an image"
        )
    if len(image.shape) != 4 or image.shape[1:] != made.shape[1:]:
        raise InputError(
            f"the encoder of {manifest.name} takes {takes}, its decoder makes {made.name} "
            f"{made.shape[1:]}, expected images of one shape (C, H, W)",
            fix="export it again with such an encoder",
        )
    return EncoderSpec(
        component=component.name,
        image=image.name,
        shape=cast("tuple[int, int, int]", image.shape[1:]),  # only the batch is symbolic
        range=range_,
        prior=prior,
        posterior=posterior,
        bounds=manifest.batch,
    )


def _find_latent(manifest: Manifest, encoder: ComponentSpec) -> tuple[NormalPrior, bool]:
    """Return the prior that an encoder's latent stands for, and whether it gives a posterior."""
    shapes = {output.name: output.shape[1:] for output in encoder.outputs}
    posterior = MEAN in shapes and shapes.get(LOG_VARIANCE) == shapes[MEAN]
    for prior in manifest.priors:
        shape = shapes.get(MEAN if posterior else prior.name)
        if isinstance(prior, NormalPrior) and prior.shape == shape:
            return prior, posterior
    told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    raise InputError(
        f"the encoder of {manifest.name} gives {told}, expected {MEAN} and {LOG_VARIANCE} of a "
        f"normal prior's shape, or an output of its name"
    )
