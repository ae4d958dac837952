import re
import sys
from pathlib import Path

import pytest

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.pdf.policies import POLICIES
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken
from e2ee_ticket.till.config import (
    Config,
    ConsoleConfig,
    LanConfig,
    SourceConfig,
    TillConfig,
    config_path,
    load,
)
from e2ee_ticket.till.displays import Displays, Pairing

PERMIT = "p" * 43
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")


@pytest.fixture
def environment(tmp_path):
    return {"E2EE_TICKET_CONFIG": str(tmp_path / "config.toml")}


def write(environment, text):
    data = text if isinstance(text, bytes) else text.encode()
    Path(environment["E2EE_TICKET_CONFIG"]).write_bytes(data)


def test_without_a_file_and_without_variables_there_are_the_defaults(environment, tmp_path):
    config = load(environment)

    assert config == Config(state=str(tmp_path))
    assert (config.ticket_seconds, config.display_count) == (90, 1)


def test_reads_every_key_from_the_file(environment):
    write(
        environment,
        f"""
        relay = "https://relay.example"
        page = "https://receipts.example:8443/"
        permit = "{PERMIT}"
        shop = "Épicerie du Marché"
        lang = "fr-FR"
        notice = "FR"
        ticket_seconds = 60
        display_count = 2
        keep_seconds = 86400
        state = "somewhere"
        """,
    )

    assert load(environment) == Config(
        relay="https://relay.example",
        page="https://receipts.example:8443",
        permit=PERMIT,
        shop="Épicerie du Marché",
        lang="fr-FR",
        notice="FR",
        ticket_seconds=60,
        display_count=2,
        keep_seconds=86400,
        state="somewhere",
    )


def test_every_key_is_an_environment_variable_too(environment):
    values = {
        "relay": "https://relay.example",
        "page": "https://page.example",
        "permit": PERMIT,
        "permit_file": "permit.txt",
        "shop": "Shop",
        "lang": "de-AT",
        "notice": "DE",
        "ticket_seconds": "45",
        "display_count": "4",
        "keep_seconds": "3600",
        "state": "there",
        "paper": "always",
        "clear_on": "received",
    }
    for key, value in values.items():
        environment["E2EE_TICKET_" + key.upper()] = value

    config = load(environment)

    assert {key: str(getattr(config, key)) for key in values} == values
    lists_and_sections = {"page_hashes", "tills", "sources", "console", "lan"}
    assert set(values) == set(Config.__dataclass_fields__) - lists_and_sections


def test_page_hashes_are_a_variable_too(environment):
    environment["E2EE_TICKET_PAGE_HASHES"] = f"{'a' * 64}, {'b' * 64}"

    assert load(environment).page_hashes == ("a" * 64, "b" * 64)


AGENT = """
relay = "https://relay.example"

[[till]]
name = "Till 1"
display = "Counter"
display_count = 2
printer = "192.168.1.50:9100"
printer_dots = 512

[[till]]
name = "Till 2"

[[source]]
kind = "takepos"
till = "Till 2"
origin = "https://erp.example"

[[source]]
kind = "folder"
name = "Invoices"
policy = "clean"
path = "/srv/invoices"

[console]
listen = "127.0.0.1:9000"
hosts = ["till.local"]

[lan]
host = "192.168.1.10"
"""


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_can_be_a_sources(environment, policy):
    write(environment, f'[[source]]\nkind = "folder"\npath = "/srv"\npolicy = "{policy}"\n')

    assert load(environment).sources[0].policy == policy


