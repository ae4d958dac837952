"""Whether what the console says of a sale is so, judged by what display, relay and phone saw.

Every sentence that the console may say of a sale has its rule here; a sentence without one is
untrue by itself. A rule gets the floor, the sale, and the time since when something may have been
so: programs hear of what happens a moment later, and a machine that has more to do, later still.
"""

import contextlib
import http.client
import re
import time
from dataclasses import dataclass

from e2ee_ticket.till.desk import LATE_SECONDS, SCAN_SECONDS
from e2ee_ticket.till.reasons import WORDINGS, Reason

RELAY_FAULTS = frozenset({"kill -9 of the relay", "relay away", "proxy that cuts and holds"})
STOPS = frozenset({"kill -9 of the agent", "SIGTERM, SIGINT, SIGHUP", "outbox damaged"})
SLOW = RELAY_FAULTS | STOPS | {"suspended", "full disk", "clock steps", "outbox held", "bursts"}
HEARD_SECONDS = 3.0
"""How long what happened may be on its way to the console."""
RELAY_SECONDS = 14.0
"""So long after a fault of its line the agent may still take the relay for away: the question has
5 s, the next comes after up to 4, and where it asked for time, later."""
ASK_SECONDS = 34.0
"""So long after a fault of its line or its disk the agent may ask again what became of a ticket."""
PAGE_SECONDS = 45.0
"""A page that was not to be had is looked at again so soon (audit.py)."""

_PATTERNS = {
    reason: re.compile(re.escape(wording.text).replace(re.escape("{}"), "(.*)"), re.IGNORECASE)
    for reason, wording in WORDINGS.items()
}


@dataclass
class Moment:
    """What is asked about: a sale, between two readings of the monotonic clock."""

    floor: object
    sale: object
    began: float
    until: float

    @property
    def since(self):
        """What was so at this time, or later, may still be said."""
        return self.began - HEARD_SECONDS - 3 * self.floor.lag

    @property
    def painted(self):
        return [each for each in self.floor.painted if each.key == self.sale.key]

    @property
    def seconds(self):
        """How long displays have shown its code."""
        return sum(each.end(self.until) - each.since for each in self.painted)

    def is_on(self):
        """Whether a display shows its code, or did a moment ago."""
        return any(each.end(self.until) >= self.since for each in self.painted)

    def stays_on(self):
        """Whether a display has shown its code for a good while and does so now.

        A code of an agent that ended stays on until the next one reaches the display.
        """
        if self.fault(STOPS | RELAY_FAULTS | {"suspended"}, RELAY_SECONDS):
            return False
        return any(
            each.until is None and each.since < self.since and each.end(self.until) >= self.until
            for each in self.painted
        )

    def fault(self, kinds, seconds=0.0, since=None):
        """Whether such a fault lasted since a time, or a while ago still."""
        begins = (self.since if since is None else since) - seconds
        return any(each.kind in kinds and each.overlaps(begins, self.until)
                   for each in list(self.floor.faults))  # fmt: skip

    def has_been_seen(self):
        """Whether a display has shown its code, or the till's own screen."""
        return bool(self.painted) or self.sale.key in self.floor.drawn

    def opened_long_ago(self):
        """Whether the relay was told a while ago, and nothing kept the till from asking it."""
        return (
            self.sale.told_at is not None
            and self.sale.told_at < self.since
            and not self.fault(RELAY_FAULTS | {"full disk", "outbox held"}, ASK_SECONDS)
        )

    def has_next(self):
        """Whether another receipt was sent at its till since it was, or while it was on its way."""
        return any(
            other is not self.sale and other.till == self.sale.till
            and (other.accepted_at or self.until) >= self.sale.sent_at - HEARD_SECONDS
            for other in list(self.floor.sent.values())
        )  # fmt: skip


def _relay_may_be_away(m):
    return m.fault(RELAY_FAULTS, RELAY_SECONDS)


def _was_cut_off(m):
    """Whether something that the relay or its line did may have kept its code off."""
    return m.fault(RELAY_FAULTS, RELAY_SECONDS, since=m.sale.sent_at)


def _was_brief(m):
    return m.seconds < SCAN_SECONDS + HEARD_SECONDS + 3 * m.floor.lag


def _was_late(m):
    sale = m.sale
    took = (sale.accepted_at or m.until) - sale.sent_at
    return took > LATE_SECONDS / 3 or m.fault(SLOW, RELAY_SECONDS, since=sale.sent_at)


