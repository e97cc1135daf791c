"""Settings: which source wins, and how what cannot be meant is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from socket import gethostname

import pytest

from trainyard.keyrings.pkcs11.place import Place
from trainyard.setting_checks import reserved
from trainyard.settings import BadSetting, Settings, settings_table


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "settings.toml").write_text(text)
    return tmp_path


def test_defaults_listen_on_loopback(tmp_path: Path) -> None:
    """Without a word from anybody the service is at 127.0.0.1:8470 with its state under the home directory."""
    settings = Settings.load({}, {"HOME": str(tmp_path)})
    assert (settings.host, settings.port, settings.grpc_port) == ("127.0.0.1", 8470, None)
    assert settings.data_dir == tmp_path / ".local/share/trainyard"


def test_xdg_moves_the_data(tmp_path: Path) -> None:
    """An absolute XDG_DATA_HOME is honoured, a relative one is not (XDG Base Directory Specification)."""
    assert Settings.load({}, {"XDG_DATA_HOME": str(tmp_path)}).data_dir == tmp_path / "trainyard"
    elsewhere = Settings.load({}, {"XDG_DATA_HOME": "rel", "HOME": str(tmp_path)})
    assert elsewhere.data_dir == tmp_path / ".local/share/trainyard"


def test_flags_win_over_variables_over_the_file(tmp_path: Path) -> None:
    """Each source overrides the one below it, setting by setting."""
    write(tmp_path, 'port = 1\ndrain = 5\nlog_level = "debug"\n')
    environment = {"TRAINYARD_PORT": "2", "TRAINYARD_DRAIN": "6.5", "TRAINYARD_DATA_DIR": str(tmp_path)}
    settings = Settings.load({"port": 3, "grpc_port": None}, environment)
    assert (settings.port, settings.drain, settings.log_level, settings.grpc_port) == (3, 6.5, "debug", None)


def test_a_relative_data_dir_becomes_absolute() -> None:
    """A later change of directory must not move the data."""
    assert Settings.load({"data_dir": "here"}, {}).data_dir == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('host = "127.0.0.1"\nprot = 3\n', "line 2: prot is no setting; did you mean port?"),
        ("zzz = 1\n", "line 1: zzz is no setting; there are "),
        (
            "data_dir = '/x'\n",
            "line 1: data_dir is no setting of this file; give it as --data-dir or TRAINYARD_DATA_DIR",
        ),
        ('\n\nport = "8470"\n', "line 3: port is '8470', which is not a whole number"),
        ("port = true\n", "port is True, which is not a whole number"),
        ("port = 70000\n", "port is 70000: a port is a number from 0"),
        ("[port]\nx = 1\n", "line 1: port is {'x': 1}, which is not a whole number"),
        ("port = \n", "is not TOML: Invalid value (at line 1, column 8)"),
        ("drain = nan\n", "drain is nan: it is a number of at least 0"),
        ('accelerators = "maybe"\n', "choose one of optional, required"),
    ],
)
def test_a_bad_line_of_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """The refusal says which line, what is wrong and what would do."""
    with pytest.raises(BadSetting) as refusal:
        Settings.load({"data_dir": write(tmp_path, text)}, {})
    assert said in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Neither binary noise nor a directory in its place is taken for an empty file."""
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSetting, match="cannot be read"):
        Settings.load({"data_dir": tmp_path}, {})
    (tmp_path / "settings.toml").unlink()
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(BadSetting, match="cannot be read"):
        Settings.load({"data_dir": tmp_path}, {})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TRAINYARD_PORT": "many"}, "TRAINYARD_PORT is 'many', which is not a whole number"),
        ({"TRAINYARD_LOG_LEVEL": "loud"}, "TRAINYARD_LOG_LEVEL is 'loud': choose one of debug, info, warning, error"),
    ],
)
def test_a_bad_variable_is_named(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    """The refusal names the variable."""
    with pytest.raises(BadSetting) as refusal:
        Settings.load({"data_dir": tmp_path}, environment)
    assert said in str(refusal.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7"])
def test_the_network_is_listened_to_only_behind_credentials_and_tls(tmp_path: Path, host: str) -> None:
    """Whatever is missing, the sentence says what to give; with both, the host is taken."""
    given: dict[str, object] = {"data_dir": tmp_path, "host": host}
    for more in ({}, {"auth": True}, {"tls": True}, {"tls_cert": "c", "tls_key": "k"}):
        with pytest.raises(BadSetting, match=r"give --auth and --tls .* or listen on 127\.0\.0\.1"):
            Settings.load({**given, **more}, {})
    for more in ({"tls": True}, {"tls_cert": "c", "tls_key": "k"}):
        settings = Settings.load({**given, **more, "auth": True}, {})
        assert settings.host == host
        assert settings.speaks_tls


def test_a_certificate_and_its_key_go_together(tmp_path: Path) -> None:
    """One without the other is refused."""
    for one in ({"tls_cert": "c"}, {"tls_key": "k"}):
        with pytest.raises(BadSetting, match="go together"):
            Settings.load({"data_dir": tmp_path, **one}, {})


def test_the_names_of_the_service(tmp_path: Path) -> None:
    """Loopback always, the address that is listened on, what is listed, and the machine's name."""
    loopback = {"localhost", "127.0.0.1", "::1"}
    given: dict[str, object] = {"data_dir": tmp_path, "auth": True, "tls": True}
    assert Settings.load(given, {}).names() == loopback
    named = Settings.load({**given, "host": "192.168.1.7", "tls_names": "Train.example.com, *.googleapis.com"}, {})
    assert named.names() == {*loopback, "192.168.1.7", "train.example.com", "*.googleapis.com"}
    assert Settings.load({**given, "host": "0.0.0.0"}, {}).names() == {*loopback, gethostname().lower()}
    assert Settings.load({**given, "host": "localhost"}, {}).names() == loopback
    for bad in ("a b", "*", "x.*.com", "-x", "http://x"):
        with pytest.raises(BadSetting, match="neither a host name"):
            Settings.load({**given, "tls_names": f"ok,{bad}"}, {})


def test_the_names_of_dashboards_are_not_the_services(tmp_path: Path) -> None:
    """Below localhost, or below a name that is given; listed among the service's own they still are not."""
    given: dict[str, object] = {"data_dir": tmp_path}
    assert Settings.load(given, {}).names_of_dashboards() == "*.dashboards.localhost"
    for place in ("https://d.example.com", "https://d.example.com:444", "http://d.example.com"):
        named = Settings.load({**given, "dashboards_at": place, "tls_names": "*.d.example.com,x.org"}, {})
        assert named.names_of_dashboards() == "*.d.example.com"
        assert named.names() == {"localhost", "127.0.0.1", "::1", "x.org"}
    for bad in (
        "d.example.com",
        "ftp://d",
        "https://127.0.0.1",
        "https://d/x",
        "https://d:0",
        "https://D",
        "https://[::1]",
    ):
        with pytest.raises(BadSetting, match="a host name and perhaps a port"):
            Settings.load({**given, "dashboards_at": bad}, {})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_every_loopback_address_will_do(tmp_path: Path, host: str) -> None:
    """IPv4, IPv6 and the name."""
    assert Settings.load({"data_dir": tmp_path, "host": host}, {}).host == host


def test_a_host_that_is_no_address_is_refused(tmp_path: Path) -> None:
    """A typo is no address."""
    with pytest.raises(BadSetting, match="neither localhost nor an IP address"):
        Settings.load({"data_dir": tmp_path, "host": "localhsot"}, {})


def test_settings_do_not_change(tmp_path: Path) -> None:
    """One frozen object, read by all."""
    settings = Settings.load({"data_dir": tmp_path}, {})
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]  # the point of the test


def test_the_page_tells_every_setting() -> None:
    """docs/settings.md is what the fields say; `make docs` writes it anew."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    assert settings_table() in page


@pytest.mark.parametrize("value", ["often", "-1", "4000", ""])
def test_a_rate_of_preemptions_that_cannot_be_meant_is_refused(value: str) -> None:
    """The sentence names the flag and says what would do."""
    with pytest.raises(BadSetting, match=r"--simulate-preemption is .* such as 12,7\."):
        Settings.load({"simulate_preemption": value}, {"HOME": "/h"})
    assert Settings.load({"simulate_preemption": "12,7"}, {"HOME": "/h"}).simulate_preemption == "12,7"


@pytest.mark.parametrize("name", ["port", "grpc_port"])
def test_a_port_is_checked_under_each_name(name: str) -> None:
    """A number that is no port is refused by its own flag."""
    with pytest.raises(BadSetting, match=rf"--{name.replace('_', '-')} is 65536: a port is"):
        Settings.load({name: 65536}, {"HOME": "/h"})


@pytest.mark.parametrize("value", ["a", "a=", "a=0", "a=1,a=2", "A=1", "a=1;b=2", "a=-1", "a=1:", "a=1+gpu", "a=1+1"])
def test_reservations_that_cannot_be_meant_are_refused(value: str) -> None:
    """Each name once, each with a number of replicas."""
    with pytest.raises(BadSetting, match=r"such as team-a=2,team-b=1:n1-standard-8\+1gpu, each name once"):
        Settings.load({"reservations": value}, {"HOME": "/h"})
    assert Settings.load({"reservations": "team-a=2, b=1"}, {"HOME": "/h"}).reservations == "team-a=2, b=1"


def test_reservations_are_read_as_they_are_written() -> None:
    """With GPUs of each replica, and a machine type, each or both left out."""
    assert reserved("c=3+0gpu, b=1:n1-standard-8+2gpus,a=2:a2-highgpu-1g") == (
        ("a", 2, "a2-highgpu-1g", None),
        ("b", 1, "n1-standard-8", 2),
        ("c", 3, "", 0),
    )


TOKEN = "pkcs11:token=yard%20one;serial=12ab?module-path=/usr/lib/hsm.so&pin-source=file:/etc/pin"


@pytest.mark.parametrize("source", ["file:/etc/pin", "file:///etc/pin", "/etc/pin"])
def test_a_token_is_named_by_its_uri(tmp_path: Path, source: str) -> None:
    """As RFC 7512 has it: labels may be percent-encoded, the PIN is in a file."""
    uri = TOKEN.replace("file:/etc/pin", source)
    assert Settings.load({"data_dir": tmp_path, "key_ring": uri}, {}).key_ring == uri
    place = Place.parse(uri)
    assert (place.token, place.serial) == ("yard one", "12ab")
    assert (place.module, place.pin_file) == (Path("/usr/lib/hsm.so"), Path("/etc/pin"))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("vault", "it begins with neither; it is local, or pkcs11:token=LABEL?module-path=/LIBRARY.so&pin-source="),
        ("", "it begins with neither"),
        ("pkcs11:?module-path=/a&pin-source=/b", "it says neither token= nor serial="),
        ("pkcs11:token=a", "module-path= is missing behind the ?"),
        ("pkcs11:token=a?module-path=/a", "pin-source= is missing behind the ?"),
        ("pkcs11:token=a?module-path=a.so&pin-source=/b", "module-path is 'a.so', which is no absolute path"),
        ("pkcs11:token=a?module-path=/a&pin-source=file:b", "pin-source is 'b', which is no absolute path"),
        (
            "pkcs11:token=a;slot-id=1?module-path=/a&pin-source=/b",
            "'slot-id' stands where there can be token and serial",
        ),
        ("pkcs11:token=a;token=b?module-path=/a&pin-source=/b", "token is there twice"),
        ("pkcs11:token=?module-path=/a&pin-source=/b", "token is there without a value"),
    ],
)
def test_a_key_ring_that_is_none_is_refused(tmp_path: Path, uri: str, said: str) -> None:
    """By the part of the URI that is wrong, with the form that it takes."""
    with pytest.raises(BadSetting) as refusal:
        Settings.load({"data_dir": tmp_path, "key_ring": uri}, {})
    assert said in str(refusal.value)


def test_a_pin_is_no_setting(tmp_path: Path) -> None:
    """It is refused without being shown once more, whatever else is wrong with the URI."""
    for uri in ("pkcs11:token=a?module-path=/a&pin-value=1234", "pkcs11:?pin-value=1234"):
        with pytest.raises(BadSetting, match=r"key_ring holds a PIN.*pin-source=file:/FILE") as refusal:
            Settings.load({"data_dir": tmp_path, "key_ring": uri}, {})
        assert "1234" not in str(refusal.value)
