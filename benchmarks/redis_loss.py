"""What is lost when the master of a Redis Cluster is killed under load, at each setting.

    python benchmarks/redis_loss.py [--kills 10]

A cluster of six on loopback, one relay, four tills; `kill -9` of the master that is asked most, its
replica takes over, the old master comes back; once while the replica keeps up, and once when it was
cut off half a second before. Counted is what was acknowledged to a till and is not
there afterwards. A kill says nothing about power cuts: what a kill leaves in the page cache, a
power cut takes, which is what appendfsync is about.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import redis_servers
import stage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "chaos"))
from test_redis_kill import Load, permit_for, start

SETTINGS = (
    ("everysec", "everysec", ""),
    ("always", "always", ""),
    ("everysec, wait=1", "everysec", "&wait=1"),
    ("always, wait=1", "always", "&wait=1"),
)


LAG_SECONDS = 0.5


def measure(fsync, wait, kills, *, lagging):
    """Return how much was kept and lost, and how long a shard took nothing."""
    kept = lost = torn = risen = 0
    gaps = []
    with redis_servers.cluster(fsync=fsync) as cluster:
        url = f"{cluster.url}{wait}&timeout_ms=500"
        permit = permit_for(url)
        with start(url) as relay:
            for turn in range(kills):
                with Load([relay], permit, name=f"{turn:x}-") as load:
                    load.go_on(100)
                    master = cluster.masters()[turn % redis_servers.MASTERS]
                    slots = master.port
                    replica = cluster.replica_of(master)
                    if lagging:
                        master.cut_off(replica)
                        time.sleep(LAG_SECONDS)
                    master.kill()
                    replica.thaw()
                    began = time.monotonic()
                    stage.wait_for(
                        lambda: len(cluster.masters()) == redis_servers.MASTERS, "a new master"
                    )
                    gaps.append(time.monotonic() - began)
                    assert slots not in [server.port for server in cluster.masters()]
                    master.start()
                    cluster.settle()
                    load.go_on(100)
                broken = load.promises.broken(relay.address)
                kept += len(load.promises.kept)
                lost += len(broken[0])
                torn += len(broken[1])
                risen += len(broken[2])
    return kept, lost, torn, risen, sorted(gaps)[len(gaps) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    head = "setting | replica | kills | acknowledged | lost | torn | resurrected"
    print(f"| {head} | new master, s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, fsync, wait in SETTINGS:
        for lagging in (False, True):
            kept, lost, torn, risen, gap = measure(fsync, wait, options.kills, lagging=lagging)
            numbers = f"{kept:,} | {lost} | {torn} | {risen} | {gap:.1f}"
            state = f"cut off for {LAG_SECONDS} s" if lagging else "keeps up"
            print(f"| {name} | {state} | {options.kills} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
