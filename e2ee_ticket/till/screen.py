"""Driving one paired display: the till's rules of the channel, with a relay and a clock.

`TillChannel` decides; this carries: it polls for hellos, brings the answers, registers the
channel again where the relay has lost it (C39), stops where another till has taken over (C38) or
the display was unpaired, and waits and says so where the relay is away. What it has to say goes
to `report`, as a `Notice`. Several screens run in one process, each as its own pair of tasks.
"""

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from e2ee_ticket.errors import (
    AbsentError,
    RelayError,
    SupersededError,
    TicketError,
    UnpairedError,
)
from e2ee_ticket.protocol.channel import (
    THANKS_SECONDS,
    Answer,
    TillChannel,
    hello_id,
    registration,
)
from e2ee_ticket.protocol.content import Content
from e2ee_ticket.till.clock import Clock, within
from e2ee_ticket.till.displays import Pairing

if TYPE_CHECKING:
    from e2ee_ticket.client import Hellos, RelayClient

POLL_SECONDS: Final = 25
TICK_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 2.0
ABSENT_SECONDS: Final = 60.0
"""A display says hello at least every 25 s; one that is silent for so long is not there."""
PATIENT_SECONDS: Final = 5.0
"""A question that breaks off after so long was answered, in a way: nothing has happened."""
FLOOR_SECONDS: Final = 1.0
"""Where the relay, or what stands before it, does not wait, it is not asked more often."""
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 30.0


class Notice(StrEnum):
    """What a screen has to say to the cashier."""

    CONNECTED = "the display is connected"
    SHOWN = "the display shows it"
    UNSHOWN = "the display does not confirm that it shows the code"
    ENDED = "the display's time for this code is over"
    CROWDED = "another screen is listening on this display's channel"
    ALONE = "no other screen listens on this display's channel any more"
    ABSENT = "this display is not there"
    PRESENT = "this display is there again"
    AWAY = "the relay is away, the display cannot be reached"
    BACK = "the relay is back"
    REGISTERED = "the relay had forgotten the display and knows it again"
    SUPERSEDED = "another till drives this display now"
    UNPAIRED = "the display was unpaired"
    REFUSED = "the relay does not let this till drive the display"


STOPPED: Final = frozenset({Notice.SUPERSEDED, Notice.UNPAIRED, Notice.REFUSED})
"""Notices after which a screen does nothing more."""

_HINTS: Final = {
    Notice.UNSHOWN: "is the tablet awake and online? the code is shown here instead",
    Notice.CROWDED: "only one should; if you do not know the other: display remove, display add",
    Notice.SUPERSEDED: "two programs cannot drive one display; stop the other one",
    Notice.UNPAIRED: "pair it again: e2ee-ticket display remove, then display add",
    Notice.REFUSED: "pair it again: e2ee-ticket display remove, then display add",
}


def hint(notice: Notice) -> str | None:
    """Say what the cashier can do about a notice."""
    return _HINTS.get(notice)


