"""The customer's two screens as a test sees them: a phone, and the display on the counter."""

import hashlib
import io
import itertools

import stage

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
    "locale": "en-GB",
}
TABLET = {"viewport": {"width": 1024, "height": 768}, "has_touch": True, "locale": "en-GB"}

# What a page shows and what it did that it must not do is told on the console, which a test
# hears over reloads too.
WATCH = """
(function () {
  function tell() {
    if (document.documentElement) {
      console.debug('STATE ' + document.documentElement.getAttribute('data-state'));
    }
  }
  new MutationObserver(tell).observe(
    document, {subtree: true, attributes: true, attributeFilter: ['data-state']});
  addEventListener('DOMContentLoaded', tell);
})();
addEventListener('securitypolicyviolation', function (event) {
  console.error('CSP ' + event.violatedDirective + ' ' + event.blockedURI);
});
"""


class Screen:
    """A page in a browser context of its own, and everything it complained about."""

    def __init__(self, browser, options):
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(20_000)
        self.context.add_init_script(WATCH)
        self._requests = []
        self.complaints = []
        self._states = []
        self.page = None
        self.new_page()

    def new_page(self):
        self.page = self.context.new_page()
        self.page.on("request", self._record)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return self.page

    def _record(self, request):
        self._requests.append(request)

    def _listen(self, message):
        if message.text.startswith("STATE "):
            self._states.append(message.text[6:])
        # An answer of 404 or no connection is news to the browser, but not to us.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    @property
    def requests(self):
        """The requests so far."""
        self._listen_up()
        return self._requests

    @property
    def states(self):
        """The states that the page has been in, one after the other."""
        self._listen_up()
        return self._states

    def story(self):
        """The states that were painted, without repetitions; a page begins as `pairing`."""
        told = [state for state, _ in itertools.groupby(self.states)]
        return told[1:] if told[0] == "pairing" else told

    def _listen_up(self):
        # What the browser has told is heard only while something is asked.
        self.context.cookies()

    @property
    def state(self):
        return self.page.evaluate("document.documentElement.getAttribute('data-state')")

    def wait(self, *states, seconds=20.0):
        """Wait until the page is in one of the states; return it."""
        wanted = ", ".join(f'html[data-state="{state}"]' for state in states)
        self.page.wait_for_selector(wanted, state="attached", timeout=seconds * 1000)
        return self.state

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def visible(self, selector):
        return self.page.locator(selector).is_visible()

    def close_page(self):
        self.page.close()

    def close(self):
        self.context.close()


class Phone(Screen):
    """A customer's phone."""

    def __init__(self, browser, **options):
        super().__init__(browser, PHONE | options)

    def open(self, link):
        self.page.goto(link, wait_until="commit")
        return self

    def save(self):
        """Tap "Save PDF" and return the bytes and the name of what was saved."""
        with self.page.expect_download() as waiting:
            self.page.click("#save")
        download = waiting.value
        with open(download.path(), "rb") as file:  # noqa: PTH123 - playwright gives a path
            return file.read(), download.suggested_filename

    def fetched(self):
        """The requests so far, as method and kind of path; an id is a star."""
        shown = []
        for request in self.requests:
            if request.url.startswith(("blob:", "data:")):
                continue
            path = "/" + request.url.split("/", 3)[3]
            shown.append(f"{request.method} {stage.ID.sub('*', path)}")
        return shown

    def kept(self):
        """Everything the page left in the browser beside its history."""
        stored = self.page.evaluate(
            """async () => ({
                local: localStorage.length, session: sessionStorage.length,
                databases: (await indexedDB.databases()).length,
                caches: (window.caches ? (await caches.keys()).length : 0),
                workers: (navigator.serviceWorker
                    ? (await navigator.serviceWorker.getRegistrations()).length : 0),
            })"""
        )
        return {name: count for name, count in stored.items() if count} | {
            cookie["name"]: cookie for cookie in self.context.cookies()
        }


class Tablet(Screen):
    """The display on the counter."""

    def __init__(self, browser, **options):
        super().__init__(browser, TABLET | options)

    def pair(self, link):
        self.page.goto(link)
        return self

    def qr(self):
        """What two readers read from the pixels of the screen; None if there is no code."""
        return stage.read_qr(self.page.screenshot())

    def wait_for_qr(self, seconds=20.0):
        self.wait("ticket", seconds=seconds)
        return stage.wait_for(self.qr, "a code on the display", seconds)

    def hide(self):
        """Put the page in the background, as the browser tells it."""
        self._set_visibility(hidden=True)

    def show(self):
        self._set_visibility(hidden=False)

    def _set_visibility(self, *, hidden):
        self.page.evaluate(
            """hidden => {
                Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
                Object.defineProperty(document, 'visibilityState',
                    {value: hidden ? 'hidden' : 'visible', configurable: true});
                document.dispatchEvent(new Event('visibilitychange'));
            }""",
            hidden,
        )

    def leave(self):
        self.page.goto("about:blank")

    def come_back(self):
        self.page.go_back()

    def canvas_is_blank(self):
        """Whether the code's canvas holds nothing but one colour."""
        return self.page.evaluate(
            """() => {
                const canvas = document.getElementById('qr');
                if (!canvas.width || !canvas.height) return true;
                const data = canvas.getContext('2d')
                    .getImageData(0, 0, canvas.width, canvas.height).data;
                const words = new Uint32Array(data.buffer);
                return words.every(word => word === words[0]);
            }"""
        )


def digest(data):
    return hashlib.sha256(data).hexdigest()


def picture(width=380, height=600):
    """Draw a PNG that can be told from others."""
    import PIL.Image
    import PIL.ImageDraw

    image = PIL.Image.new("L", (width, height), 255)
    draw = PIL.ImageDraw.Draw(image)
    for y in range(20, height - 20, 18):
        draw.line((20, y, width - 20 - y % 90, y), fill=0, width=6)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
