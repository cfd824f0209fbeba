"""A component as a model of Triton: its ports, how it is batched, and its configuration.

Source: triton-inference-server/common, `model_config.proto`; triton-inference-server/core,
`model_config_utils.cc` and `infer_request.cc`; triton-inference-server/onnxruntime_backend.
"""

from __future__ import annotations

from dataclasses import dataclass

from genx_runtimes.manifest import BatchBounds
from genx_runtimes.packaging.protobuf_text import Field, Message, Word, write_text
from genx_runtimes.packaging.triton_tuning import Measured
from genx_runtimes.packaging.triton_warmup import Warmup
from genx_runtimes.serve.tensors import name_datatype

OPEN = -1  # a size that a request chooses


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a graph, as its file has it; `shape` holds `OPEN` where it is open."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonModel:
    """A component as Triton runs it.

    Args:
        name: of the model and its folder.
        inputs: of the graph.
        outputs: of the graph.
        bounds: batch sizes that the bundle allows.
        measured: how onnxruntime ran the variant fastest; None: not known.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    bounds: BatchBounds
    measured: Measured | None = None

    @property
    def is_batched(self) -> bool:
        """Whether Triton may join requests.

        It knows no smallest batch, and asks that the first size of each port is open.
        """
        opened = all(port.shape[:1] == (OPEN,) for port in (*self.inputs, *self.outputs))
        return opened and self.bounds.min == 1

    @property
    def usual_batch(self) -> int:
        """The batch size that will be run most."""
        return self.chosen_batch or self.bounds.usual

    @property
    def chosen_batch(self) -> int | None:
        """The batch size that was measured to be the best; None: not known."""
        return None if self.measured is None else self.measured.chosen_batch


def write_config(model: TritonModel, warmups: tuple[Warmup, ...]) -> str:
    """Return `config.pbtxt`."""
    fields: list[tuple[str, Field]] = [
        ("name", model.name),
        ("platform", "onnxruntime_onnx"),
        ("max_batch_size", model.bounds.max if model.is_batched else 0),
    ]
    fields += [("input", _describe(port, model.is_batched)) for port in model.inputs]
    fields += [("output", _describe(port, model.is_batched)) for port in model.outputs]
    if model.is_batched and model.bounds.max > 1:
        chosen = model.chosen_batch
        preferred = () if chosen is None else (("preferred_batch_size", (chosen,)),)
        fields.append(("dynamic_batching", Message(preferred)))
    fields += _place(model.measured)
    fields += [("model_warmup", _warm(warmup)) for warmup in warmups]
    return write_text(Message(tuple(fields)))


def _describe(port: Port, is_batched: bool) -> Message:
    """Return a port; a value a sample is 1 long to clients, since `dims` may not be empty."""
    shape = port.shape[1:] if is_batched else port.shape
    fields: tuple[tuple[str, Field], ...] = (
        ("name", port.name),
        ("data_type", _name_type(port.dtype)),
        ("dims", shape or (1,)),
    )
    if not shape:
        fields += (("reshape", Message((("shape", ()),))),)
    return Message(fields)


def _place(measured: Measured | None) -> list[tuple[str, Field]]:
    """Return instances and threads; without a kind they are on the GPU where the server has one."""
    if measured is None:
        return [("instance_group", Message((("count", 1),)))]
    found = measured.combination
    group = Message((("count", found.instances), ("kind", Word("KIND_CPU"))))
    threads = Message((("string_value", str(found.threads)),))
    parameter = Message((("key", "intra_op_thread_count"), ("value", threads)))
    return [("instance_group", group), ("parameters", parameter)]


def _warm(warmup: Warmup) -> Message:
    fields: list[tuple[str, Field]] = [
        ("name", warmup.name),
        ("batch_size", warmup.batch_size),
    ]
    for tensor in warmup.inputs:
        value = Message(
            (
                ("data_type", _name_type(tensor.array.dtype.name)),
                ("dims", tensor.array.shape),
                ("input_data_file", tensor.file),
            )
        )
        fields.append(("inputs", Message((("key", tensor.name), ("value", value)))))
    return Message(tuple(fields))


def _name_type(dtype: str) -> Word:
    return Word(f"TYPE_{name_datatype(dtype)}")
