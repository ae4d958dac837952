"""One paired display, driven for as long as the agent runs."""

import logging
from collections.abc import Callable

from e2ee_ticket.client import RelayClient
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.displays import Pairing
from e2ee_ticket.till.floor import Trouble
from e2ee_ticket.till.screen import STOPPED, Notice, Screen

log = logging.getLogger(__name__)

_HINTS = {
    Notice.CROWDED: (
        "another screen is listening; if you do not know it, unpair the display and pair it again"
    ),
    Notice.ABSENT: "is the tablet awake, online and on its display page?",
    Notice.SUPERSEDED: "stop the other program; then test the display here to take it back",
    Notice.UNPAIRED: "unpair it here, too, and pair the tablet again",
    Notice.REFUSED: "unpair it here, and pair the tablet again",
}
_LASTING = frozenset({*STOPPED, Notice.CROWDED, Notice.ABSENT})
"""Notices of what is wrong until it is put right; the others say what has happened."""
_ENDS = frozenset({Notice.ALONE, Notice.PRESENT})


class Post:
    """A display and its screen; `start` and `stop` may be called again and again."""

    def __init__(
        self,
        relay: RelayClient,
        pairing: Pairing,
        idle: Content,
        clock: Clock,
        *,
        display_count: int = 1,
        doubt: Callable[[], None] = lambda: None,
        shown: Callable[[], None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Name it; `doubt` is told of a relay that fails, `shown` of what begins and ends there."""
        self.pairing = pairing
        self.screen: Screen | None = None
        self.trouble: Trouble | None = None
        self._relay, self._idle, self._clock = relay, idle, clock
        self._display_count = display_count
        self._doubt, self._shown, self._changed = doubt, shown, changed

    @property
    def name(self) -> str:
        """What the till calls it."""
        return self.pairing.name

    async def start(self) -> None:
        """Drive it."""
        self.trouble = None
        self.screen = Screen(
            self._relay,
            self.pairing,
            self._idle,
            self._clock,
            display_count=self._display_count,
            report=self._report,
            failed=self._doubt,
        )
        await self.screen.__aenter__()
        self._changed()

    async def stop(self) -> None:
        """Leave it alone, after it had a moment to go idle."""
        screen, self.screen = self.screen, None
        if screen is not None:
            screen.clear()
            await screen.settle()
            await screen.__aexit__(None, None, None)

    def _report(self, notice: Notice) -> None:
        level = logging.INFO if notice in (Notice.CONNECTED, Notice.SHOWN) else logging.WARNING
        if notice is not Notice.SHOWN:
            log.log(level, "display %s: %s", self.name, notice.value)
        if notice is Notice.REFUSED:
            self._doubt()
        if notice in (Notice.SHOWN, Notice.ENDED):
            self._shown()
        if notice in _LASTING:
            hint = _HINTS.get(notice)
            self.trouble = Trouble(self.name, notice.value, hint, self._clock.now())
        elif notice in _ENDS and (self.screen is None or self.screen.stopped is None):
            self.trouble = None
        self._changed()
