"""What a city, a country and the world need, from what a ticket and a display cost here.

    python benchmarks/capacity.py

Everything that was measured or assumed stands at the top, with its unit; deploy/capacity.md says
where it comes from.
"""

DAY = 86_400
YEAR = 365 * DAY

# Measured: CPU, in µs, of a relay on Redis and of that Redis; bytes in Redis.
UPLOAD, FETCH, CHANGE, LOOK, POLL = (400, 330), (205, 170), (425, 170), (175, 25), (285, 50)
ENVELOPE_WIRE, ENVELOPE_MEMORY, TOMBSTONE, CHANNEL = 49_152, 58_100, 600, 320
WAITING_MEMORY = 17_000

# Assumed.
OPENED = 0.5  # of all tickets
SHOWN = 0.8  # by a display
LIFE_DAYS = 3 * (1 - OPENED) + 0.05 * OPENED
TOMBSTONE_DAYS = LIFE_DAYS + 8
PEAK = 5  # the busiest hour of the busiest day, beside the average
HEADROOM = 2
COPIES = 2  # a replica for each master
RECEIPTS_PER_DISPLAY = 30_000  # a year: 100 a day
EURO_CORE, EURO_GB, EURO_DISK_GB, EURO_TB = 10.0, 2.0, 0.08, 1.0  # a month


def ticket_cost(which):
    """Return CPU µs: upload, two looks of the till, half of them fetched and marked, shown."""
    shown = SHOWN * (2 * POLL[which] + LOOK[which])
    opened = OPENED * (FETCH[which] + 2 * CHANGE[which])
    return UPLOAD[which] + 2 * LOOK[which] + opened + shown


def needs(receipts):
    rate = receipts / YEAR
    displays = receipts / RECEIPTS_PER_DISPLAY
    waiting = 2 * displays / 25  # requests a second: each display and its till ask every 25 s
    cores = [
        HEADROOM * (PEAK * rate * ticket_cost(which) + waiting * POLL[which]) / 1e6
        for which in (0, 1)
    ]
    live, over = rate * DAY * LIFE_DAYS, rate * DAY * TOMBSTONE_DAYS
    memory = COPIES * (live * ENVELOPE_MEMORY + over * TOMBSTONE + displays * CHANNEL) / 1e9
    disk = 2 * COPIES * live * ENVELOPE_WIRE / 1e9
    traffic = rate * YEAR / 12 * ENVELOPE_WIRE * (1 + OPENED) / 1e12
    return {
        "receipts a year": receipts,
        "uploads a second, average": rate,
        "… in the busiest hour": PEAK * rate,
        "displays": displays,
        "requests a second of displays that wait": waiting,
        "relays, cores": cores[0],
        "Redis, cores": cores[1] * COPIES,
        "relays, GB for those who wait": 2 * displays * WAITING_MEMORY / 1e9,
        "envelopes at a time": live,
        "Redis, GB of memory": memory,
        "append-only files, GB of disk": disk,
        "in the busiest hour, Gbit/s": PEAK * rate * ENVELOPE_WIRE * 8 * (1 + OPENED) / 1e9,
        "TB of traffic a month": traffic,
        "euro a month": (cores[0] + COPIES * cores[1]) * EURO_CORE
        + (memory * 1.3 + 2 * displays * WAITING_MEMORY / 1e9) * EURO_GB
        + disk * EURO_DISK_GB
        + traffic * EURO_TB,
    }


def shown(number):
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def main():
    columns = {
        "a town, 50,000 people": 22e6,
        "a city, 500,000": 220e6,
        "France": 30e9,
        "the world": 3_600e9,
    }
    found = [needs(receipts) for receipts in columns.values()]
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in found[0]:
        print(f"| {name} | " + " | ".join(shown(one[name]) for one in found) + " |")
    print(f"\nCPU of a ticket: {ticket_cost(0):.0f} µs at relays, {ticket_cost(1):.0f} µs in Redis")
    each = found[2]["euro a month"] * 12 / 30e9 * 1e6
    print(f"a million receipts: {each:.2f} euro")


if __name__ == "__main__":
    main()
