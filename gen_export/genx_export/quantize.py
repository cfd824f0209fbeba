"""Variants of lower precision for a bundle that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import msgspec

from genx_export.bundle_writer import check_target, write_bundle
from genx_export.cost import state_costs
from genx_export.disk_files import DiskFiles
from genx_export.quantisation.extend import Extended, Form, check_precisions, extend_bundle
from genx_export.quantisation.image_folder import Folders, read_images, require_images
from genx_export.quantisation.material import count_samples, draw_from_bundle, find_base
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_runtimes.bundle import open_bundle
from genx_runtimes.progress import Progress
from genx_runtimes.session import warn


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeReport:
    """What `quantize` wrote.

    Args:
        path: the bundle.
        bytes: size of all its files.
        extended: its variants and how they came about.
    """

    path: Path
    bytes: int
    extended: Extended


def quantize(
    bundle: str | PathLike[str],
    output_path: str | PathLike[str] | None = None,
    *,
    precision: Sequence[str] = ("fp32", "int8"),
    form: Form = "auto",
    recipe: QuantisationRecipe | None = None,
    images: Folders | None = None,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> QuantizeReport:
    """Make variants from a bundle's fp32 graphs, without the model that they came from.

    Args:
        bundle: with an fp32 variant, which equals the original model up to its tolerance.
        output_path: the bundle to write; None replaces `bundle`.
        precision: the variants of the new bundle; see `export`.
        form: see `export`.
        recipe: how to quantise, quality floor included.
        images: see `export`.
        force: replace an existing bundle at `output_path`.
        progress: called with a few words before each step.

    Raises:
        InputError: an option is wrong, or the target exists.
        BundleError: the bundle cannot be used.
        QualityError: a precision stays below the recipe's floor; nothing is written.
        OutputError: the bundle cannot be written.
    """
    settings = recipe or QuantisationRecipe()
    check_precisions(precision, form, settings.target)
    source = Path(bundle)
    target = Path(output_path) if output_path is not None else source
    opened = open_bundle(source)
    check_target(target, force=force or output_path is None)
    require_images(opened.manifest.sampler, precision, images or {})
    progress("drawing samples")
    counts = count_samples(settings, opened.manifest.batch)
    given = read_images(images or {}, opened.manifest, settings, counts)
    settings = replace(settings, images=given.files)
    golden = opened.golden()
    base = find_base(opened.manifest)
    files = DiskFiles()
    for ref in (*base.graphs.values(), opened.manifest.golden.file):
        files[ref.path] = opened.read_file(ref)
    extended = extend_bundle(
        msgspec.structs.replace(opened.manifest, variants=(base,)),
        files,
        golden=golden,
        material=draw_from_bundle(opened, base, settings, given),
        precisions=precision,
        form=form,
        recipe=settings,
        progress=progress,
    )
    manifest = state_costs(extended.manifest, extended.files, warn)
    progress("writing the bundle")
    size = write_bundle(target, manifest, extended.files, as_zip=source.is_file())
    return QuantizeReport(path=target, bytes=size, extended=replace(extended, manifest=manifest))
