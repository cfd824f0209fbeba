"""The tree of errors that genx raises on purpose.

GenxError
├── InputError                an argument is wrong: n, seed, batch, a condition, an option
├── BundleError               a bundle cannot be used
│   ├── ManifestError         manifest.json is missing, malformed or contradicts itself
│   ├── FormatVersionError    written by a newer genx
│   ├── IntegrityError        a file is missing, truncated or altered
│   └── UnsafeBundleError     a path or archive member that could harm the reader
├── BackendError              an inference engine failed
│   ├── BackendUnavailableError   the engine, or the device asked for, is not there
│   └── NonFiniteError        samples hold NaN or infinity
├── VerificationError         outputs differ from the golden samples by more than the tolerance
├── OutputError               a result cannot be written
└── ExportError               a model cannot become a bundle
    ├── SourceError           the model cannot be found or loaded
    ├── WeightsError          the weights do not fit, are unsafe to load, or are not finite
    ├── RandomnessError       forward() draws its own random numbers
    ├── TraceError            the model cannot be traced or translated to ONNX
    └── QualityError          a lower precision stays below the quality floor

Each message says what failed and what was expected; `fix` is the command or change that mends it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class GenxError(Exception):
    """An error that genx can explain.

    Args:
        message: what failed, got versus expected; one line.
        fix: the command or change that mends it; one line, may be empty.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


class InputError(GenxError):
    """An argument is wrong."""


class BundleError(GenxError):
    """A bundle cannot be used."""


class ManifestError(BundleError):
    """The manifest is missing, malformed or contradicts itself."""


class FormatVersionError(BundleError):
    """The bundle was written by a newer genx."""


class IntegrityError(BundleError):
    """A file is missing, truncated or altered."""


class UnsafeBundleError(BundleError):
    """A path or archive member could harm the reader."""


class BackendError(GenxError):
    """An inference engine failed."""


class BackendUnavailableError(BackendError):
    """The engine, or the device asked for, is not there."""


class NonFiniteError(BackendError):
    """Samples hold NaN or infinity."""


class VerificationError(GenxError):
    """Outputs differ from the golden samples by more than the tolerance."""


class OutputError(GenxError):
    """A result cannot be written."""


class ExportError(GenxError):
    """A model cannot become a bundle."""


class SourceError(ExportError):
    """The model cannot be found or loaded."""


class WeightsError(ExportError):
    """The weights do not fit, are unsafe to load, or are not finite."""


class RandomnessError(ExportError):
    """forward() draws its own random numbers."""


class TraceError(ExportError):
    """The model cannot be traced or translated to ONNX."""


class QualityError(ExportError):
    """A lower precision stays below the quality floor."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Say "did you mean", or list what there is: the `fix` for an unknown name."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is: {', '.join(names)}" if names else "there is none"
