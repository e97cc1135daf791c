"""A serviceAccount reaches into containers: its e-mail from the metadata server, its real credentials as a file."""

from __future__ import annotations

from pathlib import Path

import images
from test_podman_jobs import Service, service

from trainyard.credentials import Credential, CredentialFile, Form

ASKS = """
root="http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts"
wget -qO- --header "Metadata-Flavor: Google" "$root/default/email"
"""


def said(one: Service, folder: Path, script: str, email: str) -> str:
    """What a shell in a container writes as this account."""
    name = one.create(images.BUSYBOX, "/bin/sh", "-c", script, serviceAccount=email)
    job = one.wait(name, "SUCCEEDED", "FAILED")
    assert job["state"] == "JOB_STATE_SUCCEEDED", one.narration(name)
    (path,) = (folder / "logs" / name.rpartition("/")[2]).glob("*/stdout")
    return path.read_text()


def test_a_container_is_its_account(tmp_path: Path) -> None:
    """By the metadata server in its own network; an account of Google's is its key file, there under the same name."""
    folder, key = tmp_path / "data", tmp_path / "google.json"
    key.write_text('{"type": "authorized_user"}')
    real = "bq@corp.example"
    mapped = Credential("bq", Form.ACCOUNT, "user", email=real, key_id="k", public_key="p", google=str(key))
    CredentialFile(folder).add(mapped)
    with service(folder) as one:
        assert said(one, folder, ASKS, "trainer@corp.example") == "trainer@corp.example"
        script = 'cat "$GOOGLE_APPLICATION_CREDENTIALS"; test -z "$GCE_METADATA_HOST$STORAGE_EMULATOR_HOST"'
        assert said(one, folder, script, real) == key.read_text()
