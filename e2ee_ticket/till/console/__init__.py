"""The console: the till's local web page, for the cashier and for the owner.

    app = create_console(floor, config.console, state_dir=config.state_dir, clock=clock)
    await serve(app, config.console.listen)

It is rendered here and works without JavaScript; the script of the page only keeps it up to date.
Whoever asks must be this computer's own user, or know the PIN (auth.py); whatever a page of another
origin tries is refused before anything is read (guard.py). No address and no log holds a secret.
"""

from e2ee_ticket.till.console.app import create_console, serve
from e2ee_ticket.till.console.auth import Entrance, hash_pin
from e2ee_ticket.till.console.held import HeldSockets

__all__ = ["Entrance", "HeldSockets", "create_console", "hash_pin", "serve"]
