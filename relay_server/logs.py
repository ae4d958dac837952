"""What the relay writes to its log, with nothing in it that points to anybody (spec/relay.md, R4).

Of a request, if at all: method, the *template* of the route, status, size rounded up, milliseconds.
Never a path, an address, a user agent or a header: aiohttp's own access log has all of them, and is
switched off.
"""

import json
import logging
import sys
import time
from pathlib import Path

from relay_server.metrics import METHODS

ROUND_SIZE = 1024
FORMS = ("text", "json")

logger = logging.getLogger("relay_server.access")
faults = logging.getLogger("relay_server")


def log_request(method: str, template: str, status: int, size: int, seconds: float) -> None:
    """Write the line of one request."""
    # A method is any word the caller likes, an id for example.
    shown = method if method in METHODS else "OTHER"
    kib = -(-size // ROUND_SIZE)
    milliseconds = int(seconds * 1000)
    logger.info(
        "%s %s %d %dKiB %dms", shown, template, status, kib, milliseconds,
        extra={"fields": {"method": shown, "route": template, "status": status,
                          "kib": kib, "ms": milliseconds}},
    )  # fmt: skip


class MinuteLog:
    """What was answered in a minute, in one line: some hundred bytes instead of some of each."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}

    def note(self, method: str, template: str, status: int) -> None:
        """Count an answer."""
        key = (method if method in METHODS else "OTHER", template, status)
        self._counts[key] = self._counts.get(key, 0) + 1

    def say(self) -> None:
        """Write what was counted since the last line, if anything."""
        counts, self._counts = self._counts, {}
        if counts:
            rows = sorted(counts.items())
            logger.info(
                "answered: %s",
                ", ".join(f"{n} {m} {template} {s}" for (m, template, s), n in rows),
                extra={
                    "fields": {
                        "answered": [
                            {"method": m, "route": template, "status": s, "count": n}
                            for (m, template, s), n in rows
                        ]
                    }
                },
            )


def log_fault(error: BaseException | None) -> None:
    """Log where the relay failed, but not with what: a message may hold what no log may (R4)."""
    place = "?"
    traceback = None if error is None else error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}"
        traceback = traceback.tb_next
    debug = faults.isEnabledFor(logging.DEBUG)
    faults.error("%s in %s", type(error).__name__, place, exc_info=error if debug else None)


class JsonFormatter(logging.Formatter):
    """One object a line, for those who collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        line: dict[str, object] = {"time": stamp, "level": record.levelname.lower()}
        fields = getattr(record, "fields", None)
        if fields is None:
            line["message"] = record.getMessage()
        else:
            line |= fields
        if record.exc_info:  # only with --debug (R4)
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start_logging(*, form: str, debug: bool) -> None:
    """Let everything that is logged go to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("relay-server: %(message)s")
    )
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    # aiohttp and asyncio name addresses in what they log.
    for name in ("asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