def test_the_agents_sections_are_read(environment):
    write(environment, AGENT)

    config = load(environment)

    assert config.tills == (
        TillConfig("Till 1", "Counter", 2, "192.168.1.50:9100", 512),
        TillConfig("Till 2"),
    )
    assert config.sources == (
        SourceConfig("takepos", "takepos", "Till 2", "as-is", {"origin": "https://erp.example"}),
        SourceConfig("folder", "Invoices", "Till 1", "clean", {"path": "/srv/invoices"}),
    )
    assert config.console == ConsoleConfig("127.0.0.1:9000", ("till.local",))
    assert config.lan == LanConfig("0.0.0.0:8423", "192.168.1.10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("till = 1", "till in config.toml must be written [[till]], one for each"),
        ("[[till]]", "[[till]] 1 in config.toml has no name"),
        (
            '[[till]]\nname="a"\n[[till]]\nname="A"',
            "two [[till]] in config.toml have the same name",
        ),
        ('[[till]]\nname="a"\nprinter="x"', "printer of [[till]] 1 in config.toml must be an addr"),
        (
            '[[till]]\nname="a"\nprinter_dots=577',
            "printer_dots of [[till]] 1 in config.toml must be a multiple of 8, such as 576",
        ),
        (
            '[[till]]\nname="a"\nprinter_dots=80',
            "printer_dots of [[till]] 1 in config.toml must be a whole number from 320 to 832",
        ),
        ("[[source]]", "[[source]] 1 in config.toml has no kind"),
        ("[[source]]\nkind=1", "kind of [[source]] 1 in config.toml must be a text"),
        ("source = [1]", "[[source]] 1 in config.toml must be a section"),
        (
            '[[source]]\nkind="ipp"\ntill="x"',
            "till of [[source]] 1 in config.toml is none of: Till",
        ),
        ('[[source]]\nkind="ipp"\npolicy="x"', "policy of [[source]] 1 in config.toml must be one"),
        ("console = 1", "[console] in config.toml must be a section"),
        (
            "[console]\nlissten=1",
            "lissten of [console] in config.toml is no key of the configuration",
        ),
        ("[lan]\nlisten='x'", "listen of [lan] in config.toml must be an address and a port"),
        ('page_hashes = ["x"]', "page_hashes in config.toml must be SHA-256 sums"),
        ("page_hashes = 1", "page_hashes in config.toml must be a list"),
        ('paper = "never"', "paper in config.toml must be one of ask, always"),
        ("tils = 1", "did you mean till?"),
    ],
)
def test_a_section_that_cannot_be_is_named(environment, text, message):
    write(environment, text)

    with pytest.raises(ConfigError, match=re.escape(message)):
        load(environment)


def test_a_variable_wins_over_the_file(environment):
    write(environment, 'relay = "https://file.example"')
    environment["E2EE_TICKET_RELAY"] = "https://variable.example"

    assert load(environment).relay == "https://variable.example"


def test_an_empty_variable_is_none(environment):
    environment["E2EE_TICKET_RELAY"] = ""

    assert load(environment).relay is None


def test_the_page_is_the_relay_unless_set(environment):
    environment["E2EE_TICKET_RELAY"] = "https://relay.example"

    assert load(environment).page_origin == "https://relay.example"


def test_a_missing_relay_is_told_when_it_is_asked_for(environment):
    with pytest.raises(ConfigError, match="E2EE_TICKET_RELAY"):
        load(environment).page_origin  # noqa: B018


@pytest.mark.parametrize(
    ("key", "near"), [("relais", "relay"), ("displaycount", "display_count"), ("Shop", "shop")]
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(environment, key, near):
    write(environment, f'{key} = "x"')

    with pytest.raises(ConfigError, match=rf"{key} in config.toml .* did you mean {near}\?"):
        load(environment)


def test_an_unknown_key_like_none_is_told_with_all_that_are_known(environment):
    write(environment, "zzz = 1")

    with pytest.raises(ConfigError, match="known are relay, page"):
        load(environment)


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    "value",
    [
        "http://relay.example",
        "https://Relay.example",
        "https://relay.example/path",
        "relay.example",
        "ftp://relay.example",
        "https://relay.example:99999",
    ],
)
def test_an_address_that_is_not_an_origin_is_refused(environment, value):
    environment["E2EE_TICKET_RELAY"] = value

    with pytest.raises(ConfigError, match=r"E2EE_TICKET_RELAY must be https://host"):
        load(environment)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
def test_plain_http_is_accepted_for_this_computer_itself(environment, host):
    environment["E2EE_TICKET_RELAY"] = f"http://{host}"

    assert load(environment).relay == f"http://{host}"


