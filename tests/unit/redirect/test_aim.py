"""Which host goes where is decided by its name alone, and said by a table."""

from __future__ import annotations

import pytest

from trainyard.redirect.aim import HERE, NOWHERE, ON, Aim, RealCloudRefused
from trainyard.redirect.channels import host_of

ENDPOINT = "http://127.0.0.1:8470"
JSON_API = "/storage/v1/b/x"


def aim(**more: str) -> Aim:
    return Aim({"TRAINYARD_REDIRECT": ENDPOINT, "TRAINYARD_REDIRECT_QUIET": "1", **more})


@pytest.mark.parametrize(
    ("host", "path", "way"),
    [
        ("aiplatform.googleapis.com", None, HERE),
        ("us-central1-aiplatform.googleapis.com", None, HERE),
        ("US-Central1-AIPlatform.GoogleAPIs.com.", "/v1/x", HERE),
        ("aiplatform.us-central1.rep.googleapis.com", None, HERE),
        ("us-central1-aiplatform.mtls.googleapis.com", None, HERE),
        ("aiplatform.us-central1.rep.mtls.googleapis.com", None, HERE),
        ("logging.googleapis.com", "/v2/entries:list", HERE),
        ("storage.googleapis.com", JSON_API, HERE),
        ("storage.googleapis.com", "/upload/storage/v1/b/x/o", HERE),
        ("storage.googleapis.com", "/batch/storage/v1", HERE),
        ("storage.us-central1.rep.googleapis.com", JSON_API, HERE),
        ("storage.googleapis.com", None, HERE),
        ("www.googleapis.com", JSON_API, HERE),
        ("storage.googleapis.com", "/tensorflow/mnist.npz", NOWHERE),
        ("www.googleapis.com", "/oauth2/v1/certs", NOWHERE),
        ("www.googleapis.com", None, NOWHERE),
        ("oauth2.googleapis.com", None, NOWHERE),
        ("bigquery.googleapis.com", None, NOWHERE),
        ("aiplatform.sandbox.googleapis.com", None, NOWHERE),
        ("x-aiplatform.sandbox.googleapis.com", None, NOWHERE),
        ("googleapis.com", None, NOWHERE),
        ("us-central1-aiplatform.googleapis.com.example.org", None, ON),
        ("notgoogleapis.com", None, ON),
        ("example.org", JSON_API, ON),
        ("127.0.0.1", None, ON),
    ],
)
def test_every_host_has_its_way(host: str, path: str | None, way: str) -> None:
    """Here, on its way or nowhere."""
    assert aim().way(host, path) == way


def test_without_an_aim_everything_goes_on() -> None:
    """No TRAINYARD_REDIRECT, no change."""
    still = Aim({})
    assert still.way("bigquery.googleapis.com") == ON
    assert still.url("https://us-central1-aiplatform.googleapis.com/v1/x") is None


def test_an_address_keeps_path_and_query() -> None:
    """Only the scheme and the host are exchanged; what is escaped stays escaped."""
    url = "https://us-central1-aiplatform.googleapis.com:443/v1/a%2Fb?filter=x%3D1&y"
    assert aim().url(url) == ENDPOINT + "/v1/a%2Fb?filter=x%3D1&y"
    assert aim(TRAINYARD_REDIRECT="http://h:1/prefix/").url("https://aiplatform.googleapis.com") == "http://h:1/prefix/"


def test_a_signed_url_comes_here() -> None:
    """Its host is Google's where a program does not say otherwise; a file without a signature is Google's own."""
    for query in ("X-Goog-Algorithm=a&X-Goog-Signature=00", "GoogleAccessId=a&Expires=1&Signature=x"):
        assert aim().url(f"https://storage.googleapis.com/b/o?{query}") == f"{ENDPOINT}/b/o?{query}"


def test_a_refusal_says_how_to_go_on() -> None:
    """The sentence names the host and the flag; it is a PermissionError, which nothing retries."""
    with pytest.raises(RealCloudRefused, match=r"--allow-host bigquery\.googleapis\.com") as raised:
        aim().url("https://bigquery.googleapis.com/x")
    assert isinstance(raised.value, PermissionError)
    with pytest.raises(RealCloudRefused, match="no call of its JSON API"):
        aim().url("https://storage.googleapis.com/tensorflow/mnist.npz")


