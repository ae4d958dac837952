"""The console in a real browser: a cashier with a keyboard, a screen reader, no script, a phone."""

import contextlib
import re
from dataclasses import replace

import axe
import pytest
import stage
from fake_floor import (
    NOW,
    UNSHOWN,
    UNSHOWN_HINT,
    FakeFloor,
    Running,
    make_config,
    make_sale,
    trouble,
)

from e2ee_ticket.till.config import TillConfig
from e2ee_ticket.till.console import hash_pin
from e2ee_ticket.till.floor import DisplayState, PageState, RelayState

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("floor")]

PIN = "802413"
# Too long for the narrow screens, as some shops are.
LONG = "Épicerie-Boulangerie-Charcuterie du Marché Saint-Germain-en-Laye"
HELD = {
    "state": "held", "on_screen": False, "warning": UNSHOWN, "hint": UNSHOWN_HINT,
    "actions": frozenset({"show", "here", "paper", "revoke", "dismiss"}),
}  # fmt: skip
EARLIER = [make_sale(number, state, on_screen=False) for number, state in enumerate(
    ("received", "opened", "paper", "expired", "revoked", "failed", "reported", "stored", "sealed"),
    start=1)]  # fmt: skip
SALES = {
    "shown": {},
    "sealed": {"state": "sealed", "shown": None},
    "here": {"here": True, "shown": None, "on_screen": False},
    "warning": {"here": True, "shown": False, "warning": UNSHOWN, "hint": UNSHOWN_HINT},
    "held": HELD,
    "opened": {"state": "opened", "remarks": ("the file opens a link to another site",)},
    "received": {"state": "received", "actions": frozenset({"paper"})},
    "expired": {"state": "expired"},
    "failed": {"state": "failed", "warning": "the relay refused it", "on_screen": False},
    "nameless": {"title": None, "total": None, "receipt": None, "actions": frozenset()},
    "long": {"title": LONG * 3, "total": "1234567890123,45 €" * 2, "receipt": "F" * 200,
             "warning": "x" * 300, "source": "s" * 60},
}  # fmt: skip
PAGES = ("/sale/12", "/sale/12/revoke", "/troubles", "/displays", "/displays/unpair?name=Comptoir",
         "/displays/lan", "/sources", "/shop", "/relay", "/nowhere")  # fmt: skip
PILE = ("/", "/pile/paper", "/pile/dismiss")


def heap_up(floor):
    """Let a lot of sales wait for the cashier, behind the newest."""
    printing = TillConfig("Caisse 1", display="Comptoir", printer="10.0.0.9:9100")
    floor.config = replace(floor.config, tills=(printing,))
    for number in range(13, 62):
        floor.put(make_sale(number, **HELD))
    floor.put(make_sale(62))


def trouble_everywhere(floor):
    wrong = trouble("Comptoir", "another till drives this display now", "x" * 200)
    floor.all_troubles = [trouble(), wrong]
    floor.all_displays = [DisplayState("Comptoir", ("Caisse 1",), False, "idle", wrong)]  # noqa: FBT003
    floor.all_sources = [replace(one, trouble=wrong) for one in floor.all_sources]
    floor.relay_state = RelayState("https://relais.example", None, NOW, False)  # noqa: FBT003
    floor.page_state = PageState("https://recus.example", "changed", NOW)


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    with Running(tmp_path_factory.mktemp("console"), pin_hash=hash_pin(PIN)) as running:
        yield running


@pytest.fixture
def floor(console):
    """The shop as it was in the morning."""
    made = FakeFloor(sales=[*EARLIER, make_sale(12)])
    fresh = {key: value for key, value in vars(made).items() if key not in ("_waiting", "count")}
    console.do(lambda floor: (vars(floor).update(fresh), floor.change()))
    return console.floor