@pytest.mark.parametrize(
    "line",
    [
        "ticket_seconds = 0",
        "ticket_seconds = 121",
        "ticket_seconds = true",
        "ticket_seconds = 1.5",
        'ticket_seconds = "many"',
        "display_count = 5",
        "keep_seconds = 59",
        "keep_seconds = 604801",
        "shop = 3",
        'shop = " "',
        f'shop = "{"x" * 61}"',
        'lang = "no language"',
        'notice = "fr"',
        "relay = 5",
        "state = []",
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_key(environment, line):
    write(environment, line)

    with pytest.raises(ConfigError, match=rf"^{line.split()[0]} in config.toml must "):
        load(environment)


def test_a_bad_permit_is_never_shown(environment):
    environment["E2EE_TICKET_PERMIT"] = "not-a-permit-but-secret"

    with pytest.raises(ConfigError) as caught:
        load(environment)

    assert "secret" not in str(caught.value)


def test_a_configuration_does_not_show_its_permit():
    assert PERMIT not in repr(Config(permit=PERMIT))


def test_a_permit_may_stand_in_a_file_beside_the_configuration(environment, tmp_path):
    (tmp_path / "permit").write_text(PERMIT + "\n")
    write(environment, 'permit_file = "permit"')

    assert load(environment).permit == PERMIT


def test_a_permit_wins_over_the_permit_file(environment):
    write(environment, 'permit_file = "not there"')
    environment["E2EE_TICKET_PERMIT"] = PERMIT

    assert load(environment).permit == PERMIT


@pytest.mark.parametrize("content", [None, "short"])
def test_a_permit_file_that_holds_none_is_told(environment, tmp_path, content):
    if content is not None:
        (tmp_path / "permit").write_text(content)
    write(environment, 'permit_file = "permit"')

    with pytest.raises(ConfigError, match="the permit file"):
        load(environment)


def test_a_fault_in_the_file_is_told_by_its_place_and_not_by_its_text(environment):
    write(environment, 'relay = "https://relay.example"\npermit = SECRET')

    with pytest.raises(ConfigError, match="line 2") as caught:
        load(environment)

    assert "SECRET" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_told(environment):
    write(environment, b"\xff\xfe")

    with pytest.raises(ConfigError, match="UTF-8"):
        load(environment)


def test_a_byte_order_mark_of_a_windows_editor_is_no_fault(environment):
    write(environment, b'\xef\xbb\xbfshop = "Shop"')

    assert load(environment).shop == "Shop"


def test_a_directory_in_place_of_the_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load({"E2EE_TICKET_CONFIG": str(tmp_path)})


def test_without_a_variable_both_places_are_the_users_own():
    assert config_path({}).parts[-2:] == ("e2ee-ticket", "config.toml")
    assert Config().state_dir.name == "e2ee-ticket"


# Paired displays


def a_pairing(name="Till 1"):
    return Pairing(name, PairingSecret.generate(), WriteToken.generate())


def test_a_display_is_found_by_its_name_in_any_case(tmp_path):
    displays = Displays(tmp_path / "state")
    pairing = a_pairing()
    displays.keep(pairing)
    displays.keep(a_pairing("Till 2"))

    assert displays.find("TILL 1") == pairing
    assert [known.name for known in displays.all()] == ["Till 1", "Till 2"]


def test_a_forgotten_display_leaves_no_secret_on_the_disk(tmp_path):
    displays = Displays(tmp_path)
    pairing = a_pairing()
    displays.keep(pairing)
    displays.forget("till 1")

    assert displays.all() == []
    assert pairing.secret.reveal().hex() not in (tmp_path / "displays.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["displays.json"]


@posix
def test_pairing_secrets_are_for_their_owner_alone(tmp_path):
    Displays(tmp_path / "state").keep(a_pairing())

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "displays.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\nb", "\x1b[2J"])
def test_a_name_that_cannot_be_printed_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="printable"):
        Displays(tmp_path).keep(a_pairing(name))


def test_two_displays_cannot_have_one_name(tmp_path):
    displays = Displays(tmp_path)
    displays.keep(a_pairing())

    with pytest.raises(ConfigError, match="already"):
        displays.keep(a_pairing("TILL 1"))


def test_an_unknown_display_is_told_with_those_that_are_known(tmp_path):
    displays = Displays(tmp_path)
    with pytest.raises(ConfigError, match="display add"):
        displays.find("Till 1")
    displays.keep(a_pairing())
    with pytest.raises(ConfigError, match="Till 1"):
        displays.find("Till 2")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"displays": [{"name": "x"}]}'])
def test_a_damaged_file_is_told_and_not_overwritten(tmp_path, text):
    (tmp_path / "displays.json").write_text(text)

    with pytest.raises(ConfigError, match="damaged"):
        Displays(tmp_path).keep(a_pairing())
    assert (tmp_path / "displays.json").read_text() == text


def test_no_pairing_shows_its_secrets():
    pairing = a_pairing()

    assert pairing.secret.reveal().hex() not in repr(pairing)
    assert pairing.token.reveal().hex() not in repr(pairing)


@pytest.mark.parametrize("listen", ["", 'listen = "0.0.0.0:9100"'])
def test_a_printer_that_is_this_program_itself_is_refused(environment, listen):
    text = f"""
    [[till]]
    name = "Till 1"
    printer = "127.0.0.1:9100"
    [[source]]
    kind = "printer"
    {listen}
    """
    write(environment, text)

    with pytest.raises(ConfigError, match="this program's own source printer"):
        load(environment)
