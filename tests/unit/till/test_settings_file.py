"""The configuration file is changed by a program and stays its owner's."""

import os
import stat

import pytest

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.till import settings_file
from e2ee_ticket.till.config import FILE_VARIABLE, judge_syntax, load

WRITTEN_BY_HAND = """\
# my till
relay = "https://relay.example"   # from the town's host

shop = "Épicerie du Marché"

[console]
# on the wifi too
listen = "0.0.0.0:8422"

[[till]]
name = "Front"  # by the door
printer = "192.0.2.7:9100"

[[till]]
name = "Back"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(WRITTEN_BY_HAND, encoding="utf-8")
    return path


def text(path):
    return path.read_text(encoding="utf-8")


def test_a_changed_key_stays_where_it_was_with_its_comment(file):
    settings_file.edit(file, {"relay": "https://other.example"})

    changed = WRITTEN_BY_HAND.replace("relay.example", "other.example")
    assert text(file) == changed


def test_nothing_to_change_leaves_every_byte(file):
    settings_file.edit(file, {"relay": "https://relay.example", "lang": None})

    assert text(file) == WRITTEN_BY_HAND


def test_a_new_key_comes_before_the_sections(file):
    config = settings_file.edit(file, {"lang": "fr", "ticket_seconds": 60})

    assert (config.lang, config.ticket_seconds) == ("fr", 60)
    assert text(file).index("lang") < text(file).index("[console]")
    assert "# on the wifi too" in text(file)
    assert config == load({FILE_VARIABLE: str(file)}) or config.state is None


def test_none_removes_a_key_and_a_section(file):
    config = settings_file.edit(file, {"shop": None, "console": None})

    assert config.shop is None
    assert "console" not in text(file)


def test_dotted_keys_reach_into_a_section_and_make_it(file):
    config = settings_file.edit(
        file, {"console.pin_hash": "hash", "console.listen": None, "lan.host": "192.0.2.1"}
    )

    assert config.console.pin_hash == "hash"
    assert config.console.listen == "127.0.0.1:8422"
    assert config.lan.host == "192.0.2.1"


def test_an_empty_section_can_be_made(file):
    assert settings_file.edit(file, {"lan": {}}).lan is not None


def test_tables_are_known_by_their_name(file):
    config = settings_file.edit(
        file,
        {"till": [{"name": "Front", "display": "Screen", "printer": "192.0.2.7:9100"},
                  {"name": "Terrace"}]},
    )  # fmt: skip

    assert [till.name for till in config.tills] == ["Front", "Terrace"]
    assert config.tills[0].display == "Screen"
    assert '"Front"  # by the door' in text(file)
    assert "Back" not in text(file)


def test_one_table_can_be_changed_added_and_removed(file):
    settings_file.edit_table(file, "till", "front", {"printer": None, "display": "Screen"})
    settings_file.edit_table(file, "till", "Terrace", {"display_count": 2})
    config = settings_file.edit_table(file, "till", "Back", None)

    assert [(till.name, till.display, till.printer) for till in config.tills] == [
        ("Front", "Screen", None),
        ("Terrace", None, None),
    ]
    assert "# by the door" in text(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relay": "ftp://relay.example"}, "relay in config.toml must be"),
        ({"relais": "https://relay.example"}, "did you mean relay"),
        ({"console.listen": "here"}, "listen of"),
        ({"till": [{"name": "A"}, {"name": "a"}]}, "same name"),
        ({"till": "Front"}, "list"),
        ({"source": [{"kind": "telepathy"}]}, "kind must be one of"),
        ({"shop.name": "x"}, "shop must be a section"),
    ],
)
def test_what_cannot_be_changes_nothing(file, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings_file.edit(file, changes)

    assert text(file) == WRITTEN_BY_HAND
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_file_that_is_no_toml_is_left_alone(file):
    file.write_text('relay = "https://', encoding="utf-8")

    with pytest.raises(ConfigError, match="not TOML"):
        settings_file.edit(file, {"lang": "fr"})

    assert text(file) == 'relay = "https://'


def test_the_first_file_is_made_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "config.toml"
    config = settings_file.edit(path, {"relay": "https://relay.example", "till": [{"name": "A"}]})

    assert config.relay == "https://relay.example"
    assert text(path).startswith("# ")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="links and modes are POSIX")
def test_a_link_to_the_file_stays_one_and_a_loose_mode_is_tightened(file, tmp_path):
    file.chmod(0o644)
    link = tmp_path / "link.toml"
    link.symlink_to(file)

    settings_file.edit(link, {"lang": "fr"})

    assert link.is_symlink()
    assert 'lang = "fr"' in text(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_text_with_quotes_and_newlines_cannot_add_keys(file):
    with pytest.raises(ConfigError, match="must be one of"):
        settings_file.edit(file, {"shop": 'x"\nrelay = "https://evil.example', "paper": "never"})
    config = settings_file.edit(file, {"shop": 'x"\nrelay = "https://evil.example'})

    assert config.relay == "https://relay.example"


def test_a_mapping_inside_a_source_is_written_and_kept(tmp_path):
    path = tmp_path / "config.toml"
    tills = {"1": "Front", "2": "Back"}
    source = {"kind": "dolibarr", "url": "https://erp.example", "key": "key", "tills": tills}
    config = settings_file.edit(
        path, {"till": [{"name": "Front"}, {"name": "Back"}], "source": [source]}
    )
    again = settings_file.edit(path, {"source": [source], "lang": "fr"})

    assert config.sources[0].settings["tills"] == tills
    assert again.sources[0].settings["tills"] == tills
    assert text(path).count("Back") == 2


def test_sections_that_stay_the_same_keep_their_place(file):
    tables = settings_file.read_tables(file, "till")
    settings_file.edit(file, {"till": tables, "source": [{"kind": "ipp"}]})
    settings_file.edit(file, {"till": [*tables, {"name": "Terrace"}]})

    order = [text(file).index(word) for word in ("[console]", "Front", "Back", "Terrace", "ipp")]
    assert order == sorted(order)
    assert text(file).startswith(WRITTEN_BY_HAND)


def test_a_windows_path_in_double_quotes_gets_the_quotes_to_use():
    with pytest.raises(ConfigError, match=r"begins an escape: write 'C:\\folder'"):
        judge_syntax(rb'state = "C:\Users\lea"', "config.toml")
