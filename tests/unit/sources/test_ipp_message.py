import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2ee_ticket.sources.ipp_message import (
    ATTRIBUTES_MAX_SIZE,
    DEPTH_MAX,
    Group,
    MalformedError,
    Message,
    Tag,
    Value,
    read_head,
    read_message,
)

HEAD = b"\x01\x01\x00\x0b\x00\x00\x00\x2a"

int32 = st.integers(-(2**31), 2**31 - 1)
text = st.text(max_size=40)
name = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
plain = st.one_of(
    st.builds(Value, st.sampled_from([Tag.INTEGER, Tag.ENUM]), int32),
    st.builds(Value, st.just(Tag.BOOLEAN), st.booleans()),
    st.builds(Value, st.sampled_from([Tag.OCTETS, 0x3F, 0x60]), st.binary(max_size=20)),
    st.builds(Value, st.just(Tag.TIME), st.binary(min_size=11, max_size=11)),
    st.builds(Value, st.just(Tag.RANGE), st.tuples(int32, int32)),
    st.builds(Value, st.just(Tag.RESOLUTION), st.tuples(int32, int32, st.integers(0, 255))),
    st.builds(Value, st.sampled_from([Tag.TEXT, Tag.NAME, Tag.KEYWORD, Tag.URI, Tag.MIME]), text),
    st.builds(Value, st.sampled_from([Tag.TEXT_WITH_LANGUAGE, Tag.NAME_WITH_LANGUAGE]), text),
    st.builds(Value, st.sampled_from([Tag.NO_SUCH, Tag.UNKNOWN, Tag.NO_VALUE])),
)


def several(value):
    return st.lists(value, min_size=1, max_size=3).map(tuple)


def collection(value):
    return st.builds(
        Value, st.just(Tag.COLLECTION), st.dictionaries(name, several(value), max_size=3)
    )


value = st.one_of(plain, collection(st.one_of(plain, collection(plain))))
attributes = st.dictionaries(name, several(value), max_size=4)
messages = st.builds(
    Message,
    st.tuples(st.integers(0, 255), st.integers(0, 255)),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.builds(Group, st.sampled_from([1, 2, 4, 5, 15]), attributes), max_size=3).map(
        tuple
    ),
)


@given(messages, st.binary(max_size=20))
def test_what_is_written_is_read_and_the_document_begins_behind_it(message, document):
    data = message.to_bytes()

    assert read_message(data + document) == (message, len(data))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_malformed(data):
    try:
        message, end = read_message(data)
    except MalformedError:
        return
    assert read_message(message.to_bytes())[0] == message
    assert 0 < end <= len(data)


@given(messages, st.data())
def test_a_message_that_was_altered_is_read_or_malformed(message, data):
    altered = bytearray(message.to_bytes())
    at = data.draw(st.integers(8, len(altered) - 1))
    altered[at] ^= data.draw(st.integers(1, 255))

    try:
        read, _ = read_message(bytes(altered))
    except MalformedError:
        return
    assert read_message(read.to_bytes())[0] == read


@given(messages, st.data())
def test_a_message_that_was_cut_is_malformed(message, data):
    whole = message.to_bytes()

    with pytest.raises(MalformedError):
        read_message(whole[: data.draw(st.integers(0, len(whole) - 1))])


def attribute(tag, name, raw):
    return bytes([tag]) + len(name).to_bytes(2) + name + len(raw).to_bytes(2) + raw


def opened(*parts):
    return HEAD + b"\x01" + b"".join(parts) + b"\x03"


