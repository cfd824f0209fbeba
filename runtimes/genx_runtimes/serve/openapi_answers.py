"""What answers look like, for the description of the API alone; schemathesis holds them to it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from genx_runtimes.manifest import OutputKind
from genx_runtimes.serve.oip_requests import Parameters


class ServerMetadata(msgspec.Struct):
    """GET /v2."""

    name: str
    version: str
    extensions: list[str]


class Live(msgspec.Struct):
    """GET /v2/health/live."""

    live: bool


class Ready(msgspec.Struct):
    """GET /v2/health/ready."""

    ready: bool


class TensorMetadata(msgspec.Struct):
    """A tensor of a model; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """GET /v2/models/NAME."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(msgspec.Struct):
    """GET /v2/models/NAME/ready."""

    name: str
    ready: bool


class OutputTensor(msgspec.Struct):
    """An output: `data`, or `binary_data_size` bytes behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float | bool | str] = []
    parameters: Parameters = {}


class InferAnswer(msgspec.Struct):
    """POST /v2/models/NAME/infer; a sampler tells its `seed` as a parameter."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""
    parameters: Parameters = {}


class ModelState(msgspec.Struct):
    """A line of the repository's index."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Done(msgspec.Struct):
    """Nothing more to say."""


class Model(msgspec.Struct):
    """OpenAI's model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(msgspec.Struct):
    """GET /v1/models."""

    object: Literal["list"]
    data: list[Model]


class Image(msgspec.Struct):
    """A PNG."""

    b64_json: str


class Images(msgspec.Struct):
    """POST /v1/images/generations."""

    created: int
    data: list[Image]
    seed: int
    size: str
    output_format: Literal["png"]


class Choice(msgspec.Struct):
    """A text."""

    index: int
    text: str
    logprobs: None
    finish_reason: Literal["stop", "length"]


class Usage(msgspec.Struct):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(msgspec.Struct):
    """POST /v1/completions."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    seed: int


class Samples(msgspec.Struct):
    """POST /v1/sample as JSON: PNG or WAV in base64, texts, or nested numbers."""

    model: str
    seed: int
    start: int
    kind: OutputKind
    samples: list[str | list[Any] | float]


class ContractOutput(msgspec.Struct):
    """What a sample is."""

    kind: OutputKind
    range: list[float] | None
    sample_rate: int | None
    columns: list[str]


class ContractLimits(msgspec.Struct):
    """What a request may ask for."""

    n: int
    steps: int
    length: int
    stream: int


class Contract(msgspec.Struct):
    """GET /v1/contracts/NAME; docs/bundle.md tells of priors and samplers."""

    name: str
    description: str
    family: str
    digest: str
    reason: str
    priors: list[dict[str, Any]]
    output: ContractOutput
    sampler: dict[str, Any]
    takes: list[str]
    solvers: list[str]
    truncates: bool
    formats: list[str]
    limits: ContractLimits
