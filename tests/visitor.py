"""A browser at the console, as far as a test of its answers needs one."""

import contextlib
import re

import stage
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from e2ee_ticket.till.config import ConsoleConfig
from e2ee_ticket.till.console import Entrance, create_console


class Visitor:
    """Someone with a cookie jar, who follows links and sends the forms that a page has."""

    def __init__(self, client, port):
        self.client = client
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.form = ""

    def get(self, path, **headers):
        return self.client.get(
            URL(path, encoded=True), allow_redirects=False,
            headers={"Host": f"127.0.0.1:{self.port}"} | headers,
        )  # fmt: skip

    def send(self, path, fields, **headers):
        return self.client.post(
            URL(path, encoded=True), data=_pairs(fields), allow_redirects=False,
            headers={"Host": f"127.0.0.1:{self.port}", "Origin": self.origin} | headers,
        )  # fmt: skip

    def post(self, path, **fields):
        return self.send(path, {"form": self.form} | fields)

    async def page(self, path):
        answer = await self.get(path)
        assert answer.status == 200, answer.status
        return await answer.text()

    async def press(self, path, **fields):
        """Send a form and look where it leads."""
        answer = await self.post(path, **fields)
        assert answer.status == 303, await answer.text()
        return await self.page(answer.headers["Location"])

    async def enter(self, token):
        answer = await self.send("/enter", {"token": token})
        if answer.status == 303:
            self.form = re.search(r'name="form" value="([0-9a-f]{64})"', await self.page("/shop"))[
                1
            ]
        return answer


def _pairs(fields):
    """A form's fields; one that is there several times has a list."""
    return [
        (name, each)
        for name, value in fields.items()
        for each in (value if isinstance(value, list) else [value])
    ]


@contextlib.asynccontextmanager
async def arriving(floor, state_dir, clock, *, port=None, peer=None, listening="", **settings):
    """A console, and somebody who is not let in yet."""
    port = port or stage.free_port()
    config = ConsoleConfig(listen=f"127.0.0.1:{port}", **settings)
    options = {"peer": peer} if peer else {}
    app = create_console(
        floor, config, state_dir=state_dir, clock=clock, listening=listening, **options
    )
    server = TestServer(app, host="127.0.0.1", port=port)
    async with TestClient(server) as client:
        yield Visitor(client, port)


@contextlib.asynccontextmanager
async def visiting(floor, state_dir, clock, **settings):
    """A console, and somebody who came in."""
    async with arriving(floor, state_dir, clock, **settings) as visitor:
        assert (await visitor.enter(Entrance(state_dir).token())).status == 303
        yield visitor
