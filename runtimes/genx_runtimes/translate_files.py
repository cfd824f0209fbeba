"""Translating picture files: what becomes of which, checked before the first is translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genx_runtimes.conditions import ConditionValue
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import Manifest
from genx_runtimes.pictures import (
    Picture,
    Pixels,
    enlarge_alpha,
    list_pictures,
    read_picture,
    write_picture,
)
from genx_runtimes.translate import Translator, check_translates
from genx_runtimes.writing import check_free, make_folder, write_whole

_ENDING = ".png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A picture to translate.

    Args:
        source: the file.
        name: of the file that it becomes; its index is the order of the jobs.
        size: rows and columns, as it is seen.
    """

    source: Path
    name: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be written.

    Args:
        jobs: one a picture.
        target: the file, or the folder that files are written into.
        into_folder: whether it is a folder.
        others: files of folders that are no pictures, and are left alone.
    """

    jobs: tuple[Job, ...]
    target: Path
    into_folder: bool
    others: int


def plan_files(manifest: Manifest, inputs: Sequence[Path], target: Path, *, force: bool) -> Plan:
    """Find the pictures, read each once, and look where the results go.

    Args:
        manifest: of the bundle.
        inputs: files, and folders whose pictures are taken (sub-folders are not).
        target: `NAME.png` for one file, else a folder.
        force: replace existing files.

    Raises:
        InputError: no picture, one that cannot be used, two that would get the same name, or
            something is in the way.
    """
    check_translates(manifest)
    sources: list[Path] = []
    others = 0
    for path in inputs:
        if path.is_dir():
            found = list_pictures(path)
            others += len(list(path.iterdir())) - len(found)
            sources += found
        else:
            sources.append(path)
    into_folder = target.suffix == "" or target.is_dir()
    if into_folder:
        check_free(target, force=True, folder=True)
    else:
        _check_file(target, sources, inputs, force=force)
    names = [source.stem + _ENDING for source in sources] if into_folder else [target.name]
    for index, name in enumerate(names):
        if name in names[:index]:
            first = sources[names.index(name)]
            raise InputError(
                f"{first} and {sources[index]} would both become {name}",
                fix="translate them into different folders",
            )
        if into_folder:
            check_free(target / name, force=force)
    jobs = tuple(
        Job(source=source, name=name, size=_measure(source, manifest))
        for source, name in zip(sources, names, strict=True)
    )
    return Plan(jobs=jobs, target=target, into_folder=into_folder, others=others)


def run_plan(
    translator: Translator,
    plan: Plan,
    *,
    seed: int = 0,
    conditions: Mapping[str, ConditionValue] | None = None,
    progress: Callable[[int], None],
) -> list[str]:
    """Translate the pictures; return the files that were written, all of them or none.

    Args:
        translator: of the bundle that was planned for.
        plan: what to do.
        seed: of the model's priors; picture `i` of the plan takes sample `i`.
        conditions: what of them is fixed instead, see `conditions.py`.
        progress: called with the number of tiles that have been done since the last call.

    Raises:
        InputError: a condition is wrong, or a picture was changed since it was planned.
        OutputError: a file cannot be written.
    """

    def write(file: BinaryIO, index: int) -> None:
        before = read_picture(plan.jobs[index].source, translator.spec.tile[0])
        pixels = translator.translate(
            before.pixels, seed=seed, index=index, conditions=conditions, progress=progress
        )
        write_picture(file, _complete(pixels, before, translator.spec.scale))

    if not plan.into_folder:
        with write_whole(plan.target) as file:
            write(file, 0)
        return [str(plan.target)]
    with make_folder(plan.target) as folder:
        for index, job in enumerate(plan.jobs):
            with (folder / job.name).open("xb") as file:
                write(file, index)
    return [str(plan.target / job.name) for job in plan.jobs]


def _complete(pixels: Pixels, before: Picture, scale: int) -> Picture:
    """Return what was made of a picture, with what of it stays as it was."""
    alpha = None if before.alpha is None else enlarge_alpha(before.alpha, scale)
    same = pixels.shape[2] == before.pixels.shape[2]
    return Picture(pixels=pixels, alpha=alpha, profile=before.profile if same else None)


def _check_file(
    target: Path, sources: Sequence[Path], inputs: Sequence[Path], *, force: bool
) -> None:
    if target.suffix != _ENDING:
        raise InputError(
            f"{target} ends in {target.suffix!r}, results are PNG files",
            fix=f"-o {target.with_suffix(_ENDING)}, or a folder",
        )
    if len(sources) != 1 or any(path.is_dir() for path in inputs):
        raise InputError(
            f"{len(sources)} pictures do not fit into {target}",
            fix=f"give a folder: -o {target.with_suffix('')}",
        )
    check_free(target, force=force)


def _measure(path: Path, manifest: Manifest) -> tuple[int, int]:
    """Return rows and columns of a picture that can be translated."""
    spec = check_translates(manifest)
    picture = read_picture(path, spec.tile[0])
    if picture.alpha is not None and manifest.sample_spec().shape[1] == 4:
        raise InputError(f"{path} has alpha, and the model makes its own", fix="save it without")
    height, width, _ = picture.pixels.shape
    return height, width