def test_allowed_hosts_go_on() -> None:
    """By name, or all below a name; nothing that only ends alike."""
    some = aim(TRAINYARD_REDIRECT_ALLOW="BigQuery.googleapis.com,*.sandbox.googleapis.com")
    assert some.way("bigquery.googleapis.com") == ON
    assert some.way("x.sandbox.googleapis.com") == ON
    assert some.way("sandbox.googleapis.com") == NOWHERE
    assert some.way("mybigquery.googleapis.com") == NOWHERE
    assert some.way("aiplatform.googleapis.com") == HERE
    assert aim(TRAINYARD_REDIRECT_ALLOW="*.googleapis.com").way("aiplatform.googleapis.com") == ON


def test_no_credential_of_the_users_is_sent() -> None:
    """Tokens and keys are taken away; ours is put in their place where there is one."""
    headers = {"authorization": "Bearer secret", "X-Goog-Api-Key": "key", "accept": "x"}
    aim().identify(headers)
    assert headers == {"accept": "x"}
    aim(TRAINYARD_TOKEN="t").identify(headers)
    assert headers == {"accept": "x", "Authorization": "Bearer t"}


def test_a_program_that_names_the_service_keeps_its_credentials() -> None:
    """Unless we were given a token for the service."""
    direct = f"{ENDPOINT}/v1/x"
    assert not aim().is_ours(direct)
    assert aim(TRAINYARD_TOKEN="t").is_ours(direct)
    assert not aim(TRAINYARD_TOKEN="t").is_ours("http://127.0.0.1:84701/v1/x")
    assert aim().is_ours("https://aiplatform.googleapis.com/v1/x")


def test_a_key_of_the_services_is_left_to_its_client() -> None:
    """Where the default credentials are issued by the service, what they put into a request stays in it."""
    trusted = aim(TRAINYARD_REDIRECT_KEY="key.json")
    headers = {"authorization": "Bearer signed"}
    trusted.identify(headers)
    assert headers == {"authorization": "Bearer signed"}
    assert not trusted.is_ours("https://aiplatform.googleapis.com/v1/x")


@pytest.mark.parametrize(
    ("endpoint", "address", "netloc", "secure"),
    [
        ("http://127.0.0.1:8470", ("127.0.0.1", 8470), "127.0.0.1:8470", False),
        ("http://box", ("box", 80), "box:80", False),
        ("https://box", ("box", 443), "box:443", True),
        ("http://[::1]:9", ("::1", 9), "[::1]:9", False),
    ],
)
def test_the_address_of_the_service(endpoint: str, address: tuple[str, int], netloc: str, secure: bool) -> None:
    """As sockets, and as gRPC, want it."""
    there = aim(TRAINYARD_REDIRECT=endpoint)
    assert (there.address, there.netloc, there.secure) == (address, netloc, secure)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("aiplatform.googleapis.com", "aiplatform.googleapis.com"),
        ("aiplatform.googleapis.com:443", "aiplatform.googleapis.com"),
        (b"aiplatform.googleapis.com:443", "aiplatform.googleapis.com"),
        ("dns:aiplatform.googleapis.com:443", "aiplatform.googleapis.com"),
        ("dns:///aiplatform.googleapis.com:443", "aiplatform.googleapis.com"),
        ("dns://8.8.8.8/aiplatform.googleapis.com", "aiplatform.googleapis.com"),
        ("google-c2p:///storage.googleapis.com", "storage.googleapis.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/tmp/x.sock", "x.sock"),
    ],
)
def test_the_host_in_a_grpc_target(target: str | bytes, host: str) -> None:
    """Every form in which a channel can name a host."""
    assert host_of(target) == host


def test_what_is_redirected_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr for each host and service, none when told to be quiet."""
    loud = Aim({"TRAINYARD_REDIRECT": "http://127.0.0.1:1"})
    loud.url("https://europe-west4-aiplatform.googleapis.com/a")
    loud.url("https://europe-west4-aiplatform.googleapis.com/b")
    aim().url("https://asia-east1-aiplatform.googleapis.com/b")
    said = capsys.readouterr().err
    assert said == "trainyard: europe-west4-aiplatform.googleapis.com is http://127.0.0.1:1 here\n"
