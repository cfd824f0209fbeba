"""The server's log: a record as one line of JSON, with the id of the request it belongs to."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import datetime, timezone

import msgspec

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_FIELDS = ("method", "path", "status", "ms", "model")


class JsonLines(logging.Formatter):
    """A record as one line of JSON, whose control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, level, message, and what is known of the request."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = msgspec.json.encode(line).decode()
        # C1 controls and line separators are no controls to JSON, but they are to terminals.
        return text if text.isascii() else json.dumps(line)
