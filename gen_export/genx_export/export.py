"""The export pipeline: load, run, translate, clean, verify, write."""

from __future__ import annotations

import math
import re
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from genx_export.bundle_contents import assemble_bundle, collect_golden, collect_loop
from genx_export.bundle_writer import check_target, pack_manifest, write_bundle
from genx_export.contract import check_contract
from genx_export.cost import state_costs
from genx_export.disk_files import DiskFiles
from genx_export.feeding import FedComponent, feed_components, run_model_loop
from genx_export.flags import parse_batch, parse_output, parse_prior
from genx_export.graph import measure_graph, name_ports, serialise
from genx_export.loop_feeding import LoopRun
from genx_export.model import DEFAULT_BATCH, LoadedModel
from genx_export.passes import run_passes
from genx_export.quantisation.extend import Form, check_precisions, extend_bundle
from genx_export.quantisation.image_folder import (
    NOTHING,
    Folders,
    Given,
    read_images,
    require_images,
)
from genx_export.quantisation.material import count_samples, draw_from_model
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_export.report import ComponentReport, ExportReport
from genx_export.sources import SourceRequest, load_source
from genx_export.verification import (
    add_loop_check,
    check_independence,
    check_translation,
    verify_components,
)
from genx_runtimes.errors import InputError, SourceError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import BatchBounds, Manifest, OutputSpec
from genx_runtimes.manifest_checks import list_contradictions
from genx_runtimes.progress import Progress
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.samplers.translate import add_images
from genx_runtimes.sampling_specs import StateSpec
from genx_runtimes.session import Array

# fp32 on another engine differs by rounding alone; the three samples differ by 3e-7 at most.
FP32_TOLERANCE = 1e-5
GOLDEN_SEED = 0
TRACE_SEED = 1
GOLDEN_COUNT = 8
# What a text model remembers is in the golden samples, a whole cache each.
GOLDEN_STATE_BYTES = 32_000_000


