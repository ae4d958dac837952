"""Every way this library fails on purpose.

TicketError                      everything raised on purpose by this library
├── ReceiptError                 this file cannot be sent as a receipt
├── ConfigError                  the configuration or an argument asks for what cannot be
├── OutboxError                  this computer does not keep what it must
│   ├── HeldOutboxError          another program is writing into it       retryable
│   └── DamagedOutboxError       its file is not what was written
├── SourceError                  where receipts come from did not do its part; carries a hint
├── ProtocolError                what arrived breaks the specification; carries its outcome
│   ├── DamagedError             the text is not a whole link             damaged
│   ├── LengthError              not a length this message has            length
│   ├── VersionError             a version this library does not know     version
│   ├── WrongKeyError            sealed with another secret               wrong-key
│   ├── AuthenticationError      altered on the way                       aead
│   └── FramingError             it opened, but does not hold a ticket    framing
└── RelayError                   the relay or the network did not do its part
    ├── UnreachableError         no answer, or half of one                retryable
    ├── BusyError                told to wait; carries retry_after        retryable
    ├── FullError                no room for another envelope (507)       retryable
    ├── PermitError              this relay wants a permit, or another one (401)
    ├── TokenError               the relay knows another token (403)
    ├── AbsentError              never seen (404)
    ├── GoneError                received, revoked or expired (410); carries reason
    ├── TakenError               other bytes are stored under this id (409)
    ├── SupersededError          a newer till polls this channel (409)
    ├── UnpairedError            the channel was unpaired (410)
    └── RefusedError             the relay says our request is wrong: a bug of ours

Split by whose fault it is: theirs is ProtocolError, the world's is RelayError, SourceError or
OutboxError, the user's is ReceiptError or ConfigError, a programmer's is ValueError or TypeError.
No message holds a secret, a ticket's content or a whole id.
"""

from typing import ClassVar


class TicketError(Exception):
    """Everything raised on purpose by this library."""

    retryable: ClassVar[bool] = False


class ReceiptError(TicketError, ValueError):
    """This file cannot be sent as a receipt."""


class ConfigError(TicketError, ValueError):
    """The configuration or an argument asks for what cannot be."""


class OutboxError(TicketError):
    """This computer does not keep what it must: a full disk, a damaged file."""


class HeldOutboxError(OutboxError):
    """Another program is writing into the outbox; it ends by itself."""

    retryable = True


class DamagedOutboxError(OutboxError):
    """The outbox's file is not what was written; the agent sets it aside (till/salvage.py)."""


class SourceError(TicketError):
    """Where receipts come from did not do its part; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ProtocolError(TicketError):
    """What arrived breaks the specification. Never thrown directly."""

    outcome: ClassVar[str]


class DamagedError(ProtocolError):
    """The text is not a whole link: scan or copy it again."""

    outcome = "damaged"


class LengthError(ProtocolError):
    """Not a length that this message can have."""

    outcome = "length"


class VersionError(ProtocolError):
    """A version that this library does not know."""

    outcome = "version"


class WrongKeyError(ProtocolError):
    """Sealed with another secret."""

    outcome = "wrong-key"


class AuthenticationError(ProtocolError):
    """Altered on the way, or made with another key."""

    outcome = "aead"


class FramingError(ProtocolError):
    """It opened, but what is inside breaks the specification."""

    outcome = "framing"


class RelayError(TicketError):
    """The relay or the network did not do its part."""


class UnreachableError(RelayError):
    """No answer from the relay, or half of one."""

    retryable = True


class BusyError(RelayError):
    """The relay asks to come back after `retry_after` seconds."""

    retryable = True

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FullError(RelayError):
    """The relay has no room for another envelope."""

    retryable = True


class PermitError(RelayError):
    """The relay takes uploads only with a permit, and not with this one."""


class TokenError(RelayError):
    """The relay knows another token for this name."""


class AbsentError(RelayError):
    """The relay has never seen this name."""


class GoneError(RelayError):
    """The ticket has been; `reason` is `received`, `revoked` or `expired`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class TakenError(RelayError):
    """Other bytes are stored under this name."""


class SupersededError(RelayError):
    """A newer till polls this channel."""


class UnpairedError(RelayError):
    """The channel was unpaired."""


class RefusedError(RelayError):
    """The relay says that our request is wrong."""
