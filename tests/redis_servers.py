"""Real Redis servers on loopback: a single one, and a cluster of six."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import stage

from relay_server.store.redis import url as redis_url
from relay_server.stores import store_limits

MASTERS = 3
SLOTS = 16_384


class Server:
    """One redis-server, with a folder of its own, that can be killed and started again."""

    def __init__(self, folder, *arguments, fsync="always"):
        self.program = shutil.which("redis-server") or stage.missing(
            "redis-server", "RUNLEVEL=1 apt-get install -y redis-server"
        )
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = stage.free_port()
        self.arguments = (
            "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
            "--maxmemory", "512mb", "--maxmemory-policy", "noeviction",
            "--loglevel", "warning", "--logfile", "redis.log", *arguments,
        )  # fmt: skip
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def flush(self):
        self.call("FLUSHALL")

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "--port", str(self.port), "--dir", self.folder, *self.arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        stage.wait_for(self._answers, "the start of a redis-server")
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()
        with contextlib.suppress(OSError, ReplyError):  # still loading
            return self.call("PING") == b"PONG"
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def cut_off(self, replica):
        """Let a replica hear nothing more; what is in the cable is lost, too."""
        replica.freeze()
        self.call("CLIENT", "KILL", "TYPE", "replica")

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def call(self, *words):
        """Send one command on a connection of its own; return its reply, parsed just enough."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.settimeout(10)
            request = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            connection.sendall(b"*%d\r\n%b" % (len(words), request))
            with connection.makefile("rb") as stream:
                return read_reply(stream)

    def is_master(self):
        with contextlib.suppress(OSError, ReplyError):
            return self.process.poll() is None and self.info()["role"] == "master"
        return False

    def info(self):
        lines = self.call("INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


class ReplyError(Exception):
    """Redis says no."""


def read_reply(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise ReplyError(rest.decode())
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2]
    return None if rest == b"-1" else [read_reply(stream) for _ in range(int(rest))]


class Cluster:
    """Three masters with a replica each."""

    def __init__(self, folder, *, fsync="everysec", timeout_ms=1_000):
        self.servers = []
        self.fsync = fsync
        for number in range(2 * MASTERS):
            bus = stage.free_port()
            arguments = (
                "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
                "--cluster-port", str(bus), "--cluster-node-timeout", str(timeout_ms),
                "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0",
                "--cluster-replica-validity-factor", "0",
            )  # fmt: skip
            server = Server(Path(folder) / str(number), *arguments, fsync=fsync)
            server.bus = bus
            self.servers.append(server)

    @property
    def url(self):
        """It says with how little it is content: these servers sync once a second."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis://{hosts}?fsync={self.fsync}"

    def start(self):
        for server in self.servers:
            server.start()
        first, *others = self.servers
        for number, server in enumerate(self.servers[:MASTERS]):
            low, high = number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS - 1
            server.call("CLUSTER", "ADDSLOTSRANGE", low, high)
            server.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in others:
            server.call("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus)
        everybody = 2 * MASTERS
        for server in self.servers:
            stage.wait_for(
                lambda server=server: (
                    b"cluster_known_nodes:%d" % everybody in server.call("CLUSTER", "INFO")
                ),
                "the meeting of the cluster",
            )
        for master, replica in zip(self.servers[:MASTERS], self.servers[MASTERS:], strict=True):
            name = master.call("CLUSTER", "MYID")
            stage.wait_for(lambda s=replica, n=name: _replicate(s, n), "a replica")
        self.settle()
        return self

    def settle(self):
        """Wait until every server is there, every slot has a master and each master a replica."""
        stage.wait_for(self._settled, "the cluster", seconds=40)

    def _settled(self):
        for server in self.servers:
            try:
                info = server.call("CLUSTER", "INFO")
                about = server.info()
            except (OSError, ReplyError):
                return False
            if b"cluster_state:ok" not in info or b"cluster_slots_ok:16384" not in info:
                return False
            if about["role"] == "master" and about["connected_slaves"] != "1":
                return False
            if about["role"] == "slave" and about["master_link_status"] != "up":
                return False
        return True

    def masters(self):
        return [server for server in self.servers if server.is_master()]

    def replica_of(self, master):
        for server in self.servers:
            running = server.process.poll() is None
            if running and server.info().get("master_port") == str(master.port):
                return server
        raise AssertionError("it has no replica")

    def flush(self):
        for server in self.masters():
            server.call("FLUSHALL")

    def stop(self):
        for server in self.servers:
            server.stop()


def masters(servers):
    """Return the servers that have what is kept."""
    return servers.masters() if isinstance(servers, Cluster) else [servers]


async def open_store(servers, config, clock, **more):
    """Open a store on servers whose clock is not the test's."""
    from relay_server.store.redis.store import RedisStore

    return await RedisStore.open(
        redis_url.parse(servers.url),
        clock=clock,
        limits=store_limits(config),
        **{"check_clock": False} | more,
    )


def _replicate(replica, name):
    with contextlib.suppress(ReplyError):
        return replica.call("CLUSTER", "REPLICATE", name) == b"OK"
    return False


@contextlib.contextmanager
def single(**options):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Server(folder, **options)
        try:
            yield server.start()
        finally:
            server.stop()


@contextlib.contextmanager
def cluster(**options):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        servers = Cluster(folder, **options)
        try:
            yield servers.start()
        finally:
            servers.stop()


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