@pytest.fixture
def visit(chromium, console):
    """Make browsers that were let in; each must end without a complaint."""
    complaints, contexts = [], []

    def make(path="/", *, enter=True, **options):
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in ("error", "warning") and "Failed to load" not in message.text
                else None
            ),
        )
        if enter:
            enter_with_cookie(console, context)
        page.goto(console.origin + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def enter_with_cookie(console, context):
    """A session begun before; how one begins is a test of its own."""
    token = console.sessions().begin("token")
    context.add_cookies([{"name": "e2ee_ticket_console", "value": token, "url": console.origin,
                          "httpOnly": True, "sameSite": "Strict"}])  # fmt: skip


def violations_day_and_night(page):
    found = axe.violations(page)
    page.emulate_media(color_scheme="dark")
    found += axe.violations(
        page, type="rule", values=["color-contrast"]
    )  # the dark is colours alone
    page.emulate_media(color_scheme="light")
    return found


def is_too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def focused(page):
    return page.evaluate("document.activeElement.id")


def tab_to(page, identity, limit=40):
    for _ in range(limit):
        page.keyboard.press("Tab")
        if focused(page) == identity:
            return
    raise AssertionError(f"the keyboard does not reach {identity}")


# Coming in


def test_the_link_lets_a_browser_in_once_and_leaves_no_trace_in_the_address(console, visit):
    page = visit("/", enter=False)
    assert page.url == console.origin + "/enter"

    token = console.entrance.token()
    console.enter(page)

    assert page.url == console.origin + "/"
    page.go_back()
    assert token not in page.url
    assert page.evaluate("document.cookie") == ""


def test_the_page_that_the_command_opens_leads_in(console, visit):
    page = visit("/enter", enter=False)

    page.goto(console.entrance.write_door(console.origin).as_uri())

    page.wait_for_selector("header.top")


def test_without_javascript_the_token_is_pasted(console, visit):
    page = visit("/", enter=False, java_script_enabled=False)

    page.fill("#token", console.entrance.token())
    page.click("#enter button")

    assert page.locator("#sale-12").is_visible()


def test_a_hostile_page_in_the_same_browser_reads_and_does_nothing(console, visit, floor):
    page = visit("/")
    form = page.locator("input[name=form]").first.get_attribute("value")
    evil = page.context.new_page()
    with hostile_server(console.origin, form) as origin:
        evil.goto(origin)
        evil.wait_for_selector("#done", state="attached")
        told = evil.evaluate("window.told")
        evil.click("#post")
        evil.wait_for_load_state()

    assert told == {"fetch": "refused", "post": "refused", "image": "refused", "frame": "empty"}
    assert "Refusé" in evil.content()
    assert floor.done == []
    evil.close()


@contextlib.contextmanager
def hostile_server(console, form):
    """A page on another port of this computer: the same site, another origin, the same cookies."""
    import http.server
    import threading

    page = f"""<!doctype html><form method=post action="{console}/sale/12/revoke">
<input name=form value="{form}"><button id=post>x</button></form>
<iframe id=frame src="{console}/"></iframe><script>
window.told = {{}};
(async function () {{
  await fetch('{console}/', {{credentials: 'include'}}).then(
    () => told.fetch = 'read', () => told.fetch = 'refused');
  await fetch('{console}/sale/12/revoke', {{method: 'POST', mode: 'no-cors',
    credentials: 'include', body: new URLSearchParams({{form: '{form}'}})}}).then(
    () => told.post = 'answered', () => told.post = 'refused');
  await new Promise((then) => {{
    var image = new Image();
    image.onload = () => {{ told.image = 'loaded'; then(); }};
    image.onerror = () => {{ told.image = 'refused'; then(); }};
    image.src = '{console}/static/icon.svg';
  }});
  var inside = null;
  try {{ inside = frame.contentDocument; }} catch (error) {{}}
  told.frame = inside && inside.body && inside.body.children.length ? 'read' : 'empty';
  document.body.append(Object.assign(document.createElement('p'), {{id: 'done'}}));
}})();
</script>""".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


# A sale


def test_a_sale_appears_and_goes_on_without_a_reload(console, visit):
    page = visit("/")
    page.evaluate("window.stayed = true")

    console.do(lambda floor: floor.put(make_sale(13, "sealed", total="7,77 €", shown=None)))
    page.wait_for_selector("#sale-13 .state:has-text('Envoi')")
    console.do(lambda floor: floor.put(make_sale(13, "received", total="7,77 €")))
    page.wait_for_selector("#sale-13 .state:has-text('Enregistré')")

    assert page.evaluate("window.stayed")
    assert page.locator("#row-12").is_visible()
    assert "7,77 €" in page.locator("#said").inner_text()
    assert "Enregistré" in page.locator("#said").inner_text()


def test_a_sale_with_the_keyboard_alone(visit, floor):
    page = visit("/")

    tab_to(page, "here-12")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sale-12 .qr svg")
    tab_to(page, "hide-12")
    page.keyboard.press("Space")
    page.wait_for_selector("#sale-12 .qr", state="detached")
    tab_to(page, "row-9")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sale/9")
    tab_to(page, "revoke-9")
    page.keyboard.press("Enter")
    page.wait_for_url("**/revoke?back=*")
    page.locator(".danger").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".told")

    assert [done[:2] for done in floor.done] == [("here", 12), ("hide", 12), ("revoke", 9)]
    assert page.locator("#sale-9 .state").inner_text() == "Repris"


