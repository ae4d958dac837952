"""From the link opened to the receipt on the phone: shown, its PDF ready to be saved.

Beside it, in the same run: a bare page that fetches the same envelope from the same kind of relay
and does nothing with it, the least that any page with one fetch takes. Each opening is a new
browser context, so nothing is cached; the two take turns. Both are left alone until they say that
they are ready: to ask them meanwhile would be a script of Playwright's to compile, on their CPU.
"""

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

import bench
import screens
import stage

BARE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Bare</title><p>
<script>
fetch('/v1/t/' + location.hash.slice(1)).then(answer => answer.arrayBuffer()).then(body => {
  document.querySelector('p').textContent = body.byteLength;
  document.documentElement.setAttribute('data-state', 'ready');
});
</script>
"""
WATCH = """
new MutationObserver(() => {
    if (document.documentElement.getAttribute('data-state') !== 'ready') return;
    requestAnimationFrame(() => requestAnimationFrame(() => {
        if (!window.readyAt) console.debug('READY ' + (window.readyAt = performance.now()));
    }));
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['data-state']});
"""
CONDITIONS = {
    "loopback": None,
    "150 ms, 1.6 Mbit/s, a quarter of the CPU": {
        "latency": 150,
        "down": 1_600_000 / 8,
        "up": 750_000 / 8,
        "cpu": 4,
    },
}


def main():
    from playwright.sync_api import sync_playwright

    from e2ee_ticket import Ticket
    from e2ee_ticket.pdf.seen import see
    from e2ee_ticket.till.pipeline import with_seen

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=25, help="how many openings of each kind")
    count = parser.parse_args().n
    print(bench.machine(), end="\n\n")
    receipt = (bench.DATA / "dolibarr_takepos_invoice.pdf").read_bytes()
    ticket = Ticket(receipt=receipt, title="Épicerie", total="54,64 €", number="TC1-1",
                    issued="2026-07-30T14:05:00+02:00")  # fmt: skip
    ticket = with_seen(ticket, asyncio.run(see(receipt)))
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        bare_pages = Path(folder) / "bare"
        bare_pages.mkdir()
        for name in ("ticket.html", "display.html", "selftest.html"):
            (bare_pages / name).write_text(BARE)
        with bench.on_core(0):
            ours = start(Path(folder) / "ours", "--pages")
            bare = start(Path(folder) / "plain", "--pages", str(bare_pages))
        link = ours.keep(ticket, permit=ours.leave)
        assert bare.upload(link, ticket, permit=bare.leave) == 201
        browser = playwright.chromium.launch(
            executable_path=stage.find_chromium(), args=stage.CHROMIUM_ARGUMENTS
        )
        for condition, slow in CONDITIONS.items():
            bare_times, our_times = [], []
            for _ in range(count):
                bare_times.append(opening(browser, f"{bare.origin}/#{link.secret.id}", slow))
                our_times.append(opening(browser, link.reveal(), slow))
            ratios = [f"{of(our_times) / of(bare_times):.2f}" for of in (min, statistics.median)]
            rows.append([condition, "bare page, one fetch", *bench.summary(bare_times), "1", "1"])
            rows.append([condition, "ticket page", *bench.summary(our_times), *ratios])
        size = len(bare.request("GET", f"/v1/t/{link.secret.id}")[1])
        browser.close()
        ours.stop()
        bare.stop()
    print(f"envelope {size // 1024} KiB, receipt {len(receipt):,} bytes", end="\n\n")
    head = ["network", f"of {count}, ms", *bench.SUMMARY, "least / bare", "p50 / bare"]
    bench.table(head, rows)


def start(folder, *arguments):
    relay = stage.Relay(folder, *arguments, pages=False)
    relay.leave = relay.permit()
    return relay.start()


def opening(browser, address, slow):
    """Open an address as a phone that was never here; return milliseconds until it is ready."""
    context = browser.new_context(**screens.PHONE)
    page = context.new_page()
    page.add_init_script(WATCH)
    if slow is not None:
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", {
            "offline": False, "latency": slow["latency"],
            "downloadThroughput": slow["down"], "uploadThroughput": slow["up"],
        })  # fmt: skip
        session.send("Emulation.setCPUThrottlingRate", {"rate": slow["cpu"]})
    with page.expect_console_message(lambda message: message.text.startswith("READY ")) as waiting:
        page.goto(address, wait_until="commit")
    took = float(waiting.value.text.split()[1])
    assert page.evaluate("!window.save || save.href.indexOf('blob:') === 0")
    context.close()
    return took


main()