REASONS = {
    Reason.FAILED: lambda m: not m.opened_long_ago() and m.fault({"full disk", "outbox held"},
                                                                 since=m.sale.sent_at),
    Reason.PAGE: lambda m: not m.is_on() and m.fault(SLOW, PAGE_SECONDS),
    Reason.RELAY: _relay_may_be_away,
    Reason.AWAY: lambda m: _relay_may_be_away(m) and not m.opened_long_ago(),
    Reason.MISSED: lambda m: (not m.stays_on() and _was_cut_off(m)) or _relay_may_be_away(m)
    or m.fault(SLOW, PAGE_SECONDS, since=m.sale.sent_at),
    Reason.INTERRUPTED: lambda m: not m.stays_on() and _was_cut_off(m),
    Reason.UNCONFIRMED: lambda m: not m.stays_on() or m.fault(SLOW, RELAY_SECONDS),
    Reason.TAKEN: lambda m: m.has_next() or m.fault(SLOW, RELAY_SECONDS),
    Reason.LATE: _was_late,
    Reason.OVERTAKEN: lambda m: m.has_next() and _was_brief(m),
    Reason.REPLACED: lambda m: m.has_next() and _was_brief(m),
    Reason.RESTARTED: lambda m: not m.opened_long_ago()
    and any(at >= m.sale.sent_at - HEARD_SECONDS for at in m.floor.starts),
    # It may have painted the code and been cut off before it could confirm it.
    Reason.UNSEEN: lambda m: (
        not any(each.since < m.since for each in m.painted)
        or m.fault(SLOW, RELAY_SECONDS, since=m.sale.sent_at)
    ),
    Reason.BRIEF: lambda m: bool(m.painted) and _was_brief(m),
    Reason.SLOW: lambda m: not m.opened_long_ago(),
}  # fmt: skip
"""What was never done in this shop (taking back, printing) has no rule, and is never true."""


def _can_be_opened(m):
    """Whether the customer has its code and can open it; asked of the relay itself."""
    if not m.has_been_seen() or m.opened_long_ago():
        return False
    if not m.painted:
        return True  # whoever looks at the till's own screen is nobody whom this could ask
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", m.floor.relay.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(http.client.HTTPException):
            connection.request("GET", f"/v1/t/{m.painted[-1].secret.id}")
            return connection.getresponse().status in (200, 410)
    return m.fault(RELAY_FAULTS, RELAY_SECONDS)  # it is not there, and the till finds out


WAITS = "The customer has seen the QR code; it opens the receipt as soon as the relay answers."
SENTENCES = {
    "Waiting for you": lambda m: not m.stays_on() and not m.opened_long_ago(),
    "No QR code is shown: you decide.": lambda m: not m.stays_on(),
    "One moment…": lambda m: not m.opened_long_ago(),
    "The till makes sure that the QR code will open something.": lambda m: not m.stays_on(),
    "Sending…": lambda m: not m.opened_long_ago(),
    "The receipt is on its way to the relay.": lambda m: not m.opened_long_ago(),
    "Sent": lambda m: not m.opened_long_ago(),
    "The customer can open it with the QR code.": _can_be_opened,
    WAITS: lambda m: m.has_been_seen() and _relay_may_be_away(m),
    "No display has confirmed the QR code yet.": lambda m: (
        not m.stays_on() or m.fault(SLOW, RELAY_SECONDS)
    ),
    "Shown": lambda m: m.is_on(),
    "The customer sees the QR code on the display.": lambda m: m.is_on(),
    "Turn the screen to the customer.": lambda m: not m.opened_long_ago(),
    "Opened": lambda m: m.sale.opened_at is not None,
    "The customer sees the receipt on the phone.": lambda m: m.sale.opened_at is not None,
    "Saved": lambda m: m.sale.saved_at is not None,
    "The customer says that it is saved, or has shared it.": lambda m: m.sale.saved_at is not None,
    "Failed": REASONS[Reason.FAILED],
    "The QR code opens nothing: hand over paper.": REASONS[Reason.FAILED],
}
_UNTIL = re.compile(r" Available until .*$")


def untruths(floor, cards, began, until):
    """Name what is not so of what the console said between two times: (sale, what it said)."""
    for card in cards.values():
        sale = floor.sent.get(card.key)
        if sale is None or sale.kind == "send":
            continue  # its facts are let go; or its code is another program's
        if any(at + HEARD_SECONDS > sale.sent_at for at in floor.damages):
            continue  # what was known of it may be lost with the outbox, and that is told
        if card.is_drawn:
            floor.drawn.add(card.key)
        moment = Moment(floor, sale, began, until)
        said = [card.word, _UNTIL.sub("", card.text), *card.warnings]
        yield from ((sale, each) for each in said if each and not _is_so(moment, card, each))


def _is_so(moment, card, said):
    if said == "one of those that wait":
        return True
    if said not in card.warnings:
        rule = SENTENCES.get(said, _never)
        # Asking the relay about each would be all that it does.
        return (rule is _can_be_opened and not card.is_newest) or rule(moment)
    said = said.removesuffix(".")
    reasons = [each for each, known in _PATTERNS.items() if known.fullmatch(said)]
    return any(REASONS.get(each, _never)(moment) for each in reasons)


def _never(_moment):
    """What was never done in this shop is never true."""
    return False


def look(floor, till):
    """Look at a till's page once; return what was not so."""
    began = time.monotonic()
    try:
        cards = floor.till_says(till)
    except (OSError, http.client.HTTPException):
        return []  # it is not there, or begins
    until = time.monotonic()
    floor.lag = max(until - began, floor.lag * 0.8)
    return list(untruths(floor, cards, began, until))