def test_the_focus_stays_where_it_was_when_the_page_renews_itself(console, visit):
    page = visit("/")
    tab_to(page, "row-9")

    console.do(lambda floor: floor.put(make_sale(13)))
    page.wait_for_selector("#sale-13")

    assert focused(page) == "row-9"


def test_what_is_typed_stays_when_the_page_renews_itself(console, visit, floor):
    page = visit("/")
    page.fill("#number", "FA2611-0042")

    console.do(lambda floor: floor.put(make_sale(13)))
    page.wait_for_selector("#sale-13")
    assert page.input_value("#number") == "FA2611-0042"

    page.keyboard.press("Enter")
    page.wait_for_selector(".told")
    assert ("look_up", "Dolibarr", "FA2611-0042", None) in floor.done


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (320, 568), (3840, 2160)])
def test_a_phone_reads_the_code_from_this_screen(visit, floor, console, scheme, size):
    console.do(lambda floor: floor.put(make_sale(12, here=True)))
    width, height = size
    page = visit("/", viewport={"width": width, "height": height}, color_scheme=scheme)
    page.locator(".qr").scroll_into_view_if_needed()

    assert stage.read_qr(page.screenshot()) == floor.links[12].reveal()


def test_the_code_goes_when_the_customer_has_opened_it(console, visit):
    console.do(lambda floor: floor.put(make_sale(12, here=True)))
    page = visit("/")
    page.wait_for_selector(".qr svg")

    console.do(lambda floor: floor.put(make_sale(12, "opened", here=True)))

    page.wait_for_selector(".qr", state="detached")


def test_a_warning_is_told_aloud_and_offers_paper_first(console, visit):
    page = visit("/")

    console.do(lambda floor: floor.put(make_sale(12, **HELD)))
    page.wait_for_selector(".warning")

    assert "ne confirme pas" in page.locator("#said").inner_text()
    buttons = page.locator(".warning button").all_inner_texts()
    assert buttons == ["Papier", "Montrer le code QR"]


def test_many_that_wait_are_let_go_with_two_presses_that_say_how_many(console, visit, floor):
    console.do(heap_up)
    page = visit("/")
    assert page.locator("#pile h2").inner_text() == "49 tickets vous attendent"
    page.get_by_text("Décider un par un").click()
    assert page.locator("#row-13").is_visible()

    page.get_by_text("Classer les 49…").click()
    assert page.locator("h1").inner_text().replace("\xa0", " ") == "Classer 49 tickets ?"
    assert floor.done == []
    page.get_by_text("Laisser").click()
    tab_to(page, "pile-dismiss")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Classer les 49").press("Enter")
    page.wait_for_selector(".told")

    assert page.locator("#pile").count() == 0
    assert page.locator("#sale-62").is_visible()
    assert [done[:2] for done in floor.done] == [("dismiss", number) for number in range(13, 62)]


