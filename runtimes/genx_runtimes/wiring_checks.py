"""What a sampling loop gives to the graphs that it runs, and takes from them, as a manifest has it.

Each graph's inputs are fed by a prior or by the loop, never by both, and have the shapes of what
feeds them. Source: docs/bundle.md, "Sampler".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from genx_runtimes.manifest import (
    CategoricalPrior,
    ComponentSpec,
    Manifest,
    NormalPrior,
    TensorSpec,
)
from genx_runtimes.prior_checks import describe_input
from genx_runtimes.sampling_specs import (
    DiffusionSpec,
    PixelsSpec,
    RecurrentSpec,
    StateSpec,
    TokensSpec,
    TranslateSpec,
)

_Shape = tuple[int | None, ...]
# In the place of an output's name: the first one.
_FIRST = ""


class _Port(NamedTuple):
    """An input or output of a graph; None where a size, or the whole shape, is the graph's own."""

    component: str
    name: str
    shape: _Shape | None = None
    dtype: str = "float32"


class _Wiring(NamedTuple):
    """The inputs that a loop gives, and the outputs that it takes."""

    given: Sequence[_Port]
    taken: Sequence[_Port]


def list_wiring_problems(manifest: Manifest) -> list[str]:
    """List where a manifest's loop, priors and graphs do not fit together."""
    wiring = _describe_wiring(manifest)
    run = {name: manifest.component(name) for name in manifest.sampler.components}
    given = {(port.component, port.name) for port in wiring.given}
    problems = []
    if len(given) != len(wiring.given):
        problems.append(f"the {manifest.sampler.kind} loop gives two things to one input")
    if isinstance(manifest.sampler, DiffusionSpec):
        problems += _check_start(manifest.sampler, manifest)
    fed = [*wiring.given]
    for prior in manifest.priors:
        dtype, shape = describe_input(prior)
        for name, component in run.items():
            if prior.name not in [port.name for port in component.inputs]:
                continue
            if (name, prior.name) in given:
                problems.append(
                    f"prior {prior.name!r} is called like an input of {name!r} that the "
                    f"{manifest.sampler.kind} loop gives"
                )
            fed.append(_Port(name, prior.name, _cut_time(manifest, name, prior.name, shape), dtype))
    names = {(port.component, port.name) for port in fed}
    for name, component in run.items():
        problems += [
            f"input {port.name!r} of {name!r} is fed by no prior, and not by the loop"
            for port in component.inputs
            if (name, port.name) not in names
        ]
    for ports, side in ((fed, "input"), (wiring.taken, "output")):
        for port in ports:
            problems += _compare(port, run[port.component], side)
    return problems


