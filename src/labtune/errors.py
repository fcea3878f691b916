"""All errors a user can meet, and the exit code of each.

    LabtuneError                       1
    +- UserError                       2   the user can mend it in files or flags
    |  +- ConfigError
    |  +- TaxonomyError
    |  +- DocumentError
    |  +- DataError
    |  +- MissingDependencyError           hint = the exact install command
    |  +- LabLockedError                   another process works in this lab
    +- GateError                       1   a finished run missed a gate (retention floor, leaf floor)
    +- ModelError                      3   a model or endpoint failed or is unusable
    |  +- RequestError                     one request failed for good; the others go on
    |  +- EndpointError                    the endpoint cannot be used at all
    +- BudgetReached                   1   the budget is spent; the work can be resumed
    +- EngineError                     4   an executor or worker failed
    +- StageError                      5   a stage could not do its work
       +- GenerationError
       +- TrainingError
       +- EvaluationError
       +- ExportError                5   a model cannot be written in the wanted form

A bad row is data, not an exception. Third-party exceptions are translated once, where the library is
called. Only `cli` (later `web`) catches `LabtuneError`; bugs keep their traceback.
"""

from __future__ import annotations


class LabtuneError(Exception):
    """Root of the tree.

    Args:
        message: what is wrong and where, one sentence.
        hint: how to mend it, one sentence or a command; None when there is nothing to do.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and workers send errors home.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[LabtuneError], message: str, hint: str | None) -> LabtuneError:
    return kind(message, hint=hint)


class UserError(LabtuneError):
    """Something the user wrote or typed."""

    exit_code = 2


class ConfigError(UserError):
    """A setting is unknown, malformed or contradicts another."""


class TaxonomyError(UserError):
    """The taxonomy has errors that stop the work."""


class DocumentError(UserError):
    """A document cannot be found or read."""


class DataError(UserError):
    """A data file (samples, exam, dataset) is malformed."""


class MissingDependencyError(UserError):
    """An optional library is not installed."""

    @classmethod
    def for_extra(cls, library: str, extra: str) -> MissingDependencyError:
        """Name the library and the extra that brings it."""
        return cls(f"this needs {library}, which is not installed", hint=f"pip install 'labtune[{extra}]'")


class LabLockedError(UserError):
    """Another process holds the lab's lock."""


class GateError(LabtuneError):
    """The work was done, but its result missed a gate the lab sets."""

    exit_code = 1


class ModelError(LabtuneError):
    """A model or its endpoint."""

    exit_code = 3


class RequestError(ModelError):
    """One request was refused, did not fit or came back unusable; its row becomes a rejection.

    Whoever raises it sets `transient` when a later run may have more luck (timeouts, a server's errors).
    """

    transient = False


class EndpointError(ModelError):
    """No request can succeed: unreachable, not allowed, no such model."""


class BudgetReached(LabtuneError):
    """The budget of money, time or tokens is spent; what was paid for is kept."""

    exit_code = 1


class EngineError(LabtuneError):
    """An executor or worker."""

    exit_code = 4


class StageError(LabtuneError):
    """A stage could not do its work."""

    exit_code = 5


class GenerationError(StageError):
    """Generation ended below a leaf's floor."""


class TrainingError(StageError):
    """Training cannot start, go on or produce a usable checkpoint."""


class EvaluationError(StageError):
    """Evaluation cannot be done."""


class ExportError(StageError):
    """A model cannot be written in the wanted form, or there is no room for it."""