def export(  # noqa: PLR0913 - keyword-only, one for each flag of `genx export`
    source: str | PathLike[str],
    output_path: str | PathLike[str],
    *,
    weights: str | PathLike[str] | None = None,
    weights_key: str | None = None,
    weights_prefix: str = "",
    priors: Sequence[str] = (),
    output: str | None = None,
    family: str | None = None,
    name: str | None = None,
    batch: str | None = None,
    tolerance: float = FP32_TOLERANCE,
    precision: Sequence[str] = ("fp32",),
    form: Form | None = None,
    recipe: QuantisationRecipe | None = None,
    images: Folders | None = None,
    force: bool = False,
    as_zip: bool = False,
    progress: Progress = lambda _: None,
) -> ExportReport:
    """Turn a trained model into a bundle, and prove that it draws the same.

    Args:
        source: a folder with recipe.toml or from Hugging Face, `file.py:callable`,
            `package.module:callable`, a `.pt2` or an `.onnx`.
        output_path: the bundle to write, `NAME.genx`.
        weights: `.safetensors`, or a torch state dict.
        weights_key: entry of a checkpoint that holds the state dict.
        weights_prefix: take only the tensors whose names start so, and cut it off.
        priors: such as "z=normal:100", "label=categorical:10"; see `flags.py`.
        output: such as "image:-1..1"; see `flags.py`.
        family: how the model is cut up; see `families/`.
        name: the bundle's name.
        batch: bounds of the batch size, "MIN:MAX"; 1:64 unless the source is narrower.
        tolerance: largest allowed max |error| over the output range, of fp32.
        precision: the variants to make, of "fp32", "fp16", "int8", and "int8-weights" and
            "int4-weights", whose activations stay in float32; the first is the default.
        form: "native", "rewritten", or "auto": what is faster here. None takes "native" for fp32
            alone, which needs no measuring, and "auto" otherwise.
        recipe: how to quantise, quality floor included.
        images: folders of images that inputs are calibrated with instead of draws from their prior,
            by input, or `.npz` archives of them; before those of a recipe.
        force: replace an existing bundle.
        as_zip: write one file instead of a directory.
        progress: called with a few words before each step.

    Raises:
        InputError: an option is wrong, or the target exists.
        ExportError: the model cannot become a bundle; see its sub-classes.
        VerificationError: the graph differs from the original by more than the tolerance.
        QualityError: a precision stays below the recipe's floor.
        OutputError: the bundle cannot be written.

    Nothing is written unless all went well.
    """
    begun = time.perf_counter()
    target = Path(output_path)
    if not tolerance > 0:
        raise InputError(f"tolerance is {tolerance}, expected more than 0")
    wanted_form: Form = form or ("native" if tuple(precision) == ("fp32",) else "auto")
    settings = recipe or QuantisationRecipe()
    check_precisions(precision, wanted_form, settings.target)
    quantises = (tuple(precision), wanted_form) != (("fp32",), "native")
    request = SourceRequest(
        weights=Path(weights) if weights is not None else None,
        weights_key=weights_key,
        weights_prefix=weights_prefix,
        name=name,
        family=family,
        priors=tuple(map(parse_prior, priors)),
        output=parse_output(output) if output else None,
    )
    asked = parse_batch(batch) if batch else None
    check_target(target, force=force)

    progress("loading the model")
    model = load_source(str(source), request)
    _check_model(model)
    if images and not (quantises or model.family.takes_images):
        raise InputError("images are for calibration, and fp32 needs none", fix="add int8")
    folders = {**model.images, **(images or {})}
    bounds = _agree_on_batch(model, asked)

    progress("running the original model")
    given = NOTHING
    if model.family.takes_images:
        require_images(model.sampler, precision, folders)
        given = read_images(folders, model, settings, count_samples(settings, bounds))
    draw, loop, golden = _run_golden(model, bounds, given)
    contract, made = _find_output(model, golden, loop)
    warnings = [
        *model.warnings,
        *check_contract(contract, made, given=model.output),
    ]

    new_files = DiskFiles if quantises else dict[str, bytes]
    graphs: MutableMapping[str, bytes] = new_files()
    reports = _translate(model, bounds, graphs, progress)

    progress("verifying against the original model")
    for fed in golden:
        check_independence(fed, bounds)
    specs = tuple(f.describe() for f in golden)
    arrays = collect_golden(golden) | collect_loop(loop, draw, contract)
    quality = verify_components(specs, graphs, arrays, bounds, contract, tolerance)

    files: MutableMapping[str, bytes] = new_files()
    manifest = assemble_bundle(
        model,
        files,
        components=specs,
        batch=bounds,
        contract=contract,
        graphs=graphs,
        golden=arrays,
        golden_seed=GOLDEN_SEED,
        tolerance=tolerance,
        quality=quality,
    )
    _check_manifest(manifest)
    if loop is not None:
        manifest = add_loop_check(manifest, graphs, arrays)
    extended = None
    if quantises:
        progress("drawing samples from the original model")
        if not model.family.takes_images:
            given = read_images(folders, manifest, settings, count_samples(settings, bounds))
        settings = replace(settings, images=given.files)
        extended = extend_bundle(
            manifest,
            files,
            golden=arrays,
            material=draw_from_model(model, bounds, settings, given),
            precisions=precision,
            form=wanted_form,
            recipe=settings,
            progress=progress,
        )
        manifest, files = extended.manifest, extended.files
    progress("writing the bundle")
    size = write_bundle(target, state_costs(manifest, files, warnings.append), files, as_zip=as_zip)
    return ExportReport(
        path=target,
        name=model.name,
        bytes=size,
        components=reports,
        max_error=quality["max_error"],
        tolerance=tolerance,
        psnr_db=quality.get("psnr_db"),
        batch=(bounds.min, bounds.max),
        seconds=time.perf_counter() - begun,
        warnings=tuple(warnings),
        variants=extended.variants if extended else (),
        decisions=extended.decisions if extended else {},
        dropped=extended.dropped if extended else (),
    )


def _run_golden(
    model: LoadedModel, bounds: BatchBounds, given: Given
) -> tuple[Draw, LoopRun | None, list[FedComponent]]:
    """Run the original model for the golden samples, on real images where there are some."""
    draw = _draw(model, GOLDEN_SEED, _count_golden(model, bounds))
    size = min(len(draw.indices), bounds.max)
    loop = run_model_loop(model, draw, size=size, max_batch=bounds.max)
    images = {name: array[: len(draw.indices)] for name, array in given.fresh.items()}
    golden = feed_components(model, draw.feeds, size=size, given=images, loop=loop)
    return draw, loop, golden


