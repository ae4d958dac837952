"""What a display shows: writing it so that it fits, refusing what it cannot be."""

import json

import pytest

from e2ee_ticket import Secret
from e2ee_ticket.protocol.content import JSON_MAX_SIZE, Content

SECRET = Secret(bytes(range(32)))
WIDE = "\U0001f9fe"


def written(content):
    payload = content.to_payload()
    size = int.from_bytes(payload[:2])
    assert size <= JSON_MAX_SIZE
    return json.loads(payload[2 : 2 + size])


@pytest.mark.rule("C16")
def test_leaves_out_the_notice_first():
    fits = Content("ticket", SECRET, 90, name="x" * 60, notice="FR")
    assert written(fits)["notice"] == "FR"

    # Without the notice it has 462 bytes, with it 476.
    full = Content("ticket", SECRET, 90, number="x" * 40, time="x" * 40, total="\u20ac" * 40,
                   name="\u20ac" * 39 + "xx", notice="FR")  # fmt: skip
    assert {"tkt", "for", "no", "time", "total", "name"} == set(written(full))


@pytest.mark.rule("C16")
@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        ("x", set()),
        ("\u00e9", {"name"}),
        ("\u20ac", {"name", "time"}),
        (WIDE, {"name", "time"}),
    ],
)
def test_leaves_out_what_matters_least_to_the_customer(width, left_out):
    content = Content.ticket(
        SECRET, 90, number=width * 40, time=width * 40, total=width * 40, name=width * 60
    )

    members = written(content)

    assert {"tkt", "for", "total"} <= set(members)
    assert {"no", "time", "total", "name"} - set(members) == left_out
    for text in ("no", "time", "total"):
        assert members.get(text) in (None, width * 40)  # never cut


@pytest.mark.rule("C16")
def test_leaves_out_the_oldest_lines_of_a_sale():
    lines = tuple(f"{n}" + WIDE * 39 for n in range(8))

    members = written(Content.live(lines))

    assert members == {"live": list(lines[-2:])}


@pytest.mark.rule("C16")
def test_leaves_out_no_more_lines_than_it_must():
    lines = tuple(f"{n}" + "\u20ac" * 39 for n in range(6))

    assert written(Content.live(lines)) == {"live": list(lines[-3:])}


def test_writes_shop_and_language_with_whatever_is_shown():
    also = {"name": "N", "lang": "fr"}

    assert written(Content.thanks(**also)) == {"thanks": True} | also
    assert written(Content.live(("x",), **also)) == {"live": ["x"]} | also
    assert written(Content.ticket(SECRET, 1, **also)).items() >= also.items()
    assert Content.ticket(SECRET, 120).seconds == 120


def test_writes_texts_as_they_are():
    assert "\u00e9".encode() in Content.idle(name="\u00e9").to_payload()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Content.ticket(SECRET, 0),
        lambda: Content.ticket(SECRET, 121),
        lambda: Content("ticket"),
        lambda: Content.ticket(SECRET, 9, total="x" * 41),
        lambda: Content.live(()),
        lambda: Content.live(("x",) * 9),
        lambda: Content.live(("x" * 41,)),
        lambda: Content.idle(name="x" * 61),
        lambda: Content.idle(lang="x" * 36),
        lambda: Content.idle(notice="fr"),
        lambda: Content.idle(notice="FRA"),
    ],
    ids=range(11),
)
def test_refuses_what_no_display_may_show(make):
    with pytest.raises(ValueError, match=r"has|is|longer"):
        make()


def test_does_not_show_what_it_holds():
    shown = repr(Content.ticket(SECRET, 9, number="canary", time="canary", total="canary"))

    assert "canary" not in shown
    assert SECRET.reveal().hex() not in shown


def test_writes_the_seconds_that_are_left():
    assert written(Content.ticket(SECRET, 90))["for"] == 90
    payload = Content.ticket(SECRET, 90).to_payload(7)
    assert Content.from_payload(payload).seconds == 7
