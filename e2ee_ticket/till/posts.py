"""All paired displays: which there are, who drives them, and whose they are."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from e2ee_ticket.client import RelayClient
from e2ee_ticket.errors import ConfigError, RelayError, TicketError
from e2ee_ticket.till.clock import Clock
from e2ee_ticket.till.config import Config, TillConfig
from e2ee_ticket.till.displays import Displays, Pairing, idle_of, pair, sample_of, unpair
from e2ee_ticket.till.floor import DisplayState
from e2ee_ticket.till.post import Post
from e2ee_ticket.till.screen import Screen

log = logging.getLogger(__name__)

TEST_CONFIRM_SECONDS: Final = 5.0
TEST_SHOW_SECONDS: Final = 5.0


class Posts:
    """Every display of one agent, by its name in small letters."""

    def __init__(
        self,
        relay: RelayClient,
        displays: Displays,
        clock: Clock,
        config: Callable[[], Config],
        *,
        doubt: Callable[[], None],
        shown: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """Drive nothing yet; `doubt`, `shown` and `changed` are a post's (post.py)."""
        self._relay, self._displays, self._clock = relay, displays, clock
        self._config = config
        self._doubt, self._shown, self._changed = doubt, shown, changed
        self._posts: dict[str, Post] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Post]:
        return iter(self._posts.values())

    async def close(self) -> None:
        """Leave all of them."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await asyncio.gather(*(post.stop() for post in self._posts.values()))

    def wake(self) -> None:
        """The relay is back: every display is reached at once, whenever its next try would be."""
        for post in self._posts.values():
            if post.screen is not None:
                post.screen.wake()

    def screen_of(self, till: TillConfig) -> Screen | None:
        """Return what faces the customers of a till, driven or not."""
        key = self._key_of(till)
        post = None if key is None else self._posts.get(key)
        return None if post is None else post.screen

    def states(self) -> Sequence[DisplayState]:
        """Return what the console shows of them."""
        return [
            DisplayState(
                name=post.name,
                tills=tuple(
                    till.name for till in self._config().tills if self._key_of(till) == key
                ),
                connected=post.screen is not None and post.screen.there,
                present="idle" if post.screen is None else post.screen.present.kind,
                trouble=post.trouble,
            )
            for key, post in self._posts.items()
        ]

    async def take_up(self) -> None:
        """Drive what is paired and not driven yet, and leave what was removed.

        Raises:
            ConfigError: the file of displays cannot be read; those driven before go on.
        """
        pairings = {pairing.name.casefold(): pairing for pairing in self._displays.all()}
        for key, post in list(self._posts.items()):
            if key not in pairings or pairings[key].secret.cid != post.pairing.secret.cid:
                del self._posts[key]
                log.info("display %s was removed", post.name)
                await post.stop()
        for key, pairing in pairings.items():
            if key not in self._posts:
                await self._start(pairing)

    async def pair(self, name: str) -> Pairing:
        """Pair a display and drive it.

        Raises:
            ConfigError: the name cannot be one, or the pairing cannot be kept.
            RelayError: the relay does not take the channel.
        """
        pairing = await pair(self._relay, self._displays, name)
        await self._start(pairing)
        return pairing

    async def unpair(self, name: str, *, forget: bool) -> None:
        """Unpair a display; `forget` does so even where the relay cannot be told.

        Raises:
            ConfigError: there is none of this name.
            RelayError: the relay cannot be told.
        """
        pairing = self._displays.find(name)
        try:
            await unpair(self._relay, pairing)
        except RelayError:
            if not forget:
                raise
        self._displays.forget(pairing.name)
        post = self._posts.pop(pairing.name.casefold(), None)
        if post is not None:
            await post.stop()
        self._changed()

    async def test(self, name: str) -> bool:
        """Show a few lines on a display; one that another program has taken is taken back.

        Raises:
            ConfigError: there is none of this name.
            TicketError: a sale is on it.
        """
        post = self._posts.get(self._displays.find(name).name.casefold())
        if post is None:
            raise ConfigError("this display was paired by another program just now; try again")
        if post.screen is None or post.screen.stopped is not None:
            await post.stop()
            await post.start()
        screen = post.screen
        assert screen is not None  # noqa: S101 - it was started
        if screen.present.kind in ("ticket", "live"):
            raise TicketError("a sale is on this display; test it when it is idle")
        test = sample_of(self._config())
        screen.show(test)
        shown = await screen.until(lambda: screen.shown, TEST_CONFIRM_SECONDS)

        async def end() -> None:
            await self._clock.sleep(TEST_SHOW_SECONDS)
            if screen.present is test:
                screen.clear()

        task = asyncio.create_task(end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return shown

    def _key_of(self, till: TillConfig) -> str | None:
        """A shop with one till and one display needs to say nothing."""
        if till.display is None and len(self._config().tills) == 1 and len(self._posts) == 1:
            return next(iter(self._posts))
        return None if till.display is None else till.display.casefold()

    async def _start(self, pairing: Pairing) -> None:
        config = self._config()
        counts = [
            till.display_count
            for till in config.tills
            if till.display is not None and till.display.casefold() == pairing.name.casefold()
        ]
        post = Post(
            self._relay,
            pairing,
            idle_of(config),
            self._clock,
            display_count=max([*counts, config.display_count]),
            doubt=self._doubt,
            shown=self._shown,
            changed=self._changed,
        )
        self._posts[pairing.name.casefold()] = post
        await post.start()
