"""The state machines of spec/channel.md, written from its tables and from nothing else.

They know no bytes: a hello has a name and names a session by the hello that it answered, times are
milliseconds. What they say of a scenario is what its vector expects.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

Members = dict[str, Any]
IDLE: Members = {"idle": True}
LIVES = {"thanks": 10_000, "live": 120_000}
"""Of what is no ticket: how long a display shows it, in milliseconds."""


def kind_of(content: Members) -> str:
    """Which of the four a content is."""
    return next(kind for kind in ("tkt", "live", "thanks", "idle") if kind in content)


def fit(content: Members) -> Members:
    """Leave out what does not fit a sealed (C16)."""
    content = dict(content)

    def is_long() -> bool:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return len(text.encode()) > 462

    for name in ("notice", "name", "time", "no", "total"):
        if is_long():
            content.pop(name, None)
    while is_long():
        content["live"] = content["live"][1:]
    return content


@dataclass
class Showing:
    """One showing of a till (the till's rules, first lines)."""

    content: Members
    until: float = math.inf
    delivered: int | None = None
    shown: bool = False


@dataclass
class TillTable:
    """The till's table. `hellos` says of each hello what it names, or how it is broken."""

    hellos: dict[str, Members]
    idle_content: Members
    displays: int = 1
    live: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A process begins: idle, no session, nothing answered."""
        self.idle = Showing(self.idle_content)
        self.present = self.idle
        self.ended: Showing | None = None
        self.sessions: dict[str, Showing] = {}
        self.open_answers: dict[str, Members] = {}
        self.had: set[str] = set()
        self.of_display: dict[str, str] = {}
        self.last_live: dict[str, int] = {}
        self.crowded_since: int | None = None

    # Events

    def poll(self, names: list[str], now: int) -> list[Members]:
        """A poll brings the live hellos, oldest first."""
        for name in self.live:
            if name not in names:
                self._gone(name, now)
        self.live = list(names)
        return self.judge(now)

    def show(self, content: Members, now: int) -> list[Members]:
        """Told to show something."""
        self.pass_time(now)
        self.ended = None
        if kind_of(content) == "idle":
            if content != self.idle.content:
                self.idle = Showing(content)
            self.present = self.idle
        else:
            ticket = "tkt" in content
            self.present = Showing(content, now + 1000 * content["for"] if ticket else math.inf)
        return self.judge(now)

    def fate(self, name: str, what: str, now: int) -> list[Members]:
        """What came of an answer: taken (204), answered (409), gone (404) or unknown."""
        if what == "unknown":
            return self.judge(now)
        self.open_answers.pop(name, None)
        self.had.add(name)
        if what == "gone":
            if self.of_display.get(name) == name:
                del self.of_display[name]
        else:
            carried = self.sessions[name]
            carried.delivered = now if carried.delivered is None else carried.delivered
        self._gone(name, now)
        self.live = [other for other in self.live if other != name]
        return []

    def pass_time(self, now: int) -> None:
        """The ticket's seconds may be over (C43)."""
        if now >= self.present.until:
            self.ended, self.present = self.present, self.idle

    # Judging

    def judge(self, now: int) -> list[Members]:
        """Judge every live hello; return the answers that go out."""
        self.pass_time(now)
        counted = [name for name in self.live if "broken" not in self.hellos[name]]  # 1
        counted = [name for name in counted if name not in self.had]  # 2
        for name in counted:
            named = self.sessions.get(self.hellos[name]["names"] or "")
            if named is not None:
                named.shown = True  # C36
        crowded = self._count(counted, now) > self.displays
        if not crowded:
            self.crowded_since = None
        elif self.crowded_since is None:
            self.crowded_since = now
        out = []
        for name in counted:
            answer = self._judge_one(name, now, crowded=crowded)
            if answer is not None:
                out.append(answer)
        return out

    def _judge_one(self, name: str, now: int, *, crowded: bool) -> Members | None:
        named = self.sessions.get(self.hellos[name]["names"] or "")
        due = self.idle if named is None or crowded else self.present
        if name in self.open_answers:  # 3
            carried = self.sessions[name]
            allowed = carried is due or kind_of(carried.content) == "idle"
            return self.open_answers[name] | {"again": True} if allowed else None
        if named is due:  # 5, 6
            return None
        if named is not None and named is self.ended and not crowded:  # 7
            return None
        content = dict(due.content)  # 4, 8
        if "tkt" in content:
            content["for"] = math.ceil((due.until - now) / 1000)  # C44
        answer: Members = {"to": name, "content": fit(content)}
        self.open_answers[name] = answer
        self.sessions[name] = due
        self.of_display[name] = self._display(name)
        return answer

    def _display(self, name: str) -> str:
        """C34: whose hello this is."""
        return self.of_display.get(self.hellos[name]["names"] or "", name)

    def _count(self, counted: list[str], now: int) -> int:
        here = {self._display(name) for name in counted}
        for display in here & set(self.of_display.values()):
            self.last_live.pop(display, None)
        away = {
            display for display, at in self.last_live.items() if display not in here
            if now - at < 5000
        }  # fmt: skip
        return len(here) + len(away)

    def _gone(self, name: str, now: int) -> None:
        """A hello is live no more; its display, if ever answered, counts for 5 s."""
        display = self._display(name)
        if "broken" in self.hellos[name] or display not in self.of_display.values():
            return
        others = [other for other in self.live if other != name and other not in self.had]
        if display not in {self._display(other) for other in others}:
            self.last_live[display] = now

    # Output

    def output(self, answers: list[Members], now: int) -> Members:
        """What is to be seen of the till after an event."""
        at = self.present.delivered
        unshown = at is not None and not self.present.shown and now - at >= 3000
        since = self.crowded_since
        return {
            "answers": answers,
            "present": {"tkt": "ticket"}.get(kind := kind_of(self.present.content), kind),
            "shown": self.present.shown,
            "warn": unshown and "tkt" in self.present.content,
            "crowded": since is not None and now - since >= 30_000,
        }


@dataclass
class Clocks:
    """A reading; mono is None where there is no monotonic clock."""

    wall: int
    mono: int | None


def elapsed(then: Clocks, now: Clocks) -> int:
    """The larger of both."""
    wall = now.wall - then.wall
    return wall if now.mono is None or then.mono is None else max(wall, now.mono - then.mono)


class DisplayTable:
    """The display's table."""

    def __init__(self) -> None:
        self.paired, self.hidden = True, False
        self.last: str | None = None
        self.hello: tuple[str, Clocks] | None = None
        self.failures = 0
        self.idle: Members = IDLE
        self.begin(IDLE, None)
        self.read: Clocks | None = None
        self.due: tuple[Clocks, int, int] | None = None

    def begin(self, content: Members, now: Clocks | None) -> None:
        """Begin to show something."""
        self.content, self.accepted = content, now
        self.life = 1000 * content["for"] if "tkt" in content else LIVES.get(kind_of(content))

    # Events

    def load(self, now: Clocks) -> None:
        """The page is loaded and P known."""
        self.read = now
        self.next(now, 0)

    def say(self, name: str, now: Clocks) -> Members:
        """The next hello is due."""
        self.time(now)
        if self.hidden or not self.paired:
            return {"hello": False}
        if self.due is None or elapsed(self.due[0], now) < self.due[2]:
            raise SystemExit(f"hello {name} is said before it is due, at {now}")
        self.hello, self.due = (name, now), None
        return {"hello": True, "names": self.last}

    def answer(self, step: Members, now: Clocks) -> None:
        """An answer to the hello that waits."""
        self.time(now)
        if self.hello is None:
            return
        name, made = self.hello
        status = step["status"]
        if status == 410:
            self.paired, self.hello, self.last, self.due = False, None, None, None
            self.idle = IDLE
            self.begin(IDLE, None)
        elif status == 204:
            self.hello, self.failures = None, 0
            early = elapsed(made, now) < 20_000
            self.next(now, *((1000, 3000) if early else (0,)))
        elif status == 200 and step["ok"]:
            self.hello, self.failures, self.last = None, 0, name
            self.begin(step["content"], now)
            if "idle" in step["content"]:
                self.idle = step["content"]
            self.next(now, 0)
        else:
            asked = step.get("retry_after", "") if status in (429, 503) else ""
            self.fail(now, asked)

    def fail(self, now: Clocks, asked: str = "") -> None:
        """A failure of any kind (C27, C47)."""
        delay = 1000 * min(30, 2**self.failures)
        if asked.isdigit():
            delay = max(delay, 1000 * min(120, int(asked)))
        self.hello = None
        self.failures += 1
        if self.failures > 1 and kind_of(self.content) in LIVES:
            self.begin(self.idle, now)
        self.next(now, delay)

    def lost(self, now: Clocks) -> None:
        """The connection ended without an answer."""
        self.time(now)
        if self.hello is not None:
            self.fail(now)

    def time(self, now: Clocks) -> None:
        """Time passes."""
        before, self.read = self.read or now, now
        if self.hidden or not self.paired:
            return
        if now.wall < before.wall or elapsed(before, now) > 10_000:  # C45
            self.hide(now)
            self.show(now)
            return
        over = self.life is not None and self.accepted is not None
        if over and elapsed(self.accepted, now) >= self.life:  # type: ignore[arg-type,operator]
            self.begin(self.idle, now)
        if self.hello is not None and elapsed(self.hello[1], now) >= 35_000:  # C20
            self.fail(now)

    def hide(self, _: Clocks) -> None:
        """The page is hidden or left."""
        self.hello, self.hidden, self.last, self.due = None, True, None, None
        self.begin(self.idle, None)

    def show(self, now: Clocks) -> None:
        """The page is shown again."""
        if self.hidden:
            self.hidden = False
            self.next(now, 0)
        self.read = now

    def tap(self, now: Clocks) -> None:
        """Somebody needs longer (C42)."""
        self.time(now)
        if "tkt" in self.content and self.accepted is not None and self.life is not None:
            wish = elapsed(self.accepted, now) + 1000 * self.content["for"]
            self.life = max(self.life, min(wish, 300_000))

    def next(self, now: Clocks, earliest: int, latest: int | None = None) -> None:
        """When the next hello goes out."""
        if self.paired and not self.hidden:
            self.due = (now, earliest, earliest if latest is None else latest)

    # Output

    def output(self, now: Clocks) -> Members:
        """What is to be seen of the display after an event."""
        kind = kind_of(self.content)
        content = {
            key: value for key, value in self.content.items() if key not in ("idle", "thanks")
        }
        out: Members = {
            "shows": {"kind": {"tkt": "ticket"}.get(kind, kind)} | content,
            "next": None,
            "paired": self.paired,
        }
        if self.due is not None:
            since, *span = self.due
            gone = now.wall - since.wall if now.mono is None else now.mono - (since.mono or 0)
            out["next"] = [max(0, limit - gone) for limit in span]
        return out
