"""The onnxruntime backend.

Source: onnxruntime's Python API, `InferenceSession` and `SessionOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import onnxruntime as ort

from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendError, BackendUnavailableError
from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import Array, SessionOptions, check_feeds

if TYPE_CHECKING:
    from typing_extensions import Self

_CPU = "CPUExecutionProvider"


class OnnxRuntimeSession:
    """A graph in onnxruntime."""

    def __init__(self, model: bytes, component: ComponentSpec, options: SessionOptions) -> None:
        self._component = component
        self._names = [spec.name for spec in component.outputs]
        _check_providers(options.providers)
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads = options.threads or count_usable_cores()
        settings.inter_op_num_threads = 1
        if not options.spinning:
            settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if _CPU not in options.providers:
            # Nodes that the asked-for device cannot run must fail here, not move to the CPU unseen.
            settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            self._session: ort.InferenceSession | None = ort.InferenceSession(
                model, settings, providers=list(options.providers)
            )
        except Exception as err:  # onnxruntime's errors share no base but Exception
            raise BackendError(
                f"onnxruntime {ort.__version__} refuses component {component.name!r}: "
                f"{_first(err)}",
                fix="pip install --upgrade onnxruntime",
            ) from err
        got = self._session.get_providers()
        missing = [name for name in options.providers if name not in got]
        if missing:
            self.close()
            raise BackendUnavailableError(
                f"onnxruntime did not load {missing[0]}; it would run on {', '.join(got)}",
                fix="genx doctor shows what works here",
            )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The component's inputs."""
        return self._component.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The component's outputs."""
        return self._component.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, see `Session.run`."""
        if self._session is None:
            raise BackendError("the session is closed")
        check_feeds(self._component, feeds)
        try:
            results = self._session.run(self._names, feeds)
        except Exception as err:
            raise BackendError(
                f"onnxruntime failed in component {self._component.name!r}: {_first(err)}"
            ) from err
        return dict(zip(self._names, results, strict=True))

    def close(self) -> None:
        """Free the graph."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_session(
    model: bytes, component: ComponentSpec, options: SessionOptions
) -> OnnxRuntimeSession:
    """Load a graph into onnxruntime."""
    return OnnxRuntimeSession(model, component, options)


def list_providers() -> tuple[str, ...]:
    """Return the execution providers that the installed onnxruntime was built with."""
    return tuple(ort.get_available_providers())


def _check_providers(wanted: tuple[str, ...]) -> None:
    available = ort.get_available_providers()
    for name in wanted:
        if name not in available:
            raise BackendUnavailableError(
                f"this onnxruntime has no {name}; it has {', '.join(available)}",
                fix="genx doctor says which package brings it",
            )


def _first(err: Exception) -> str:
    """Return the first line of a vendor's message."""
    return str(err).strip().partition("\n")[0]
