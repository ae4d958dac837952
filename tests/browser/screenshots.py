"""Draw every state of both pages into build/screenshots/, for people to look at.

.venv/bin/python tests/browser/screenshots.py [FOLDER]

Small, they are side by side in docs/phone-states.png and docs/display-states.png; the README shows
two of them.
"""

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

import PIL.Image  # noqa: E402 - after the line above, as those below
import PIL.ImageOps  # noqa: E402 - idem
import stage  # noqa: E402 - found by the line above
from cable import Cable  # noqa: E402 - idem
from playwright.sync_api import sync_playwright  # noqa: E402 - idem
from screens import Phone, Tablet  # noqa: E402 - idem

from e2ee_ticket import Link, Secret, Ticket  # noqa: E402 - idem
from e2ee_ticket.pdf.draw import draw_receipt, sample_receipt  # noqa: E402 - idem
from e2ee_ticket.pdf.preview import preview  # noqa: E402 - idem
from e2ee_ticket.pdf.words import words_of_receipt  # noqa: E402 - idem
from e2ee_ticket.protocol.content import Content  # noqa: E402 - idem

GET = "GET /v1/t/"
HELLO = "POST /v1/c/"
PORTAL = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"
NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get: function () { throw 1; }});"
LINES = ("Quiche lorraine, part chaude 3,80 €", "Savon de Marseille, 300 g 4,20 €",
         "Total 41,37 €")  # fmt: skip
OFFLINE = "Object.defineProperty(navigator, 'onLine', {get: () => false})"
SIZES = {
    "1024x600": {"viewport": {"width": 1024, "height": 600}},
    "800x1280": {"viewport": {"width": 800, "height": 1280}},
    "320x568": {"viewport": {"width": 320, "height": 568}, "device_scale_factor": 2},
    "3840x2160": {"viewport": {"width": 3840, "height": 2160}},
}
LARGE = {"is_mobile": False, "device_scale_factor": 1}
SHOWN = {
    "phone-ready": ("ticket-ready-fr", (390, 844)),
    "display-ticket": ("display-ticket-1024x600", (1024, 600)),
}
SHEETS = {
    # The pictures of a sheet, the size of each, and how many stand in a row.
    "phone-states": (
        [
            "ticket-opening", "ticket-ready", "ticket-ready-dark", "ticket-ready-saved",
            "ticket-ready-bare", "ticket-waiting", "ticket-absent", "ticket-damaged",
            "ticket-expired", "ticket-received", "ticket-revoked", "ticket-tampered",
            "ticket-offline", "ticket-away", "ticket-portal", "ticket-old", "ticket-noscript",
            "ticket-about",
        ],
        (150, 325),
        9,
    ),
    "display-states": (
        [
            f"display-{state}-{size}"
            for size in ("1024x600", "3840x2160", "800x1280")
            for state in ("pairing", "idle", "live", "ticket", "thanks", "unpaired")
        ],
        (240, 240),
        6,
    ),
}  # fmt: skip


