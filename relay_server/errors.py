"""Every way in which the relay says no (spec/relay.md, Every request and answer).

::

    RelayError
    ├── StartError                 the relay cannot start; has a hint for its operator
    │   └── AwayError              its store cannot be reached yet
    └── RefusalError               a request is refused; ``code`` is the type in the spec's table
        ├── UnknownPathError  MethodError  BadRequestError
        ├── BadLengthError  BadMagicError  BadTtlError
        ├── PermitError  AuthorizationError  TokenError
        ├── AbsentError  ChannelAbsentError  HelloGoneError
        ├── TakenError  AnsweredError  SupersededError
        ├── GoneError              carries the reason
        ├── ChannelGoneError
        ├── LengthRequiredError  TooLargeError
        ├── TooOftenError  OverloadedError       carry the seconds to wait
        ├── FullError
        └── InternalError

No class here knows a status of HTTP; ``headers.py`` has the table.
"""

from typing import ClassVar


class RelayError(Exception):
    """Everything raised on purpose by the relay."""


class StartError(RelayError):
    """The relay cannot start as it was asked to."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class AwayError(StartError):
    """The store cannot be reached now; it may come."""


class RefusalError(RelayError):
    """A request is refused. Never raised directly."""

    code: ClassVar[str]


class UnknownPathError(RefusalError):
    """No such path (R5)."""

    code = "unknown-path"


class MethodError(RefusalError):
    """The path does not have this method (R5); ``allow`` lists those it has."""

    code = "method"

    def __init__(self, allow: str) -> None:
        super().__init__()
        self.allow = allow


class BadRequestError(RefusalError):
    """A parameter, header or body is not of the form asked for."""

    code = "bad-request"


class BadLengthError(RefusalError):
    """The envelope's length is none of the 17 (R33)."""

    code = "bad-length"


class BadMagicError(RefusalError):
    """The first 8 bytes are not the magic (R36)."""

    code = "bad-magic"


class BadTtlError(RefusalError):
    """``Ticket-TTL`` is not an integer in its range (R34)."""

    code = "bad-ttl"


class PermitError(RefusalError):
    """No permit, or one that is not valid (R10)."""

    code = "permit"


class AuthorizationError(RefusalError):
    """No token where one is asked for."""

    code = "authorization"


class TokenError(RefusalError):
    """A token, but not the one of this ticket or channel."""

    code = "token"


class AbsentError(RefusalError):
    """No such ticket was seen, or its tombstone has ended."""

    code = "absent"


class ChannelAbsentError(RefusalError):
    """No such channel is registered."""

    code = "channel-absent"


class HelloGoneError(RefusalError):
    """This hello is not waiting any more (R112)."""

    code = "hello-gone"


class TakenError(RefusalError):
    """Other bytes are there (R38, R82)."""

    code = "taken"


class AnsweredError(RefusalError):
    """This hello has had its answer (R111)."""

    code = "answered"


class SupersededError(RefusalError):
    """A newer poll of this channel has come (R102)."""

    code = "superseded"


class GoneError(RefusalError):
    """The ticket has been; ``reason`` is ``received``, ``revoked`` or ``expired``."""

    code = "gone"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ChannelGoneError(RefusalError):
    """The channel was unpaired (R86)."""

    code = "channel-gone"


class LengthRequiredError(RefusalError):
    """The request has no ``Content-Length``."""

    code = "length-required"


class TooLargeError(RefusalError):
    """The body is longer than any that this path takes."""

    code = "too-large"


class TooOftenError(RefusalError):
    """Above a limit; ``retry_after`` is in seconds."""

    code = "too-often"

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class OverloadedError(RefusalError):
    """More work is waiting than the relay can do, or it stops; ``retry_after`` is in seconds."""

    code = "overloaded"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__()
        self.retry_after = retry_after


class FullError(RefusalError):
    """No room for another envelope (R40)."""

    code = "full"


class InternalError(RefusalError):
    """A fault of the relay's own."""

    code = "internal"
