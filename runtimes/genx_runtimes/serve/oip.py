"""The Open Inference Protocol v2 over HTTP, with Triton's binary tensors.

Every component of a bundle is a model (`dcgan.generator`), and so is its sampler (`dcgan`).

Source: kserve/open-inference-protocol, `inference_rest.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.manifest import CategoricalPrior
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, join_draws
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import answer_json, endpoint, while_connected
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.oip_models import VERSION, describe_model_tensors, list_outputs
from genx_runtimes.serve.oip_requests import InferRequest, check_request, find_limits
from genx_runtimes.serve.refusals import NotFoundError, StoppingError
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.settings import Limits
from genx_runtimes.serve.tensors import read_request, write_answer
from genx_runtimes.session import Array
from genx_runtimes.version import __version__

_EXTENSIONS = ("binary_tensor_data", "model_repository")
_VALUE_BYTES = 4
_SETTINGS = frozenset(wire.SETTINGS)
_Default = TypeVar("_Default", int, None)
_ENCODING = "inference-header-content-length"


def make_routes(repository: Repository) -> list[Route]:
    """Return the routes under /v2, but the repository's."""

    async def describe_server(_: Request) -> Response:
        return answer_json(
            {"name": "genx", "version": __version__, "extensions": list(_EXTENSIONS)}
        )

    async def live(_: Request) -> Response:
        return answer_json({"live": True})

    async def ready(_: Request) -> Response:
        return answer_json({"ready": repository.ready}, status=200 if repository.ready else 503)

    async def describe_model(request: Request) -> Response:
        name, component = _split(repository, request)
        manifest = repository.find(name).bundle.manifest
        return answer_json(describe_model_tensors(manifest, component))

    async def model_ready(request: Request) -> Response:
        name, _ = _split(repository, request)
        entry = repository.find(name)
        if entry.reason:
            raise StoppingError(f"model {name!r} is not ready: {entry.reason}")
        return answer_json({"name": name, "ready": True})

    async def infer(request: Request) -> Response:
        name, component = _split(repository, request)
        body = await request.body()
        length = request.headers.get(_ENCODING)
        asked, inputs = await wire.elsewhere(len(body) // _VALUE_BYTES, read_request, body, length)
        limits = find_limits(asked, repository.settings.limits)
        deadline = wire.find_deadline(limits)
        model = await repository.get(name, deadline=deadline)
        told: dict[str, object] = {}
        with model.in_use():
            check_request(
                asked,
                outputs=list_outputs(model.manifest, component),
                settings=wire.SETTINGS if component is None else (),
            )
            if component is None:
                seed = wire.choose_seed(_scalar(inputs, "seed", None))
                told = {"parameters": {"seed": seed}}
                work = _sample(model, inputs, asked.parameters, seed, limits, deadline)
            else:
                work = _run(model, component, inputs, deadline)
            outputs = await while_connected(request, work)
        values = sum(array.nbytes for array in outputs.values()) // _VALUE_BYTES  # or letters
        full = request.path_params["model"]
        return await wire.elsewhere(values, _answer, full, asked, told, outputs)

    model = "/v2/models/{model}"
    versioned = f"{model}/versions/{{version}}"
    routes = [
        Route("/v2", endpoint(describe_server), name="server_metadata"),
        Route("/v2/health/live", endpoint(live), name="server_live"),
        Route("/v2/health/ready", endpoint(ready), name="server_ready"),
    ]
    for path in (model, versioned):
        routes += [
            Route(path, endpoint(describe_model), name="model_metadata"),
            Route(f"{path}/ready", endpoint(model_ready), name="model_ready"),
            Route(f"{path}/infer", endpoint(infer), methods=["POST"], name="model_infer"),
        ]
    return routes


def _split(repository: Repository, request: Request) -> tuple[str, str | None]:
    """Return the bundle and the component that a request names; None is the sampler.

    Raises:
        NotFoundError: there is none, or not in that version.
    """
    full = request.path_params["model"]
    version = request.path_params.get("version", VERSION)
    if version != VERSION:
        raise NotFoundError(f"model {full!r} has version {VERSION} alone")
    if full in repository.entries:
        return full, None
    name, _, component = full.rpartition(".")
    entry = repository.entries.get(name)
    if entry and component in [c.name for c in entry.bundle.manifest.components]:
        return name, component
    repository.find(full)
    raise NotFoundError(f"unknown model {full!r}")


async def _run(
    model: ServedModel, component: str, inputs: Mapping[str, Array], deadline: float
) -> dict[str, Array]:
    """Run one graph on what is sent."""
    spec = model.manifest.component(component)
    sizes = {a.shape[0] for a in inputs.values() if a.ndim}
    bounds = model.manifest.batch
    if len(sizes) == 1 and not bounds.min <= (size := sizes.pop()) <= bounds.max:
        raise InputError(f"batch is {size}, {component!r} takes {bounds.min} to {bounds.max}")
    known = {t.name: t for t in spec.inputs}
    for name, array in inputs.items():
        if name in known and array.dtype.kind == "U":
            raise InputError(f"input {name!r} is BYTES, expected {known[name].dtype}")
    try:
        return await model.run(component, inputs, deadline=deadline)
    except BackendError as err:
        # The graph has drawn its golden samples: an index of the client's may be out of range.
        if any(array.dtype.kind in "iu" for array in inputs.values()):
            raise InputError(f"{component!r} does not run on these inputs: {err}") from err
        raise


async def _sample(
    model: ServedModel,
    inputs: Mapping[str, Array],
    parameters: Mapping[str, object],
    seed: int,
    limits: Limits,
    deadline: float,
) -> dict[str, Array]:
    """Draw samples: `n`, `start`, and conditions, one for all samples or one for each.

    Settings of the loop (steps, temperature ...) and truncation are parameters of the request.
    """
    n, start = (_scalar(inputs, name, default) for name, default in (("n", 1), ("start", 0)))
    if n < 1:
        raise InputError(f"n is {n}, expected 1 or more")
    priors = {prior.name: prior for prior in model.manifest.priors}
    fixed: dict[str, Array] = {}
    for name, array in inputs.items():
        if name in ("seed", "n", "start"):
            continue
        if name not in priors:
            raise InputError(f"there is no input {name!r}", fix=f"there is {['seed', *priors]}")
        if array.dtype.kind == "U" and not isinstance(priors[name], CategoricalPrior):
            raise InputError(f"input {name!r} is BYTES, expected numbers")
        if array.ndim == 0 or len(array) not in (1, n) or not array.size:
            raise InputError(f"input {name!r} has {array.shape}, expected one value, or {n}")
        fixed[name] = array
    asked = wire.convert({"n": n, **{k: v for k, v in parameters.items() if k in _SETTINGS}})
    each = any(len(array) > 1 for array in fixed.values())
    options = asked.options

    def draw() -> Draw:
        draws = []
        for first in range(n) if each else (0,):
            conditions = {name: _value(a[min(first, len(a) - 1)]) for name, a in fixed.items()}
            draws.append(
                model.draw(
                    1 if each else n,
                    seed=seed,
                    start=start + first,
                    conditions=conditions,
                    truncation=asked.truncation,
                    options=options,
                )
            )
        return join_draws(draws)

    batch = await wire.make(
        model,
        draw,
        asked,
        limits,
        deadline=deadline,
        conditioned=bool(fixed),
        draws=n if each else 1,
    )
    return await wire.elsewhere(batch.output.size, _list_tensors, batch)


def _list_tensors(batch: Batch) -> dict[str, Array]:
    if batch.spec.kind == "text":
        return {batch.spec.name: np.asarray(batch.texts(), dtype=np.str_)}
    found = {batch.spec.name: batch.output}
    if batch.spec.kind == "image":
        found["pixels"] = batch.images()
    return found


def _value(item: object) -> object:
    if isinstance(item, np.ndarray):
        return item.astype(np.float32) if item.size > 1 else item.reshape(-1)[0].item()
    return item.item() if isinstance(item, np.generic) else item


def _scalar(inputs: Mapping[str, Array], name: str, default: _Default) -> int | _Default:
    array = inputs.get(name)
    if array is None:
        return default
    if array.size != 1 or array.dtype.kind not in "iu":
        raise InputError(f"input {name!r} is {array.dtype} of {array.shape}, expected one integer")
    return int(array.reshape(-1)[0])


def _answer(
    name: str, asked: InferRequest, told: Mapping[str, object], outputs: Mapping[str, Array]
) -> Response:
    head: dict[str, object] = {"model_name": name, "model_version": VERSION, **told}
    if asked.id:
        head["id"] = asked.id
    body, length = write_answer(asked, head, outputs)
    if length is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={_ENCODING: str(length)})
