"""Telling which extra brings what is missing."""

from __future__ import annotations

from importlib.util import find_spec

from genx_runtimes.errors import BackendUnavailableError

# For each extra, the packages without which its commands cannot start.
_PACKAGES = {
    "export": ("genx_export", "torch", "onnx", "onnx_ir", "onnxscript", "PIL", "safetensors"),
    "serve": ("starlette", "uvicorn", "prometheus_client"),
}


def require_extra(extra: str, command: str) -> None:
    """Raise if an extra's packages are not installed; none of them is imported.

    Raises:
        BackendUnavailableError: one line with the pip command that brings them.
    """
    missing = [name for name in _PACKAGES[extra] if find_spec(name) is None]
    if missing:
        raise BackendUnavailableError(
            f"{command} needs {', '.join(missing)}", fix=f"pip install 'genx[{extra}]'"
        )