class Screen:
    """One paired display, to be used with `async with`; idle until told otherwise."""

    def __init__(
        self,
        relay: "RelayClient",
        pairing: Pairing,
        idle: Content,
        clock: Clock,
        *,
        display_count: int = 1,
        report: Callable[[Notice], None] = lambda _: None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Drive nothing yet; `failed` is told each time that the relay did not do its part."""
        self.name = pairing.name
        self.stopped: Notice | None = None
        """Why this screen does nothing more, if so."""
        self.failure: TicketError | None = None
        """The error behind the latest AWAY or REFUSED."""
        self._relay = relay
        self._pairing = pairing
        self._cid = pairing.secret.cid
        self._clock = clock
        self._report = report
        self._failed = failed
        self._channel = TillChannel(pairing.secret, idle, display_count=display_count)
        self.idle = idle
        """What it shows when there is nothing to show."""
        self._live: tuple[bytes, ...] = ()
        self._changed = asyncio.Event()
        self._moved = asyncio.Condition()
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._thanked_at: float | None = None
        self._said: set[Notice] = set()
        self._away = False
        self.since = 0.0
        """When what is shown now was begun, by the clock that never jumps."""
        self.turn = 0
        """How many things were to be shown; what was shown at this turn is the latest."""
        self._settled_at = -1
        self._heard_at = clock.monotonic()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._poll()),
            asyncio.create_task(self._carry()),
            asyncio.create_task(self._tick()),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and error is None:
                raise outcome  # a bug of ours must not end in silence

    @property
    def connected(self) -> bool:
        """Whether the display has said hello to this process."""
        return self._channel.display_seen

    @property
    def there(self) -> bool:
        """Whether the display has said hello of late, as far as the relay can be asked."""
        return self.connected and not self._is_absent()

    @property
    def shown(self) -> bool:
        """Whether the display has confirmed what is to be shown now (C36)."""
        return self._channel.shown

    @property
    def present(self) -> Content:
        """What is to be shown now."""
        return self._channel.present

    def show(self, content: Content) -> None:
        """Show something instead of what is shown now."""
        now = self._clock.monotonic()
        self._channel.show(content, now)
        self.since = now
        self.turn += 1
        self._said -= {Notice.SHOWN, Notice.UNSHOWN}
        self._thanked_at = now if content.kind == "thanks" else None
        self._changed.set()

    def thank(self) -> None:
        """Show thanks for a few seconds, then idle."""
        self.show(Content.thanks(name=self.idle.name, lang=self.idle.lang))

    def clear(self) -> None:
        """Show idle."""
        self.show(self.idle)

    def wake(self) -> None:
        """Ask the relay anew, at once: it is known to be back.

        A wait between two tries ends, and so does a request that waits on a line that is dead.
        """
        self._woken.set()

    async def until(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until something about this screen is true, at most so long; tell whether it is."""

        async def wait() -> None:
            async with self._moved:
                await self._moved.wait_for(lambda: reached() or self.stopped is not None)

        with contextlib.suppress(TimeoutError):
            await within(seconds, wait(), self._clock)
        return reached()

    async def settle(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Give a display that is there the time to get what is to be shown now.

        Call it before leaving `async with`, after `thank` or `clear`.
        """
        if not self.connected or self.stopped is not None:
            return False
        return await self.until(lambda: self._settled_at == self.turn, seconds)

    # The three tasks

    async def _poll(self) -> None:
        """Learn which hellos wait."""
        held: str | None = None
        latest: tuple[bytes, ...] | None = None
        wait = FIRST_WAIT_SECONDS
        token = self._pairing.token.reveal()
        while self.stopped is None:
            began = self._clock.monotonic()
            try:
                hellos = await self._ask(token, held)
            except AbsentError:
                held = None
                await self._register(wait)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
                continue
            except SupersededError:
                await self._stop(Notice.SUPERSEDED)
                return
            except UnpairedError:
                await self._stop(Notice.UNPAIRED)
                return
            except RelayError as error:
                held = None
                if self._clock.monotonic() - began >= PATIENT_SECONDS:
                    wait = FIRST_WAIT_SECONDS
                await self._pause(error, wait)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
                continue
            wait = FIRST_WAIT_SECONDS
            self._come_back()
            is_new = hellos is not None and hellos.hellos != latest
            if hellos is not None:
                held, self._live = hellos.etag, hellos.hellos
                latest = hellos.hellos
                self._changed.set()
            if self._live:
                self._heard_at = self._clock.monotonic()
            if not is_new:
                await self._rest(began + FLOOR_SECONDS - self._clock.monotonic())

    async def _ask(self, token: bytes, held: str | None) -> "Hellos | None":
        """Ask which hellos wait; None if they are those held, or as soon as this is woken."""
        self._woken.clear()
        asking = asyncio.ensure_future(
            self._relay.hellos(self._cid, token, held=held, wait=POLL_SECONDS)
        )
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({asking, waking}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for each in (asking, waking):
                each.cancel()
            await asyncio.gather(asking, waking, return_exceptions=True)

    async def _rest(self, seconds: float) -> None:
        """Wait, if there is anything to wait for, but no longer than until this is woken."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await within(seconds, self._woken.wait(), self._clock)

    def _is_absent(self) -> bool:
        silent = self._clock.monotonic() - self._heard_at
        return silent >= ABSENT_SECONDS and not self._away and self.stopped is None

    async def _register(self, wait: float) -> None:
        """C39: the relay does not know the channel."""
        secret, token = self._pairing.secret, self._pairing.token
        try:
            await self._relay.register(self._cid, registration(secret, token))
        except UnpairedError:
            await self._stop(Notice.UNPAIRED)
        except RelayError as error:
            await self._pause(error, wait)
        else:
            self._report(Notice.REGISTERED)
            if wait > FIRST_WAIT_SECONDS:  # it forgets at once: do not run in circles
                await self._clock.sleep(wait)

    async def _carry(self) -> None:
        """Bring the answers that are due, whenever hellos or the present state have changed."""
        while self.stopped is None:
            await self._changed.wait()
            self._changed.clear()
            turn = self.turn
            answers = self._channel.answer(self._live, self._clock.monotonic())
            live = bool(self._live)
            await self._notify()
            results = await asyncio.gather(*(self._bring(answer) for answer in answers))
            if not all(results):
                await self._clock.sleep(FIRST_WAIT_SECONDS)
                self._changed.set()
            elif live:
                self._settled_at = turn
            await self._notify()

    async def _bring(self, answer: Answer) -> bool:
        """Bring one answer; tell whether its fate is known."""
        token = self._pairing.token.reveal()
        try:
            taken = await self._relay.answer(self._cid, token, answer.hid, answer.sealed)
        except (AbsentError, UnpairedError):
            return True  # the poll hears of it too, and acts
        except RelayError as error:
            self.failure = error
            return not error.retryable
        self._live = tuple(hello for hello in self._live if hello_id(hello) != answer.hid)
        if taken:
            self._channel.delivered(answer, self._clock.monotonic())
        else:
            self._channel.lost(answer, self._clock.monotonic())
        return True

    async def _tick(self) -> None:
        """Watch the seconds."""
        while self.stopped is None:
            await self._clock.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            if self._channel.tick(now):
                self._report(Notice.ENDED)
                self._changed.set()
            if self._channel.must_judge(now):
                self._changed.set()
            if self._thanked_at is not None and now - self._thanked_at >= THANKS_SECONDS:
                self.clear()
            await self._notify()

    # What there is to say

    async def _notify(self) -> None:
        now = self._clock.monotonic()
        if self.connected:
            self._say_once(Notice.CONNECTED)
        if self.shown and self.present.kind == "ticket":
            self._say_once(Notice.SHOWN)
        if self._channel.unshown(now) and self.present.kind == "ticket":
            self._say_once(Notice.UNSHOWN)  # C37
        if self._channel.crowded(now):
            self._say_once(Notice.CROWDED)  # C35
        elif Notice.CROWDED in self._said:
            self._said.discard(Notice.CROWDED)
            self._report(Notice.ALONE)
        if self._is_absent():
            self._say_once(Notice.ABSENT)
        elif Notice.ABSENT in self._said and not self._away:
            self._said.discard(Notice.ABSENT)
            self._report(Notice.PRESENT)
        async with self._moved:
            self._moved.notify_all()

    def _say_once(self, notice: Notice) -> None:
        if notice not in self._said:
            self._said.add(notice)
            self._report(notice)

    async def _pause(self, error: RelayError, wait: float) -> None:
        """Wait before the next try, or stop where trying again is of no use."""
        self.failure = error
        if not error.retryable:
            await self._stop(Notice.REFUSED)
            return
        if not self._away:
            self._away = True
            self._report(Notice.AWAY)
        self._woken.clear()
        self._failed()
        asked_for = getattr(error, "retry_after", 0.0)
        await self._clock.sleep(asked_for)
        with contextlib.suppress(TimeoutError):
            await within(max(wait - asked_for, 0.0), self._woken.wait(), self._clock)

    def _come_back(self) -> None:
        if self._away:
            self._away = False
            self._heard_at = self._clock.monotonic()  # nobody could be heard meanwhile
            self._report(Notice.BACK)

    async def _stop(self, notice: Notice) -> None:
        self.stopped = notice
        self._live = ()
        self._report(notice)
        self._changed.set()
        async with self._moved:
            self._moved.notify_all()
