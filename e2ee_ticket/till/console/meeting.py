"""Finding out who listens at the console's address: this till's agent, another program, nobody."""

import hmac
import http.client
import secrets
from typing import Final, Literal

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.sources.listening import join
from e2ee_ticket.till.console.auth import Entrance
from e2ee_ticket.till.network import ANY, split_listen

ANSWER_SECONDS: Final = 5.0

Met = Literal["ours", "other", "nobody"]


def address_of(listen: str) -> str:
    """Return how this computer's own browser calls what listens there.

    Never by `localhost`, which leads to two addresses: at the other one anybody may listen.
    """
    host, port = split_listen(listen)
    return join("127.0.0.1" if host in (*ANY, "localhost") else host, port)


def meet(address: str, entrance: Entrance) -> Met:
    """Let who listens there prove that it can read this user's token; the token is not told."""
    question = secrets.token_hex(16)
    connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"/prove?question={question}")
        answer = connection.getresponse().read(200).decode("ascii", "replace")
    except OSError:
        return "nobody"
    except http.client.HTTPException:
        return "other"
    finally:
        connection.close()
    try:
        proof = entrance.prove(question)
    except ConfigError:
        return "other"  # there is no token: none of this user's agents can be there
    return "ours" if hmac.compare_digest(answer.encode(), proof.encode()) else "other"
