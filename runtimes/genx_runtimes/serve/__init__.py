"""Sampling as a service: docs/serve.md tells what it answers."""

from __future__ import annotations

from genx_runtimes.serve.settings import Limits, ServeSettings

__all__ = ["Limits", "ServeSettings"]
