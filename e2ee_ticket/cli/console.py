"""`e2ee-ticket console`: bringing this user's browser to the cashier's page, and its PIN."""

import argparse
import getpass
import hmac
import os
import webbrowser

from e2ee_ticket.cli import voice
from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till.config import Config, config_path, load
from e2ee_ticket.till.console.auth import Entrance, hash_pin
from e2ee_ticket.till.console.meeting import address_of, meet


def run(parsed: argparse.Namespace) -> int:
    """Open the console, or set or remove the PIN for other devices."""
    config = load()
    if parsed.pin:
        return _set_pin()
    if parsed.no_pin:
        return _keep_pin(None, "no other device is let in any more")
    return _open(config, alone=parsed.link)


def _open(config: Config, *, alone: bool) -> int:
    """Bring the browser in; the token goes by a file, since arguments show in process lists."""
    entrance = Entrance(config.state_dir)
    address = address_of(config.console.listen)
    _meet(address, entrance)
    if alone:
        voice.result(f"http://{address}/enter#{entrance.token()}")
        return voice.DONE
    voice.result(f"http://{address}/")
    door = entrance.write_door(f"http://{address}")
    if webbrowser.open(door.as_uri()):
        voice.note("the browser opens; if it shows nothing: e2ee-ticket console --link")
        return voice.DONE
    voice.say("no browser was found here")
    voice.hint("e2ee-ticket console --link prints a link that lets a browser in, once")
    return voice.REFUSED


def _meet(address: str, entrance: Entrance) -> None:
    """Make sure that who listens there is this user's agent, before a browser tells it the token.

    Raises:
        ConfigError: nobody, or somebody else.
    """
    entrance.token()
    met = meet(address, entrance)
    if met == "nobody":
        raise ConfigError(f"nothing answers at {address}; start the agent: e2ee-ticket agent")
    if met == "other":
        raise ConfigError(
            f"what answers at {address} is not this till's agent; is it another user's program?"
        )


def _set_pin() -> int:
    """Ask twice for a PIN, and keep what it is checked against."""
    pin = getpass.getpass("PIN for other devices, at least 6 digits: ")
    pin_hash = hash_pin(pin)
    if not hmac.compare_digest(getpass.getpass("once more: ").encode(), pin.encode()):
        raise ConfigError("the two are not the same; nothing was changed")
    return _keep_pin(pin_hash, "the PIN is set")


def _keep_pin(pin_hash: str | None, said: str) -> int:
    from e2ee_ticket.till import settings_file  # noqa: PLC0415 - opening needs none of it

    settings_file.edit(config_path(os.environ), {"console.pin_hash": pin_hash})
    voice.say(said)
    voice.hint("restart the agent; other devices reach it only where listen in [console] lets them")
    return voice.DONE