def test_the_card_of_many_counts_down_while_the_printer_prints(console, visit):
    console.do(heap_up)
    page = visit("/")
    page.get_by_text("Décider un par un").click()

    console.do(lambda floor: floor.put(make_sale(13, "paper")))
    page.wait_for_selector("#pile h2:has-text('48 tickets')")

    assert page.locator("#row-14").is_visible()  # what was opened stays open


def test_paper_opens_the_print_dialog_where_there_is_no_printer(console, visit, floor):
    floor.receipt = stage.INVOICE.read_bytes()
    page = visit("/")
    page.context.add_init_script("window.print = function () { window.top.printed = true; };")

    page.click("#paper-12")
    page.wait_for_selector("#receipt")
    page.wait_for_selector("#print", state="visible")

    with page.context.expect_event("response", lambda one: one.url.endswith("receipt.pdf")) as pdf:
        page.reload()
    assert pdf.value.status == 200
    assert pdf.value.headers["content-type"].startswith("application/pdf")
    page.get_by_text("Terminé").click()
    assert page.url == console.origin + "/"


def test_says_that_the_agent_is_gone_and_hides_the_code(chromium, tmp_path):
    floor = FakeFloor(sales=[make_sale(12, here=True)])
    with Running(tmp_path, floor) as other:
        context = chromium.new_context()
        page = context.new_page()
        other.enter(page)
        page.wait_for_selector(".qr svg")

        other.stop()
        page.wait_for_selector("#lost", state="visible")
        assert not page.locator(".qr svg").is_visible()

        other.start()
        page.wait_for_selector("#lost", state="hidden")
        assert page.locator(".qr svg").is_visible()
        context.close()


def test_a_session_that_ended_shows_the_entrance(console, visit):
    page = visit("/")

    console.sessions().end_others(None)
    console.do(lambda floor: floor.change())

    page.wait_for_selector("#enter")


def test_everything_works_without_javascript(console, visit, floor):
    page = visit("/", java_script_enabled=False)

    page.click("#here-12")
    assert page.locator(".qr svg").is_visible()
    page.click("#hide-12")
    page.click("#revoke-12")
    page.click(".danger")
    assert page.locator("#sale-12 .state").inner_text() == "Repris"
    page.goto(console.origin + "/shop")
    page.fill("#shop", "Chez Nous")
    page.click("form.settings .first")
    assert page.locator(".told").is_visible()
    page.goto(console.origin + "/displays")
    page.fill("#name", "Terrasse")
    page.click("form.settings button")
    assert stage.read_qr(page.screenshot()) == floor.pairings["Terrasse"].reveal()

    assert [done[0] for done in floor.done] == ["here", "hide", "revoke", "config", "pair",
                                                "short_address"]  # fmt: skip


def test_pairing_tells_when_the_display_has_come_and_keeps_the_code(console, visit):
    page = visit("/displays")
    page.fill("#name", "Terrasse")
    page.click("form.settings button")
    page.wait_for_selector("#waiting:has-text('En attente')")

    def come(floor):
        floor.all_displays[-1] = replace(floor.all_displays[-1], connected=True)
        floor.change()

    console.do(come)
    page.wait_for_selector("#waiting:has-text('est connecté')")

    assert page.locator(".digits").is_visible()
    assert re.fullmatch(r"([0-9]{5}\s*){17}", page.locator(".digits").inner_text())


# Everybody