MEMBER = attribute(Tag.MEMBER_NAME, b"", b"m")
OPEN = attribute(Tag.COLLECTION, b"c", b"")
INNER = attribute(Tag.COLLECTION, b"", b"")
CLOSE = attribute(Tag.COLLECTION_END, b"", b"")


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (opened(attribute(Tag.NAME, b"a", "Caf\u00e9 1".encode("latin-1"))), "Caf\u00e9 1"),
        (opened(attribute(Tag.NAME, b"a", "Caf\u00e9 1".encode())), "Caf\u00e9 1"),
        (opened(attribute(Tag.NAME, b"a", b"5 \x80")), "5 \u20ac"),
        (opened(attribute(Tag.BOOLEAN, b"a", b"\xff")), True),
        (opened(attribute(Tag.BOOLEAN, b"a", b"\x02")), True),
        (opened(attribute(Tag.BOOLEAN, b"a", b"\x00")), False),
        (
            opened(
                attribute(Tag.INTEGER, b"a", b"\0\0\0\1"), attribute(Tag.INTEGER, b"a", bytes(4))
            ),
            1,
        ),
    ],
)
def test_what_programs_get_wrong_is_read_as_cups_reads_it(data, content):
    message, end = read_message(data)

    assert message.groups[0].attributes["a"][0].content == content
    assert len(message.groups[0].attributes["a"]) == 1
    assert end == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD[:7],
        HEAD,
        HEAD + b"\x00\x03",
        HEAD + b"\x21",
        HEAD + attribute(Tag.INTEGER, b"a", bytes(4)),
        opened(attribute(Tag.INTEGER, b"", bytes(4))),
        opened(attribute(Tag.INTEGER, b"a", bytes(5))),
        opened(attribute(Tag.BOOLEAN, b"a", b"")),
        opened(attribute(Tag.RANGE, b"a", bytes(7))),
        opened(attribute(Tag.RESOLUTION, b"a", b"")),
        opened(attribute(Tag.TIME, b"a", bytes(10))),
        opened(attribute(Tag.NAME, b"\xff", b"a")),
        opened(attribute(Tag.NAME, b"a" * 256, b"a")),
        opened(attribute(Tag.NAME, b"a", bytes(32_768))),
        opened(attribute(Tag.NAME_WITH_LANGUAGE, b"a", b"\0\2en\0\2x")),
        opened(attribute(Tag.NAME_WITH_LANGUAGE, b"a", b"\0")),
        opened(CLOSE),
        opened(attribute(Tag.MEMBER_NAME, b"a", b"m")),
        opened(OPEN),
        opened(OPEN, attribute(Tag.INTEGER, b"", bytes(4)), CLOSE),
        opened(OPEN, MEMBER, attribute(Tag.INTEGER, b"x", bytes(4)), CLOSE),
        opened(OPEN, MEMBER, attribute(0x02, b"", bytes(4)), CLOSE),
        opened(OPEN, attribute(Tag.MEMBER_NAME, b"", b""), CLOSE),
        opened(OPEN, *[MEMBER + INNER] * DEPTH_MAX, CLOSE * (DEPTH_MAX + 1)),
        opened(*(attribute(Tag.NAME, b"%d" % n, bytes(1000)) for n in range(70))),
    ],
)
def test_a_message_that_is_none_is_malformed(data):
    with pytest.raises(MalformedError):
        read_message(data)


def test_a_text_may_have_a_language():
    data = opened(attribute(Tag.NAME_WITH_LANGUAGE, b"job-name", b"\0\2fr\0\6re\xc3\xa7us"))

    message, _ = read_message(data)

    assert message.groups[0].attributes["job-name"] == (Value(Tag.NAME_WITH_LANGUAGE, "reçus"),)


def test_collections_may_be_nested_a_little():
    levels = DEPTH_MAX - 1

    message, _ = read_message(opened(OPEN, *[MEMBER + INNER] * levels, CLOSE * (levels + 1)))

    assert message.groups[0].attributes["c"][0].tag == Tag.COLLECTION


def test_eight_bytes_are_enough_to_answer():
    assert read_head(HEAD + b"\xff") == Message((1, 1), 0x0B, 42)


def test_attributes_are_bounded_and_a_document_is_not():
    message = Message((1, 1), 2, 1, (Group(Tag.OPERATION, {"a": (Value(Tag.NAME, "b"),)}),))
    document = bytes(2 * ATTRIBUTES_MAX_SIZE)

    read, start = read_message(message.to_bytes() + document)

    assert read == message
    assert start == len(message.to_bytes())


def test_what_a_message_says_is_not_in_its_repr():
    message = Message((1, 1), 2, 1, (Group(Tag.OPERATION, {"a": (Value(Tag.NAME, "canary"),)}),))

    assert "canary" not in repr(message)
