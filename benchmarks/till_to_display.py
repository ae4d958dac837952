"""From the start of `e2ee-ticket send --display` to the QR code painted on the display page.

Real parts: a process for each sale, a relay, the display page in Chromium. Painted means that the
page said `ticket` and two frames have passed since. The second row is what an agent will have: the
till's screen runs already, and is only told what to show.
"""

import argparse
import tempfile
import time
from pathlib import Path

import bench
import stage

WATCH = """
window.painted = [];
new MutationObserver(() => {
    const root = document.documentElement;
    if (root.getAttribute('data-state') === 'ticket') {
        requestAnimationFrame(() => requestAnimationFrame(() => window.painted.push(Date.now())));
    }
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['data-state']});
"""


def main():
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=30, help="how many sales of each kind")
    count = parser.parse_args().n
    print(bench.machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        with bench.on_core(0):
            relay = stage.Relay(Path(folder) / "relay")
            permit = relay.permit()
            relay.start()
        browser = playwright.chromium.launch(
            executable_path=stage.find_chromium(), args=stage.CHROMIUM_ARGUMENTS
        )
        rows = [
            ["`send --display`, a process each", *bench.summary(commands(browser, relay, permit,
                                                                         folder, count))],
            ["a till that runs already", *bench.summary(running(browser, relay, permit, count))],
        ]  # fmt: skip
        browser.close()
        relay.stop()
    bench.table([f"of {count}, ms", *bench.SUMMARY], rows)


def open_display(browser, link):
    page = browser.new_page(viewport={"width": 1024, "height": 768})
    page.add_init_script(WATCH)
    page.goto(link)
    return page


def time_to_paint(page, act):
    """Act, and return the milliseconds until a code was painted anew."""
    before = page.evaluate("window.painted.length")
    start = time.time()
    result = act()
    page.wait_for_function("count => window.painted.length > count", arg=before, polling=20)
    return page.evaluate("window.painted[window.painted.length - 1]") - start * 1000, result


def commands(browser, relay, permit, folder, count):
    till = stage.Till(Path(folder) / "till", relay.origin, permit=permit)
    receipt = str(bench.DATA / "dolibarr_takepos_invoice.pdf")
    link = till.run("display", "add", "--link", "--no-wait", "Counter").stdout.strip()
    page = open_display(browser, link)
    times = []
    for _ in range(count):
        took, process = time_to_paint(
            page, lambda: till.popen("send", "--display", "Counter", "--total", "54,64 €", receipt)
        )
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told
        times.append(took)
    page.close()
    return times


def running(browser, relay, permit, count):
    from e2ee_ticket import Secret
    from e2ee_ticket.protocol.content import Content

    times = []
    with stage.Counter(relay.origin, permit=permit) as counter:
        page = open_display(browser, counter.link(relay.origin))
        page.wait_for_selector("html[data-state=idle]")
        for _ in range(count):
            content = Content.ticket(Secret.generate(), 90, total="54,64 €")
            times.append(time_to_paint(page, lambda shown=content: counter.show(shown))[0])
            stage.wait_for(lambda: counter.shown, "the display's confirmation")
            counter.clear()
            page.wait_for_selector("html[data-state=idle]")
            stage.wait_for(lambda: counter.shown, "the display's confirmation")
        page.close()
    return times


main()