def _count_golden(model: LoadedModel, bounds: BatchBounds) -> int:
    """Return how many golden samples there are: whole batches, few where states are large."""
    states: tuple[StateSpec, ...] = getattr(model.sampler, "states", ())
    size = 4 * sum(math.prod(state.shape) for state in states)
    wanted = min(GOLDEN_COUNT, max(1, GOLDEN_STATE_BYTES // size)) if size else GOLDEN_COUNT
    return -(-wanted // bounds.min) * bounds.min


def _draw(model: LoadedModel, seed: int, count: int) -> Draw:
    """Return the first `count` samples of a seed, with images where the model takes them."""
    indices = range(count)
    feeds = LatentSource(model.priors, seed).draw(indices)
    return add_images(model.sampler, Draw(seed=seed, indices=indices, feeds=feeds))


def _find_output(
    model: LoadedModel, golden: Sequence[FedComponent], loop: LoopRun | None
) -> tuple[OutputSpec, Array]:
    """Return the output contract, and the samples (B, ...) that the original model made."""
    if loop is not None:
        return model.contract, loop.output
    sampled = next(f for f in golden if f.component.name == model.family.sampled)
    contract = model.output or OutputSpec(name=next(iter(sampled.outputs)), kind="tensor")
    samples = sampled.outputs[contract.name]
    check_translation(model.sampler, contract, samples)
    return contract, samples


def _agree_on_batch(model: LoadedModel, asked: BatchBounds | None) -> BatchBounds:
    """Return the batch sizes that all components accept, within those asked for.

    Raises:
        InputError: there is none.
    """
    agreed = asked or DEFAULT_BATCH
    for component in model.components:
        own = component.bounds
        if own is None:
            continue
        low, high = max(own.min, agreed.min), min(own.max, agreed.max)
        if low > high:
            if asked is None:
                low, high = own.min, own.min  # outside the default alone: take the smallest
            else:
                raise InputError(
                    f"component {component.name!r} takes batches of {own.min} to {own.max}, "
                    f"asked for {asked.min} to {asked.max}",
                    fix=f"--batch {own.min}:{own.max}",
                )
        agreed = BatchBounds(min=low, max=high)
    return agreed


def _translate(
    model: LoadedModel,
    bounds: BatchBounds,
    graphs: MutableMapping[str, bytes],
    progress: Progress,
) -> tuple[ComponentReport, ...]:
    """Make each component's ONNX file in `graphs`, traced on other samples than the golden ones."""
    reports = []
    # torch.export takes 0 and 1 for constants: trace with two samples where that is allowed.
    draw = _draw(model, TRACE_SEED, min(max(2, bounds.min), bounds.max))
    size = len(draw.indices)
    loop = run_model_loop(model, draw, size=size, max_batch=bounds.max)
    for fed in feed_components(model, draw.feeds, size=size, loop=loop):
        name = fed.component.name
        progress(f"translating the {name}")
        graph = fed.component.translate(fed.feeds, bounds)
        name_ports(graph, list(fed.ports.values()), list(fed.outputs))
        passes = run_passes(graph)
        graphs[name] = serialise(name, graph)
        nodes, parameters = measure_graph(graph)
        reports.append(
            ComponentReport(
                name=name,
                parameters=parameters,
                nodes=nodes,
                bytes=len(graphs[name]),
                passes=tuple(passes),
            )
        )
    return tuple(reports)


def _check_manifest(manifest: Manifest) -> None:
    """Refuse what no reader would take, before hours are spent on quantising it."""
    for problem in list_contradictions(manifest):
        raise SourceError(problem, fix="see docs/bundle.md")
    pack_manifest(manifest)


def _check_model(model: LoadedModel) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", model.name):
        raise InputError(
            f"name {model.name!r} has characters other than A-Z a-z 0-9 . _ -", fix="--name NAME"
        )
    if not (model.priors or model.family.takes_images or model.family.draws):
        raise SourceError("the model has no prior to sample from", fix="--prior z=normal:100")
