"""Every error that a program of ours may answer, in one small tree.

CorredorError
├── RejectEvent      this event breaks the contract: it goes to `touchpoint.rejected`, work goes on
├── RetryLater       something outside is not there right now: wait `after_s` seconds and try again
└── StopProcess      going on would lose or bend something: end the process with this message
    └── UsageError   the user asked for something that cannot be: bad map, setting, file, argument
"""

from schemas.rejection import Reason


class CorredorError(Exception):
    """Root of all errors raised on purpose."""


class RejectEvent(CorredorError):
    """An event that breaks the contract, with the reason and what is wrong where."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class RetryLater(CorredorError):
    """Something outside refused for now; try again after `after_s` seconds."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class StopProcess(CorredorError):
    """Going on would lose or bend a result. The message says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(StopProcess):
    """The user's input cannot be used. The message says what is wrong, where, and what to do."""

    exit_code = 2
