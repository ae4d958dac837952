"""What one source hands its receipts to: the agent's side of the contract in sources/."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from e2ee_ticket.sources import Arrival, Finding, Source
from e2ee_ticket.till.config import SourceConfig
from e2ee_ticket.till.desk import Desk
from e2ee_ticket.till.engine import Engine
from e2ee_ticket.till.floor import SourceState, Trouble

log = logging.getLogger(__name__)

Accept = Callable[["SourceIntake", Arrival], Awaitable[bool]]


class SourceIntake:
    """One source, and what is known of it."""

    def __init__(
        self,
        config: SourceConfig,
        source: Source,
        engine: Engine,
        desks: Mapping[str, Desk],
        *,
        accept: Accept,
        tell: Callable[[str, Finding], None],
    ) -> None:
        self.config, self.source = config, source
        self.name = config.name
        self.last_at: float | None = None
        self.trouble: Trouble | None = None
        self._engine, self._desks, self._accept, self._tell = engine, desks, accept, tell

    @property
    def state(self) -> SourceState:
        """What the console shows of it."""
        return SourceState(
            name=self.name,
            kind=self.config.kind,
            till=", ".join(self.source.tills) or self.config.till,
            last_at=self.last_at,
            can_look_up=hasattr(self.source, "look_up"),
            trouble=self.trouble,
        )

    async def accept(self, arrival: Arrival) -> bool:
        """Keep a receipt."""
        return await self._accept(self, arrival)

    async def cursor(self) -> str | None:
        """Return the latest cursor."""
        return self._engine.outbox.cursor(self.name)

    async def keep_cursor(self, cursor: str) -> None:
        """Keep a cursor without a receipt."""
        self._engine.outbox.keep_cursor(self.name, cursor)

    def live(self, lines: Sequence[str], till: str | None = None) -> None:
        """Show a sale that is not paid yet."""
        desk = self._desks.get(till or self.config.till)
        if desk is not None:
            desk.live(lines)

    def drawer(self, till: str | None = None) -> None:
        """Open the cash drawer."""
        desk = self._desks.get(till or self.config.till)
        if desk is not None:
            desk.drawer()

    def refuse(self, told: Finding) -> None:
        """Tell the cashier of what was not taken, until somebody has seen it."""
        self._tell(self.name, told)

    def report(self, trouble: Finding | None) -> None:
        """Tell what keeps this source from working, or that it works."""
        before = self.trouble
        if trouble is None or trouble.ok:
            self.trouble = None
        elif before is None or before.text != trouble.text:
            now = self._engine.clock.now()
            self.trouble = Trouble(self.name, trouble.text, trouble.hint, now)
            log.warning("source %s: %s", self.name, trouble.text)
        if self.trouble != before:
            if self.trouble is None:
                log.info("source %s works again", self.name)
            self._engine.changed()
