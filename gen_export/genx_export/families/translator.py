"""Image-to-image models: an image in, an image out.

Source: Isola et al., "Image-to-image translation with conditional adversarial networks",
arXiv:1611.07004; Shi et al., "Real-time single image and video super-resolution using an efficient
sub-pixel convolutional neural network", arXiv:1609.05158.
"""

from __future__ import annotations

from genx_export.families.family import OUTPUT, Family
from genx_runtimes.sampling_specs import TranslateSpec

TRANSLATOR = Family(
    name="translator",
    calls={"translator": ""},
    outputs={"translator": (OUTPUT,)},
    sampled="translator",
    sampler=TranslateSpec,
    takes_images=True,
)
