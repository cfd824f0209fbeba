"""Why a request is not answered with samples: the errors that only a server has."""

from __future__ import annotations

import re

from genx_runtimes.errors import (
    BackendError,
    BackendUnavailableError,
    BundleError,
    GenxError,
    InputError,
)

_FOLDERS = re.compile(r"(?<![\w.~/])/(?:[^\s/:'\"]+/)+")


class RefusalError(GenxError):
    """A request that is refused; `status` is the HTTP status."""

    status = 400

    def __init__(self, message: str, *, fix: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message, fix=fix)
        self.retry_after_s = retry_after_s


class NotFoundError(RefusalError):
    """There is no such model, version or path."""

    status = 404


class UnauthorisedError(RefusalError):
    """The key is missing or wrong."""

    status = 401


class ForbiddenError(RefusalError):
    """Another site's page sends it."""

    status = 403


class SlowError(RefusalError):
    """The body is not here in time."""

    status = 408


class TooLargeError(RefusalError):
    """The body is larger than the server takes."""

    status = 413


class UnsupportedError(RefusalError):
    """The body is compressed in a way that the server does not know."""

    status = 415


class MisdirectedError(RefusalError):
    """`Host` names another server."""

    status = 421


class LongHeadError(RefusalError):
    """The head is larger than the server takes."""

    status = 431


class BusyError(RefusalError):
    """The queue is full, or too many requests are in progress."""

    status = 429


class StoppingError(RefusalError):
    """The server is about to end, or the model is not ready."""

    status = 503


class DeadlineError(RefusalError):
    """The request waited longer than it may."""

    status = 504


def find_status(err: Exception) -> int:
    """Return the HTTP status of an error."""
    if isinstance(err, RefusalError):
        return err.status
    if isinstance(err, InputError):
        return 400
    return 503 if isinstance(err, (BundleError, BackendUnavailableError)) else 500


def explain(err: Exception) -> str:
    """Return what a client is told: no folder of this machine, and nothing of unforeseen errors."""
    if not isinstance(err, GenxError):
        return "the server failed; its log says more"
    return _FOLDERS.sub("", str(err)) if is_fault(err) else str(err)


def is_fault(err: Exception) -> bool:
    """Return whether the server is at fault, so that its log must say more."""
    return not isinstance(err, (RefusalError, InputError)) or isinstance(err, BackendError)
