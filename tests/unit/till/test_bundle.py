"""A till moves to another computer in one file, which nobody opens without the passphrase."""

import json
import os
import stat

import pytest

from e2ee_ticket.errors import ConfigError
from e2ee_ticket.protocol import primitives
from e2ee_ticket.protocol.channel import PairingSecret, WriteToken
from e2ee_ticket.till import bundle
from e2ee_ticket.till.bundle import Bundle
from e2ee_ticket.till.config import FILE_VARIABLE
from e2ee_ticket.till.displays import Displays, Pairing

PASSPHRASE = "four words do it"
PERMIT = "p" * 43
QUICK = {"passes": 1, "memory": 8 * 1024 * 1024}
CONFIG = """\
# by the door
relay = "https://relay.example"
permit_file = "secret/permit"
state = "/var/lib/somewhere/else"

[[source]]
kind = "dolibarr"
url = "https://erp.example"
key_file = "secret/dolibarr.key"
"""


@pytest.fixture
def old(tmp_path):
    """A till's folder; its environment."""
    folder = tmp_path / "old"
    (folder / "secret").mkdir(parents=True)
    (folder / "secret/permit").write_text(PERMIT)
    (folder / "secret/dolibarr.key").write_text("the API key\n")
    state = folder / "state"
    text = CONFIG.replace("/var/lib/somewhere/else", str(state))
    (folder / "config.toml").write_text(text, encoding="utf-8")
    Displays(state).keep(Pairing("Front", PairingSecret.generate(), WriteToken.generate()))
    return {FILE_VARIABLE: str(folder / "config.toml")}


def new(tmp_path):
    path = tmp_path / "new" / "config.toml"
    return path, {FILE_VARIABLE: str(path)}


def collect(environment):
    from pathlib import Path

    return bundle.collect(Path(environment[FILE_VARIABLE]), environment)


def test_argon2id_makes_the_same_key_everywhere():
    key = primitives.stretch(b"correct horse", bytes(range(16)), 2, 8 * 1024 * 1024)

    assert key.hex() == "5d6feb78fec962f9fe4465119605b64a5dbce8acde9e8ae0c8b3d4c2f518c9a4"


def test_everything_arrives_on_the_other_computer(old, tmp_path):
    sealed = bundle.seal(collect(old), PASSPHRASE, **QUICK)
    path, environment = new(tmp_path)
    settled = bundle.install(bundle.unseal(sealed, PASSPHRASE), path, environment, force=False)

    assert settled.relay == "https://relay.example"
    assert settled.permit == PERMIT
    assert settled.state_dir == path.parent
    assert "# by the door" in path.read_text(encoding="utf-8")
    (pairing,) = Displays(settled.state_dir).all()
    assert pairing.name == "Front"
    key = path.parent / settled.sources[0].settings["key_file"]
    assert key.read_text() == "the API key\n"
    if os.name == "posix":
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}


def test_what_the_environment_says_travels_too(tmp_path):
    path = tmp_path / "config.toml"
    variables = {
        FILE_VARIABLE: str(path),
        "E2EE_TICKET_RELAY": "https://relay.example",
        "E2EE_TICKET_PERMIT": PERMIT,
    }
    packed = bundle.collect(path, variables)
    target, environment = new(tmp_path)
    settled = bundle.install(packed, target, environment, force=False)

    assert (settled.relay, settled.permit) == ("https://relay.example", PERMIT)
    assert packed.displays is None


def test_nothing_of_it_can_be_read_in_the_sealed_file(old):
    packed = collect(old)
    sealed = bundle.seal(packed, PASSPHRASE, **QUICK)

    for word in (
        PERMIT,
        "relay.example",
        "API key",
        "Front",
        json.loads(packed.displays)["displays"][0]["secret"],
    ):
        assert word.encode() not in sealed
        assert word not in repr(packed)


def test_two_files_of_the_same_till_have_nothing_in_common():
    first, second = (bundle.seal(Bundle("x" * 100), PASSPHRASE, **QUICK) for _ in range(2))

    size = len(bundle.MAGIC) + 8
    assert first[:size] == second[:size]
    assert first[size:] != second[size:]
    assert first[-32:] != second[-32:]


def test_the_same_passphrase_may_be_typed_on_another_keyboard():
    sealed = bundle.seal(Bundle("text"), "cafe\N{COMBINING ACUTE ACCENT} créme", **QUICK)

    assert bundle.unseal(sealed, "café créme").text == "text"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "another passphrase, or a damaged file"),
        (lambda data: data[:40], "not whole"),
        (lambda _: b"", "no exported configuration"),
        (lambda _: b"%PDF-1.7", "no exported configuration"),
        (lambda data: data.replace(b"configuration 1", b"configuration 2"), "newer version"),
        (lambda data: data[:28] + b"\xff\xff\xff\xff" + data[32:], "asks for more"),
        (lambda data: data[:32] + b"\xff\xff\xff\xff" + data[36:], "asks for more"),
        (lambda data: data[:32] + bytes(4) + data[36:], "asks for more"),
        (lambda data: data[:40] + bytes(16) + data[56:], "another passphrase"),
    ],
    ids=[
        "truncated",
        "no-ciphertext",
        "empty",
        "a-pdf",
        "newer",
        "endless",
        "huge",
        "no-memory",
        "other-salt",
    ],
)
def test_what_is_not_whole_is_told_and_never_opened(spoil, message):
    sealed = bundle.seal(Bundle("text"), PASSPHRASE, **QUICK)

    with pytest.raises(ConfigError, match=message):
        bundle.unseal(spoil(sealed), PASSPHRASE)


def test_another_passphrase_does_not_open_it_and_is_not_told():
    sealed = bundle.seal(Bundle("text"), PASSPHRASE, **QUICK)

    with pytest.raises(ConfigError) as refusal:
        bundle.unseal(sealed, "an other word")
    assert "an other" not in str(refusal.value)


def test_a_short_passphrase_is_refused():
    with pytest.raises(ConfigError, match="at least 8"):
        bundle.seal(Bundle("text"), "short")


def test_nothing_is_overwritten_unless_asked(old, tmp_path):
    packed = collect(old)
    path, environment = new(tmp_path)
    bundle.install(packed, path, environment, force=False)
    path.write_text('shop = "mine"\n', encoding="utf-8")

    with pytest.raises(ConfigError, match="is here already"):
        bundle.install(packed, path, environment, force=False)
    assert path.read_text(encoding="utf-8") == 'shop = "mine"\n'

    assert bundle.install(packed, path, environment, force=True).shop is None


def test_a_bundle_chooses_no_place_of_its_own(tmp_path):
    text = '[[source]]\nkind = "dolibarr"\nkey_file = "FILES/../../evil"\n'
    path, environment = new(tmp_path)
    settled = bundle.install(
        Bundle(text, None, {"FILES/../../evil": b"x"}), path, environment, force=False
    )

    assert settled.sources[0].settings["key_file"] == str(path.parent / "evil.key")
    assert sorted(file.name for file in path.parent.iterdir()) == ["config.toml", "evil.key"]


def test_a_configuration_that_cannot_be_installs_nothing(tmp_path):
    path, environment = new(tmp_path)

    with pytest.raises(ConfigError, match=r"relay in config\.toml"):
        bundle.install(Bundle('relay = "here"\n', "{}"), path, environment, force=False)

    assert not path.parent.exists()


def test_a_key_file_that_is_gone_is_named(old, tmp_path):
    (tmp_path / "old/secret/dolibarr.key").unlink()

    with pytest.raises(ConfigError, match=r"dolibarr\.key cannot be read"):
        collect(old)
