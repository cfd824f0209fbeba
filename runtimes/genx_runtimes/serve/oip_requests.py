"""Requests of the Open Inference Protocol, and what of them this server does not do.

Source: kserve/open-inference-protocol, `inference_rest.md`; Triton's extensions "Parameters",
"Schedule policy", "Sequence" and "Model repository".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import msgspec

from genx_runtimes.errors import InputError, suggest
from genx_runtimes.serve.openai import refuse_given
from genx_runtimes.serve.settings import Limits

Parameters = dict[str, str | int | float | bool]
# What Triton's clients send for models that keep a state, and for queues with priorities.
_UNSUPPORTED = ("sequence_id", "sequence_start", "sequence_end", "priority")
_KNOWN = frozenset({"binary_data_output", "timeout", *_UNSUPPORTED})
_UNLOAD = "unload_dependents"  # a sampler and its components are unloaded together


class InputTensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input of a request."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters = {}
    data: list[Any] | None = None


class OutputRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An output that is asked for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON of a request."""

    inputs: tuple[InputTensor, ...]
    id: str = ""
    parameters: Parameters = {}
    outputs: tuple[OutputRequest, ...] = ()


class IndexRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models to list; `ready` lists only those that answer."""

    ready: bool = False


class RepositoryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to load or unload a model."""

    parameters: Parameters = {}


def check_request(
    request: InferRequest, *, outputs: Collection[str], settings: Iterable[str]
) -> None:
    """Raise InputError where a request asks for what cannot be met.

    Args:
        request: what is asked for.
        outputs: that the model has.
        settings: parameters that the model takes, beside the protocol's own.
    """
    given = request.parameters
    refuse_given({name: bool(given.get(name)) for name in _UNSUPPORTED})
    _check_names("the request", given, {*_KNOWN, *settings})
    for tensor in request.inputs:
        _check_names(f"input {tensor.name!r}", tensor.parameters, {"binary_data_size"})
    for output in request.outputs:
        if output.name not in outputs:
            raise InputError(f"there is no output {output.name!r}", fix=f"there is {list(outputs)}")
        _check_names(f"output {output.name!r}", output.parameters, {"binary_data"})
        _check_flag(output.parameters, "binary_data")
    _check_flag(given, "binary_data_output")


def find_limits(request: InferRequest, limits: Limits) -> Limits:
    """Return the limits with the request's own `timeout`, microseconds; 0 is none.

    Raises:
        InputError: it is no such number.
    """
    timeout = request.parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise InputError(f"timeout is {timeout!r}, expected microseconds, 0 or more")
    seconds = timeout / 1e6
    return replace(limits, seconds=seconds) if 0 < seconds < limits.seconds else limits


def check_load(request: RepositoryRequest) -> None:
    """Raise InputError where a model is to be loaded otherwise than its bundle says."""
    for name in request.parameters:
        raise InputError(
            f"parameter {name!r} cannot be met: a model is loaded as its bundle says",
            fix="change the bundle's file and load it without parameters",
        )


def check_unload(request: RepositoryRequest) -> None:
    """Raise InputError for a parameter that there is not."""
    _check_names("the request", request.parameters, {_UNLOAD})
    _check_flag(request.parameters, _UNLOAD)


def _check_names(where: str, given: Parameters, known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{where} has no parameter {name!r}", fix=suggest(name, sorted(known)))


def _check_flag(given: Parameters, name: str) -> None:
    if not isinstance(given.get(name, False), bool):
        raise InputError(f"{name} is {given[name]!r}, expected true or false")
