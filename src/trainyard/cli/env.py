"""`trainyard env`: what clients of Vertex AI must be told to reach the service, and nothing that is not true of it."""

from __future__ import annotations

import json
import os
import shlex
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from trainyard.cli.background import data_dir
from trainyard.cli.connection import Target
from trainyard.cli.problems import Problem
from trainyard.cli.service_api import connect

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+=")


def env(flags: Namespace) -> int:
    """Print the variables in the form that `--format` names, or with `--code` the Python that needs none of them."""
    target = connect(flags).target  # refuses an address that is none; nothing is sent
    if flags.code:
        print(code(target))
        return 0
    found = variables(target, os.environ)
    found |= credentials(target, os.environ)
    print(_FORMATS[flags.format](found), end="")
    return 0


def variables(target: Target, environment: Mapping[str, str]) -> dict[str, str]:
    """Name and value of each variable; `environment` is only looked at for proxies that must be gone round.

    Sources: the clients' own code. STORAGE_EMULATOR_HOST is read by google-cloud-storage and gcsfs,
    CLOUD_STORAGE_EMULATOR_ENDPOINT by Google's C++ client, which pyarrow has in it, CLOUDSDK_* by gcloud (`gcloud topic
    configurations`), GOOGLE_CLOUD_REGION by google-cloud-aiplatform, GOOGLE_CLOUD_LOCATION by google-genai,
    NO_GCE_CHECK by google-auth, which else waits for a metadata server. gcsfs would ask by gRPC what kind each bucket
    is, and wait a minute for an emulator to answer.
    """
    endpoint = target.endpoint.rstrip("/")
    found = {
        "TRAINYARD_ENDPOINT": endpoint,
        "TRAINYARD_REGION": target.region,
        "STORAGE_EMULATOR_HOST": endpoint,
        "CLOUD_STORAGE_EMULATOR_ENDPOINT": endpoint,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "GOOGLE_CLOUD_PROJECT": target.project,
        "GOOGLE_CLOUD_REGION": target.region,
        "GOOGLE_CLOUD_LOCATION": target.region,
        "NO_GCE_CHECK": "true",
        "CLOUDSDK_CORE_PROJECT": target.project,
        "CLOUDSDK_AI_REGION": target.region,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"{endpoint}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{endpoint}/storage/v1/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": f"{endpoint}/",
    }
    return found | trust(endpoint, environment) | _round_proxies(endpoint, environment)


def credentials(target: Target, environment: Mapping[str, str]) -> dict[str, str]:
    """How gcloud is to identify itself: as all others do, by a token, a key that the service issued, or not at all."""
    if target.token:
        return {"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token_file(target.token, environment))}
    key = issued_key(target.endpoint, environment)
    return {"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": key} if key else {"CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true"}


def issued_key(endpoint: str, environment: Mapping[str, str]) -> str:
    """The service-account key that clients will find, if this service issued it (`trainyard tokens create`)."""
    path = environment.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    try:
        key = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        return ""  # whoever uses it will say what is wrong with it
    issuer = key.get("token_uri", "") if isinstance(key, dict) else ""
    return path if str(issuer).startswith(endpoint.rstrip("/") + "/") else ""


def trust(endpoint: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What makes clients trust a service that made its own certificate, where its data directory is at hand.

    Most of these variables replace what a client trusts, so they name a bundle with the machine's own roots in it.
    """
    made = data_dir(environment) / "tls"
    bundle = made / "bundle.pem"
    if not endpoint.startswith("https:") or not bundle.exists():
        return {}
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS")
    found = dict.fromkeys(
        (*names, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"), str(bundle)
    )
    return found | {"NODE_EXTRA_CA_CERTS": str(made / "ca.pem")}


def _round_proxies(endpoint: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What keeps requests for this machine away from a proxy, where one is set."""
    host = urlsplit(endpoint).hostname or ""
    proxied = any(environment.get(name) for each in ("http_proxy", "all_proxy") for name in (each, each.upper()))
    if host not in _LOOPBACK or not proxied:
        return {}
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if host in [each.strip() for each in listed.split(",")]:
        return {}
    value = ",".join(filter(None, (listed, host)))
    return {"no_proxy": value, "NO_PROXY": value}


def token_file(token: str, environment: Mapping[str, str]) -> Path:
    """A file with the token, for gcloud, which takes one in no other way; its owner alone can read it."""
    path = data_dir(environment) / "client_token"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:  # noqa: PTH123 - by descriptor, so that it never is anybody else's to read
            os.fchmod(descriptor, 0o600)
            file.write(token)
    except OSError as error:
        raise Problem(f"the token for gcloud can't be written to {path}: {error.strerror}") from None
    return path


def code(target: Target) -> str:
    """Three lines of Python that point google-cloud-aiplatform at the service, environment or not."""
    credentials = ("google.auth.credentials", "AnonymousCredentials", "AnonymousCredentials()")
    if target.token:
        given = '__import__("os").environ["TRAINYARD_TOKEN"]'
        credentials = ("google.oauth2.credentials", "Credentials", f"Credentials({given})")
    module, name, made = credentials
    arguments = {"project": target.project, "location": target.region, "staging_bucket": f"gs://{target.project}"}
    arguments |= {"api_endpoint": target.endpoint.rstrip("/"), "api_transport": "rest"}
    given = ", ".join(f"{key}={json.dumps(value)}" for key, value in arguments.items())
    return (
        f"from {module} import {name}\n"
        "from google.cloud import aiplatform\n"
        f"aiplatform.init({given}, credentials={made})"
    )


def shell_text(found: Mapping[str, str]) -> str:
    """For `eval "$(trainyard env)"` in any POSIX shell, and fish."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())


def dotenv_text(found: Mapping[str, str]) -> str:
    """A .env file: bare where nothing needs quoting, else in single quotes, in which nothing is expanded."""
    return "".join(f"{name}={_dotenv_quoted(value)}\n" for name, value in found.items())


def _dotenv_quoted(value: str) -> str:
    if value and _PLAIN.issuperset(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def json_text(found: Mapping[str, str]) -> str:
    """One object."""
    return json.dumps(found, indent=2) + "\n"


_FORMATS: Final = {"shell": shell_text, "dotenv": dotenv_text, "json": json_text}