def _cut_time(
    manifest: Manifest, component: str, prior: str, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape of what a prior feeds: a step takes one element of a sequence."""
    sampler = manifest.sampler
    steps = isinstance(sampler, RecurrentSpec) and component == sampler.component
    return shape[1:] if steps and prior in sampler.sequences else shape  # type: ignore[union-attr]


def _describe_wiring(manifest: Manifest) -> _Wiring:
    sampler, output = manifest.sampler, manifest.output.name
    first = manifest.component(sampler.component)
    if isinstance(sampler, TranslateSpec):
        return _wire_translate(sampler, manifest)
    if isinstance(sampler, RecurrentSpec):
        return _wire_recurrent(sampler, first, output)
    if isinstance(sampler, TokensSpec):
        return _wire_tokens(sampler)
    if isinstance(sampler, PixelsSpec):
        return _wire_pixels(sampler, first)
    if isinstance(sampler, DiffusionSpec):
        return _wire_diffusion(sampler, first, output)
    return _Wiring(given=[], taken=[_Port(sampler.component, output)])


def _wire_translate(spec: TranslateSpec, manifest: Manifest) -> _Wiring:
    height, width = (side * spec.scale for side in spec.tile[1:])
    grey = manifest.output.layout == "NHW"
    return _Wiring(
        given=[_Port(spec.component, spec.image, spec.tile)],
        taken=[
            _Port(
                spec.component,
                manifest.output.name,
                (height, width) if grey else (None, height, width),
            )
        ],
    )


def _wire_recurrent(spec: RecurrentSpec, step: ComponentSpec, output: str) -> _Wiring:
    given, taken = _wire_states(spec.component, spec.states)
    element = _find_shape(step.outputs, output)
    taken.append(_Port(spec.component, output))
    if spec.whole is not None and element is not None:
        joined = (*element[: spec.axis], spec.length, *element[spec.axis :])
        taken.append(_Port(spec.whole, output, joined))
    return _Wiring(given=given, taken=taken)


def _wire_tokens(spec: TokensSpec) -> _Wiring:
    given, taken = _wire_states(spec.component, spec.states)
    given += [_Port(spec.component, name, (), "int64") for name in (spec.token, spec.position)]
    taken.append(_Port(spec.component, _FIRST, (None,)))
    return _Wiring(given=given, taken=taken)


def _wire_pixels(spec: PixelsSpec, step: ComponentSpec) -> _Wiring:
    channels, _, width = spec.shape
    given, taken = _wire_states(spec.component, spec.states)
    features = (_find_shape(step.inputs, spec.features) or (None,))[:1]
    given += [
        _Port(spec.component, spec.pixel, (channels, 1, 1)),
        _Port(spec.component, spec.features, (None,)),
        _Port(spec.row, spec.above, (channels, spec.window, width)),
    ]
    if spec.inside is not None:
        given.append(_Port(spec.row, spec.inside, (1, spec.window, 1)))
    taken += [
        _Port(spec.component, _FIRST, (channels, spec.levels)),
        _Port(spec.row, spec.features, (*features, width)),
    ]
    return _Wiring(given=given, taken=taken)


def _wire_diffusion(spec: DiffusionSpec, denoiser: ComponentSpec, output: str) -> _Wiring:
    noisy = _find_shape(denoiser.inputs, spec.x)
    given = [_Port(spec.component, spec.time, ())]
    taken = [_Port(spec.component, _FIRST, noisy)]
    if spec.decoder is not None:
        given.append(_Port(spec.decoder, spec.latent, noisy))
        taken.append(_Port(spec.decoder, output))
    return _Wiring(given=given, taken=taken)


def _check_start(spec: DiffusionSpec, manifest: Manifest) -> Iterator[str]:
    """Yield where what starts and what guides a diffusion is not drawn for the denoiser."""
    inputs = [port.name for port in manifest.component(spec.component).inputs]
    priors = {prior.name: prior for prior in manifest.priors if prior.name in inputs}
    if not isinstance(priors.get(spec.x), NormalPrior):
        yield f"diffusion starts from {spec.x!r}, which is no normal prior of {spec.component!r}"
    if spec.guidance is None:
        return
    condition = priors.get(spec.guidance.condition)
    if not isinstance(condition, CategoricalPrior) or condition.encoding != "index":
        yield (
            f"guidance needs {spec.guidance.condition!r}, which is no categorical prior of indices "
            f"of {spec.component!r}"
        )


def _wire_states(component: str, states: Sequence[StateSpec]) -> tuple[list[_Port], list[_Port]]:
    given = [_Port(component, state.name, state.shape) for state in states]
    taken = []
    for state in states:
        shape = list(state.shape)
        if state.grows is not None:
            shape[state.grows] = 1
        taken.append(_Port(component, f"next_{state.name}", tuple(shape)))
    return given, taken


def _find_shape(ports: Sequence[TensorSpec], name: str) -> _Shape | None:
    """Return the shape of one sample of an input or output; None if it is not there."""
    known: Mapping[str, _Shape] = {
        p.name: tuple(d if isinstance(d, int) else None for d in p.shape[1:]) for p in ports
    }
    return known.get(name)


def _compare(port: _Port, component: ComponentSpec, side: str) -> Iterator[str]:
    """Yield how an input or output differs from what the loop needs it to be."""
    ports = component.inputs if side == "input" else component.outputs
    found = (
        ports[0] if port.name == _FIRST else next((p for p in ports if p.name == port.name), None)
    )
    if found is None:
        yield f"{side} {port.name!r} is no {side} of {component.name!r}"
        return
    shape = found.shape[1:]
    fits = port.shape is None or (
        len(shape) == len(port.shape)
        and all(b in (None, a) for a, b in zip(shape, port.shape, strict=True))
    )
    if not fits or (side == "input" and found.dtype != port.dtype):
        got, wanted = (
            ", ".join(map(str, shape)),
            ", ".join("?" if d is None else str(d) for d in port.shape or ()),
        )
        yield (
            f"{side} {found.name!r} of {component.name!r} is {found.dtype} ({got}) a sample, "
            f"expected {port.dtype} ({wanted})"
        )