class Studio:
    """A relay, a browser, and where the pictures go."""

    def __init__(self, stack, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.relay = stage.Relay(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        self.leave = self.relay.permit()
        self.relay.start()
        stack.callback(self.relay.stop)
        self.cable = stack.enter_context(Cable(self.relay.port))
        running = stack.enter_context(sync_playwright())
        self.browser = running.chromium.launch(
            executable_path=stage.find_chromium(), args=stage.CHROMIUM_ARGUMENTS
        )
        stack.callback(self.browser.close)

    def shoot(self, screen, name):
        screen.page.screenshot(path=self.folder / f"{name}.png", animations="disabled")
        print(f"{name}.png")  # noqa: T201 - a script's result

    def keep(self, ticket):
        return self.relay.keep(ticket, permit=self.leave)

    def phone(self, link, state, name, *, clock=False, prepare=None, script="", **options):
        """Open a link on a phone and draw the state it comes to."""
        phone = Phone(self.browser, **options)
        phone.context.add_init_script(script)
        if clock:
            phone.page.clock.install()
        phone.open(link)
        if prepare:
            prepare(phone)
        if state != "noscript":
            phone.wait(state)
        if state == "ready" and phone.page.locator("#preview").get_attribute("src"):
            phone.page.wait_for_selector("#preview", state="visible")
        self.shoot(phone, f"ticket-{name}")
        phone.close()


def draw_tickets(studio, ticket, pictured):
    """Draw the phone's page; `pictured` has a picture of the receipt, and no words."""
    cable, relay = studio.cable, studio.relay
    link = studio.keep(ticket)
    near = f"{cable.origin}/#{link.digits()}"
    studio.phone(relay.origin + "/", "about", "about")
    studio.phone(link.reveal(), "noscript", "noscript", java_script_enabled=False)
    studio.phone(link.reveal(), "old", "old", script="delete window.Blob")
    studio.phone(link.reveal()[:-1], "damaged", "damaged")
    studio.phone(link.reveal(), "ready", "ready")
    studio.phone(link.reveal(), "ready", "ready-dark", color_scheme="dark")
    studio.phone(link.reveal(), "ready", "ready-fr", locale="fr-FR")
    for size in ("800x1280", "1024x600", "3840x2160"):
        options = SIZES[size] | LARGE
        studio.phone(link.reveal(), "ready", f"ready-{size}", **options)
    studio.phone(link.reveal(), "ready", "ready-saved", prepare=save)
    studio.phone(studio.keep(Ticket(ticket.receipt)).reveal(), "ready", "ready-bare")
    studio.phone(studio.keep(pictured).reveal(), "ready", "ready-picture")
    held = cable.hold(GET)
    studio.phone(near, "opening", "opening")
    held.release()
    empty = Link(relay.origin, Secret.generate())
    studio.phone(empty.reveal(), "waiting", "waiting")
    studio.phone(empty.reveal(), "absent", "absent", clock=True, prepare=run_out)
    faults = (("away", b"", ""), ("offline", b"", OFFLINE), ("portal", PORTAL, ""))
    for name, answer, script in faults:
        fault = cable.answer(GET, answer, times=10**6)
        studio.phone(near, name, name, script=script)
        fault.release()
    for state in ("expired", "received", "revoked"):
        link = studio.keep(ticket)
        if state != "expired":
            relay.mark(link, state)
        if state != "revoked":
            change(relay, "expiry = expiry - 259200", link)
        studio.phone(link.reveal(), state, state)
    link = studio.keep(ticket)
    change(relay, "envelope = zeroblob(length(envelope))", link)
    studio.phone(link.reveal(), "tampered", "tampered")


def change(relay, what, link):
    relay.stop()
    relay.edit(f"UPDATE tickets SET {what} WHERE id = ?", bytes.fromhex(link.secret.id))  # noqa: S608 - ours
    relay.start()


def save(phone):
    phone.wait("ready")
    phone.save()
    phone.page.wait_for_selector("#delete", state="visible")


def run_out(phone):
    phone.wait("waiting")
    while phone.state != "absent":
        phone.page.clock.run_for(1000)


def draw_displays(studio):
    """Draw the display's page."""
    for size, options in SIZES.items():
        idle = Content.idle(name="Au Petit Marché", lang="fr", notice="FR")
        with stage.Counter(studio.relay.origin, permit=studio.leave, idle=idle) as counter:
            draw_display(studio, counter, size, options)
    idle = Content.idle(name="Au Petit Marché")
    with stage.Counter(studio.relay.origin, permit=studio.leave, idle=idle) as counter:
        draw_unhappy_displays(studio, counter)


def draw_display(studio, counter, size, options):
    tablet = Tablet(studio.browser, **options)
    tablet.page.goto(studio.relay.origin + "/d")
    studio.shoot(tablet, f"display-pairing-{size}")
    tablet.pair(counter.link(studio.relay.origin))
    tablet.page.wait_for_selector("#notice:not(:empty)")
    studio.shoot(tablet, f"display-idle-{size}")
    counter.show(Content.live(LINES, lang="fr"))
    tablet.wait("live")
    studio.shoot(tablet, f"display-live-{size}")
    counter.show(
        Content.ticket(
            Secret.generate(),
            90,
            number="2026-004217",
            time="17:42",
            total="41,37 €",
            name="Au Petit Marché",
            lang="fr",
        )
    )
    tablet.wait_for_qr()
    studio.shoot(tablet, f"display-ticket-{size}")
    counter.thank()
    tablet.wait("thanks")
    studio.shoot(tablet, f"display-thanks-{size}")
    counter.unpair()
    tablet.wait("unpaired")
    studio.shoot(tablet, f"display-unpaired-{size}")
    tablet.close()


def draw_unhappy_displays(studio, counter):
    tablet = Tablet(studio.browser)
    tablet.page.goto(studio.relay.origin + "/d")
    tablet.page.locator("#groups input").first.press_sequentially("7000065535")
    studio.shoot(tablet, "display-pairing-wrong-group")
    tablet.page.reload()
    tablet.page.locator("#groups input").first.focus()
    tablet.page.keyboard.insert_text("0" * 85)
    tablet.page.wait_for_selector("#pairingError:not(:empty)")
    studio.shoot(tablet, "display-pairing-wrong-check")
    tablet.close()

    tablet = Tablet(studio.browser)
    tablet.context.add_init_script(NO_STORAGE)
    tablet.pair(counter.link(studio.relay.origin))
    tablet.page.wait_for_selector("#idleName:has-text('Au Petit Marché')")
    studio.shoot(tablet, "display-idle-unkept")
    tablet.close()

    tablet = Tablet(studio.browser)
    tablet.pair(counter.link(studio.cable.origin))
    tablet.page.wait_for_selector("#idleName:has-text('Au Petit Marché')")
    studio.cable.answer(HELLO, b"", times=10**6)
    studio.cable.cut()
    tablet.wait("offline")
    studio.shoot(tablet, "display-offline")
    tablet.close()


def main():
    """Draw everything."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/screenshots"
    sample = sample_receipt()
    receipt = draw_receipt(sample)
    ticket = Ticket(
        receipt,
        name="2026-004217.pdf",
        title="Au Petit Marché",
        total="41,37 €",
        number="2026-004217",
        issued="2026-11-21T17:42:00+01:00",
        lang="fr",
        lines=words_of_receipt(sample),
    )
    pictured = replace(ticket, lines=None, preview=asyncio.run(preview(receipt)))
    with ExitStack() as stack:
        studio = Studio(stack, folder)
        draw_tickets(studio, ticket, pictured)
        draw_displays(studio)
    for name, (picture, size) in SHOWN.items():
        shown = lay_out([folder / f"{picture}.png"], size, 1, gap=0)
        shown.save(ROOT / f"docs/{name}.png", optimize=True)
    for name, (pictures, size, row) in SHEETS.items():
        files = [folder / f"{picture}.png" for picture in pictures]
        lay_out(files, size, row).save(ROOT / f"docs/{name}.png", optimize=True)


def lay_out(files, size, row, gap=12):
    """Put pictures side by side, each within a size, on the grey of a table."""
    rows = []
    for first in range(0, len(files), row):
        pictures = [PIL.Image.open(file).convert("RGB") for file in files[first : first + row]]
        rows.append([PIL.ImageOps.contain(picture, size) for picture in pictures])
    heights = [max(picture.height for picture in pictures) + gap for pictures in rows]
    sheet = PIL.Image.new("RGB", (row * (size[0] + gap) + gap, sum(heights) + gap), "#777")
    for number, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            left = gap + column * (size[0] + gap) + (size[0] - picture.width) // 2
            sheet.paste(picture, (left, gap + sum(heights[:number])))
    return sheet.quantize(64, dither=PIL.Image.Dither.NONE)


if __name__ == "__main__":
    main()
