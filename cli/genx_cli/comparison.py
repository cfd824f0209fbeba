"""One picture that shows what a lower precision changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from genx_runtimes.bundle import Bundle
    from genx_runtimes.manifest import OutputSpec
    from genx_runtimes.png import Pixels
    from genx_runtimes.session import SessionOptions

_AMPLIFIED = 8


def check_picture(path: Path, output: OutputSpec, *, force: bool) -> None:
    """Refuse what cannot be drawn, before any work is done.

    Raises:
        InputError: the output is no image, the ending is not .png, or something is in the way.
    """
    from genx_runtimes.writing import check_file

    if output.kind != "image":
        raise InputError(
            f"the output of this bundle is {output.noun}, not an image", fix="leave out --picture"
        )
    check_file(path, ".png", force=force)


def draw_comparison(
    bundle: Bundle, path: Path, *, backend: str, options: SessionOptions | None = None
) -> list[str]:
    """Write a picture: a row of samples for each variant, then the differences to the first.

    The samples are the golden ones, and so are the same in every bundle of a model.

    Returns:
        a line for each row, from the top.
    """
    import numpy as np

    from genx_runtimes.images import make_grid, to_pixels
    from genx_runtimes.png import encode_png
    from genx_runtimes.verify import measure_error, measure_range, repeat_golden
    from genx_runtimes.writing import write_whole

    manifest = bundle.manifest
    count = manifest.golden.count
    rows: list[Pixels] = []
    outputs, lines = {}, []
    for variant in manifest.variants:
        with bundle.sampler(backend=backend, precision=variant.name, options=options) as sampler:
            output = repeat_golden(bundle, sampler)
        outputs[variant.name] = output
        rows.append(to_pixels(output, manifest.output))
        lines.append(f"row {len(rows)}: {variant.name}")
    first = manifest.variants[0].name
    scale = measure_range(outputs[first], manifest.output.range)
    for name, pixels in zip(list(outputs)[1:], rows[1:], strict=False):
        rows.append(amplify_difference(pixels, rows[0]))
        psnr = measure_error(outputs[name], outputs[first], scale)[1]
        lines.append(
            f"row {len(rows)}: {_AMPLIFIED} x |{name} - {first}|, {psnr:.1f} dB PSNR on these"
        )
    with write_whole(path) as file:
        file.write(encode_png(make_grid(np.concatenate(rows), columns=count)))
    return lines


def amplify_difference(pixels: Pixels, others: Pixels) -> Pixels:
    """Return the difference of (B, H, W, C) pixels: bright is far off, opacity included."""
    import numpy as np

    from genx_runtimes.images import ALPHA

    top = np.iinfo(pixels.dtype).max
    apart = np.abs(pixels.astype(np.int32) - others.astype(np.int32)) * _AMPLIFIED
    if pixels.shape[3] in ALPHA:
        apart[..., :-1] = np.maximum(apart[..., :-1], apart[..., -1:])
        apart[..., -1] = top
    # What is beyond the brightest stays there.
    shown: Pixels = np.minimum(apart, top).astype(pixels.dtype)
    return shown