def test_nothing_is_in_anybodys_way_by_day_and_by_night(console, visit):
    page = visit("/", color_scheme="light")
    found = {}
    for name, changes in SALES.items():
        console.do(lambda floor, changes=changes: floor.put(make_sale(12, **changes)))
        page.goto(console.origin + "/")
        found[name] = violations_day_and_night(page)
    for troubled in (False, True):
        if troubled:
            console.do(trouble_everywhere)
        for path in PAGES:
            page.goto(console.origin + path)
            found[path, troubled] = violations_day_and_night(page)
    console.do(lambda floor: setattr(floor, "all_sales", []))
    page.goto(console.origin + "/")
    found["empty"] = violations_day_and_night(page)
    page.goto(console.origin + "/displays")
    page.fill("#name", "Terrasse")
    page.click("form.settings button")
    found["pairing"] = violations_day_and_night(page)
    page.goto(console.origin + "/enter")
    found["enter"] = violations_day_and_night(page)
    console.do(heap_up)
    for path in PILE:
        page.goto(console.origin + path)
        open_all(page)
        found[path] = violations_day_and_night(page)
    tills = tuple(TillConfig(name) for name in ("Caisse 1", LONG[:60]))
    console.do(lambda floor: setattr(floor, "config", make_config(tills=tills)))
    page.goto(console.origin + "/")
    found["choose"] = violations_day_and_night(page)

    assert {key: value for key, value in found.items() if value} == {}


@pytest.mark.parametrize("lang", ["de", "fr"])
@pytest.mark.parametrize("text", [1, 2])
def test_the_narrowest_screen_and_large_letters_need_no_sideways_scrolling(
    console, visit, lang, text
):
    # A browser's 200 % on a narrow window leaves half of its width.
    config = make_config(lang=lang, shop=LONG[:60])
    console.do(lambda floor: setattr(floor, "config", config))
    width = 320 if text == 1 else 640
    page = visit("/", viewport={"width": width, "height": 568})
    wide = []
    for name, changes in SALES.items():
        console.do(lambda floor, changes=changes: floor.put(make_sale(12, **changes)))
        page.goto(console.origin + "/")
        enlarge(page, text)
        wide += [name] if is_too_wide(page) else []
    console.do(trouble_everywhere)
    for path in (*PAGES, "/enter"):
        page.goto(console.origin + path)
        enlarge(page, text)
        wide += [path] if is_too_wide(page) else []
    page.goto(console.origin + "/displays")
    page.fill("#name", LONG[:60])
    page.click("form.settings button")
    enlarge(page, text)
    wide += ["pairing"] if is_too_wide(page) else []
    console.do(heap_up)
    for path in PILE:
        page.goto(console.origin + path)
        open_all(page)
        enlarge(page, text)
        wide += [path] if is_too_wide(page) else []

    assert wide == []


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def enlarge(page, times):
    if times > 1:
        page.evaluate(f"document.documentElement.style.fontSize = '{times * 100}%'")


@pytest.mark.parametrize(
    "path", ["/", "/sale/12", "/shop", "/relay", "/displays", "/sources", "/pile/dismiss"]
)
@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_a_finger_meets_everything(console, visit, path, size):
    console.do(heap_up)
    console.do(lambda floor: floor.put(make_sale(12, **HELD)))
    page = visit(path, viewport={"width": size[0], "height": size[1]})
    open_all(page)

    small = page.evaluate(
        """[...document.querySelectorAll('a, button, select, summary, label, input')]
        .filter((e) => {
            const box = (e.matches('[type=radio], [type=checkbox]') ? e.parentNode : e)
                .getBoundingClientRect();
            const text = e.matches('label') && !e.closest('.check');
            return e.type !== 'hidden' && e.className !== 'skip' && !text
                && (box.height < 43.5 || box.width < 43.5);
        }).map((e) => e.outerHTML)"""
    )

    assert small == []


def test_goes_on_by_itself_when_the_agent_has_begun_anew(chromium, tmp_path):
    with Running(tmp_path, FakeFloor()) as other:
        context = chromium.new_context()
        page = context.new_page()
        other.enter(page)
        page.goto(other.origin + "/shop")
        page.fill("#shop", "Chez Nous")
        page.click("form.settings .first")
        page.wait_for_selector("#again")

        other.stop()
        other.start()

        page.wait_for_url("**/shop", timeout=7000)
        page.wait_for_selector("#shop")
        assert page.input_value("#shop") == "Chez Nous"
        context.close()
