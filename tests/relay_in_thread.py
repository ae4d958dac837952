"""A whole relay on a real port, in a thread of this process, whose clock a test moves."""

import asyncio
import tempfile
import threading
import time
from pathlib import Path

import relay_fakes


class RelayInThread:
    """To be used with `with`; `closed` ones know one permit, which is `leave`."""

    def __init__(self, *, closed):
        # Imported here, so that whoever has put changed modules in place gets a relay of those.
        from relay_server.app import create_app
        from relay_server.config import Config
        from relay_server.permits import digest, generate
        from relay_server.stores import open_store

        self._folder = tempfile.TemporaryDirectory()
        self._clock = relay_fakes.Clock()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._began = threading.Event()
        self.leave = generate()
        self.patience = 20
        """How many seconds an answer or a request may take on a machine that is busy."""

        async def main():
            config = Config(open=not closed, sweep_seconds=10**9)
            store = open_store(config, Path(self._folder.name) / "relay.sqlite", self._clock)
            self._store = store
            try:
                await store.add_permit("shop", digest(self.leave), today=0)
                app = create_app(config, store, self._clock)
                async with app.serve("127.0.0.1", 0) as (_, self.port):
                    self._began.set()
                    await self._stop.wait()
                    stopping = asyncio.ensure_future(asyncio.sleep(0))
                    await stopping
            finally:
                self._began.set()
                await store.close()

        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(main(),))

    def __enter__(self):
        self._thread.start()
        self._began.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()
        self._folder.cleanup()

    def advance(self, seconds):
        """Let time pass at the relay."""
        self._run(self._advance(seconds))

    async def _advance(self, seconds):
        self._clock.advance(seconds)
        for _ in range(5):
            await asyncio.sleep(0)

    def settle(self, waiting):
        """Wait until as many requests wait at the relay as `waiting` says at that moment."""
        end = time.monotonic() + self.patience
        while self._run(self._waiting()) != waiting():
            if time.monotonic() > end:
                raise TimeoutError("not every request that was begun waits at the relay")
            time.sleep(0.002)

    async def _waiting(self):
        return self._store.gauges().waiting_requests

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)
