"""Keys and what they seal: made, used, rotated, disabled, destroyed, each durable and each told in one sentence."""

from __future__ import annotations

import base64
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainyard.core.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound, Unavailable
from trainyard.core.names import KeyName, Scope
from trainyard.keyring import MARK, KeyState, KeyUse, Opened, Output
from trainyard.keyrings.local.ring import LocalKeyRing, open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.store import StoreError

SCOPE = Scope.of("demo", "us-central1")
NAME = KeyName(SCOPE, "ring", "key")
OTHER = KeyName(SCOPE, "ring", "other")


class Crash(Exception):
    """Stands for the end of the process at this point."""


def opened(directory: Path) -> DataVault:
    """The vault of a directory, as a process that starts finds it."""
    return DataVault(directory, open_ring(directory))


@pytest.fixture
def vault(tmp_path: Path) -> DataVault:
    """A vault with one key and the data key of job 7."""
    vault = opened(tmp_path)
    vault.create(NAME, 1)
    vault.admit(7, SCOPE, str(NAME))
    return vault


def test_what_is_sealed_opens_after_a_restart(tmp_path: Path, vault: DataVault) -> None:
    """Text and bytes alike, with the owner; and the bytes at rest have nothing of it."""
    text, spec = vault.seal(7, "the secret sentence"), vault.seal(7, b"the secret spec", b"outline")
    assert text.startswith(MARK)
    assert spec.startswith(MARK)
    assert b"secret" not in text + spec
    again = opened(tmp_path)
    assert again.in_use
    assert again.opened(text) == "the secret sentence"
    found = again.opened(spec)
    assert isinstance(found, Opened)
    assert (found, found.owner, found.locked) == (b"the secret spec", 7, "")


@pytest.mark.parametrize("at", [5, 13, 14, 16, 30, -1])
def test_a_changed_value_is_found(vault: DataVault, at: int) -> None:
    """Wherever a bit was changed it is refused, or no key is found for it; other content never comes out."""
    value = bytearray(vault.seal(7, b"content", b"outline"))
    value[at] ^= 1
    if at == 5:
        assert vault.opened(bytes(value)) == b"outline"
    else:
        with pytest.raises(Internal, match="damaged or changed"):
            vault.opened(bytes(value))


@pytest.mark.parametrize("size", [5, 15, 16, 23, 40])
def test_a_value_that_was_cut_off_is_found(vault: DataVault, size: int) -> None:
    """Within its head, its outline or its content."""
    value = vault.seal(7, b"content", b"outline")
    assert len(value) > 40
    with pytest.raises(Internal, match="damaged or changed"):
        vault.opened(value[:size])


def test_a_key_that_is_not_there_is_refused(vault: DataVault) -> None:
    """By the field's name, with the command that makes the key."""
    with pytest.raises(NotFound, match=r"encryptionSpec.kmsKeyName: The key .*other does not exist.*trainyard keys"):
        vault.admit(8, SCOPE, str(OTHER))
    for ask in (vault.key, vault.destroy, lambda name: vault.set_enabled(name, enabled=True)):
        with pytest.raises(NotFound, match="does not exist"):
            ask(OTHER)
    with pytest.raises(NotFound, match="does not exist"):
        vault.rotate(OTHER, 2)


def test_a_key_of_another_region_is_refused(vault: DataVault) -> None:
    """As the original does: the key is in the job's region."""
    with pytest.raises(InvalidArgument, match="region europe-west4"):
        vault.admit(8, Scope.of("demo", "europe-west4"), str(NAME))


def test_a_name_is_given_once(tmp_path: Path, vault: DataVault) -> None:
    """Also after its key was destroyed."""
    with pytest.raises(AlreadyExists):
        vault.create(NAME, 2)
    vault.destroy(NAME)
    with pytest.raises(AlreadyExists):
        opened(tmp_path).create(NAME, 3)


def test_a_rotation_keeps_what_was_sealed(tmp_path: Path, vault: DataVault) -> None:
    """The old version is gone, the data key is the same, wrapped by the new one."""
    value = vault.seal(7, "told")
    assert vault.rotate(NAME, 2).versions == (2,)
    assert opened(tmp_path).opened(value) == "told"
    assert opened(tmp_path).rotate(NAME, 3).versions == (3,)
    assert opened(tmp_path).opened(value) == "told"


@pytest.mark.parametrize("step", ["add_version", "unwrap", "keep_newest"])
def test_a_rotation_that_was_killed_is_brought_to_its_end(
    tmp_path: Path, vault: DataVault, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed after any of its steps: nothing is lost, and the next start finishes it."""
    value = vault.seal(7, "told")

    def killed(*_: object) -> object:
        raise Crash

    done = LocalKeyRing.add_version

    def killed_after(self: LocalKeyRing, name: KeyName, now_us: int) -> object:
        done(self, name, now_us)
        raise Crash

    fresh = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(LocalKeyRing, step, killed_after if step == "add_version" else killed)
        with pytest.raises(Crash):
            fresh.rotate(NAME, 2)
    again = opened(tmp_path)
    assert again.key(NAME).versions == (2,)
    assert again.opened(value) == "told"


def test_a_disabled_key_locks_until_it_is_enabled(tmp_path: Path, vault: DataVault) -> None:
    """Nothing opens, nothing is sealed, the outline is shown; enabled again, all is as before."""
    spec, text = vault.seal(7, b"spec", b"outline"), vault.seal(7, "told", b"-")
    with pytest.raises(FailedPrecondition, match=r"in use by 1 job\(s\)"):
        vault.set_enabled(NAME, enabled=False)
    vault.all_sealed(7)
    assert vault.set_enabled(NAME, enabled=False).state is KeyState.DISABLED
    for one in (vault, opened(tmp_path)):
        assert (one.opened(spec), one.opened(text)) == (b"outline", "-")
        assert "is disabled. Enable it: trainyard keys enable ring/key" in one.why_locked(7)
        with pytest.raises(FailedPrecondition, match="disabled"):
            one.seal(7, "more")
        with pytest.raises(FailedPrecondition, match="encryptionSpec"):
            one.admit(8, SCOPE, str(NAME))
    vault.set_enabled(NAME, enabled=True)
    assert vault.opened(spec) == b"spec"
    assert vault.why_locked(7) == ""


def test_a_destroyed_key_takes_everything_with_it(tmp_path: Path, vault: DataVault) -> None:
    """No restart, no enabling brings it back; its wrapped keys are gone from the files, too."""
    value = vault.seal(7, b"spec", b"outline")
    wrapped = [row[0] for row in vault._tables.rows("SELECT wrapped FROM data_key")]
    with sqlite3.connect(tmp_path / "ring.db") as ring:
        material = [row[0] for row in ring.execute("SELECT material FROM version")]
    ring.close()
    key = vault.destroy(NAME)
    assert (key.state, key.versions, vault.owners(NAME)) == (KeyState.DESTROYED, (), (7,))
    assert vault.opened(value) == b"outline"
    assert "is destroyed" in vault.why_locked(7)
    with pytest.raises(FailedPrecondition, match="destroyed"):
        vault.set_enabled(NAME, enabled=True)
    with pytest.raises(FailedPrecondition, match="destroyed"):
        vault.rotate(NAME, 2)
    at_rest = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(secret in at_rest for secret in (*wrapped, *material))
    assert opened(tmp_path).opened(value) == b"outline"


def test_a_destruction_that_was_killed_is_brought_to_its_end(
    tmp_path: Path, vault: DataVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes first: whatever is left to do is done by the next start."""
    with monkeypatch.context() as patch:
        patch.setattr(DataVault, "_shred", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            vault.destroy(NAME)
    again = opened(tmp_path)
    assert "destroyed" in again.why_locked(7)
    assert again._tables.rows("SELECT wrapped FROM data_key") == [(None,)]


def test_owners_are_pending_until_all_is_sealed(tmp_path: Path, vault: DataVault) -> None:
    """Also over a restart; a dropped one is forgotten with its key."""
    vault.admit(8, SCOPE, str(NAME))
    assert opened(tmp_path).pending() == (7, 8)
    assert vault.use_of(NAME) == KeyUse(2, 2)
    vault.all_sealed(7)
    assert vault.use_of(NAME) == KeyUse(2, 1)
    value = vault.seal(8, b"spec", b"outline")
    vault.drop(8)
    assert (vault.pending(), opened(tmp_path).pending()) == ((), ())
    assert vault.opened(value) == b"outline"
    assert "data key of job 8" in vault.why_locked(8)


def test_a_file_is_sealed_whole_or_not_at_all(tmp_path: Path, vault: DataVault) -> None:
    """After a crash before, between and after its steps it is sealed once, byte for byte, and the plain one is gone."""
    plain = tmp_path / "stdout"
    plain.write_bytes(b"line\n" * 50_000)
    (tmp_path / "stdout.sealing").write_bytes(b"half of an earlier try")
    vault.seal_file(7, str(plain))
    assert vault.size_of(str(plain)) == 250_000
    assert vault.read_file(str(plain), 131_070, 10) == (b"line\n" * 50_000)[131_070:131_080]
    assert sorted(path.name for path in tmp_path.iterdir() if "std" in path.name) == ["stdout.sealed"]
    vault.seal_file(7, str(plain))  # said twice
    plain.write_bytes(b"not unlinked before the crash")
    vault.seal_file(7, str(plain))
    assert not plain.exists()
    assert vault.size_of(str(plain)) == 250_000
    with pytest.raises(FileNotFoundError):
        vault.size_of(str(tmp_path / "stderr"))


def test_a_master_key_that_is_not_the_one_stops_the_start(tmp_path: Path, vault: DataVault) -> None:
    """Missing, open to others, of no form or another one: each is told, and no new one is made in its place."""
    master = tmp_path / "master.key"
    right = master.read_bytes()
    assert master.stat().st_mode & 0o777 == 0o600
    for wrong, told in (
        (b"AAAA\n", "no master key"),
        (b"\xff", "cannot be read"),
        (base64.b64encode(bytes(32)), "not the one"),
    ):
        master.write_bytes(wrong)
        with pytest.raises(StoreError, match=told):
            opened(tmp_path)
    master.write_bytes(right)
    master.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        opened(tmp_path)
    master.unlink()
    with pytest.raises(StoreError, match="Bring the file back"):
        opened(tmp_path)
    assert not master.exists()


def test_a_master_key_may_lie_elsewhere(tmp_path: Path) -> None:
    """It is made where the settings say, or taken from there, and nothing of it is beside the keys."""
    elsewhere = tmp_path / "stick" / "master"
    vault = DataVault(tmp_path / "keys", open_ring(tmp_path / "keys", elsewhere))
    vault.create(NAME, 1)
    assert sorted(path.name for path in elsewhere.parent.iterdir()) == ["master"]
    assert not (tmp_path / "keys" / "master.key").exists()
    second = DataVault(tmp_path / "more", open_ring(tmp_path / "more", elsewhere))
    second.create(OTHER, 1)
    assert [key.name for key in second.listed()] == [OTHER]
    (tmp_path / "file").write_text("")
    third = DataVault(tmp_path / "third", open_ring(tmp_path / "third", tmp_path / "file" / "master"))
    with pytest.raises(Unavailable, match="master_key_file"):
        third.create(OTHER, 1)


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """With the way out: a damaged file at the start, one that cannot be written when somebody wants a key."""
    (tmp_path / "keys").write_text("")
    with pytest.raises(Unavailable, match="cannot be written now"):
        DataVault(tmp_path / "keys", open_ring(tmp_path / "keys", tmp_path / "master")).create(NAME, 1)
    (tmp_path / "ring.db").write_bytes(b"no SQLite file at all" * 100)
    with pytest.raises(StoreError, match="holds keys, can't be used"):
        open_ring(tmp_path)


def test_a_service_without_keys_leaves_no_file(tmp_path: Path) -> None:
    """Nothing is made before somebody wants a key, so nothing can go wrong at a start on a full disk."""
    vault = opened(tmp_path / "keys")
    assert (vault.listed(), vault.pending(), vault.owners(), vault.in_use) == ((), (), (), False)
    assert vault.use_of(NAME) == KeyUse(0, 0)
    vault.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "projects/p/locations/l/keyRings/r/cryptoKeys/", "projects/p/locations/l/keyRings/a b/cryptoKeys/k"]
)
def test_what_is_no_name_of_a_key_is_refused(text: str) -> None:
    """A sentence with the form, or with the part that cannot be."""
    with pytest.raises(InvalidArgument):
        KeyName.parse(text)


def test_rotations_at_once_lose_no_data_key(tmp_path: Path, vault: DataVault) -> None:
    """However they meet each other, and jobs that are admitted meanwhile: after a restart everything opens."""

    def rotate(number: int) -> list[bytes]:
        sealed = []
        for owner in range(100 * number, 100 * number + 3):
            vault.admit(owner, SCOPE, str(NAME))
            sealed.append(vault.seal(owner, b"content"))
            vault.rotate(NAME, owner)
        return sealed

    with ThreadPoolExecutor(8) as pool:
        sealed = [value for values in pool.map(rotate, range(1, 5)) for value in values]
    again = opened(tmp_path)
    assert [again.opened(value) for value in sealed] == [b"content"] * 12
    assert again.key(NAME).versions == (13,)
    assert len(again.pending()) == len(vault.pending()) == 13


def test_a_slow_rotation_holds_up_nobody(tmp_path: Path, vault: DataVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a token takes its time, others get their keys, new jobs are admitted, and what is dropped stays dropped."""
    values = {owner: vault.seal(owner, b"content") for owner in (7, *admitted(vault, range(100, 110)))}
    real, turned, go_on = LocalKeyRing.wrap, threading.Event(), threading.Event()

    def slow(self: LocalKeyRing, name: KeyName, content: bytes, context: bytes) -> tuple[int, bytes]:
        if not turned.is_set():
            turned.set()
            assert go_on.wait(60)
        return real(self, name, content, context)

    fresh = opened(tmp_path)
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(LocalKeyRing, "wrap", slow)
        rotation = pool.submit(fresh.rotate, NAME, 2)
        try:
            assert turned.wait(60)
            assert fresh.opened(values[109]) == b"content"
            fresh.admit(200, SCOPE, str(NAME))
            fresh.drop(100)
            assert not fresh.is_shredded(101)
        finally:
            go_on.set()
        assert rotation.result(60).versions == (2,)
    again = opened(tmp_path)
    assert again.owners() == (7, *range(101, 110), 200)
    assert all(again.opened(values[owner]) == b"content" for owner in (7, *range(101, 110)))


def test_a_key_destroyed_while_it_is_rotated_is_gone(
    tmp_path: Path, vault: DataVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rotation says so, and brings no data key back."""
    real = LocalKeyRing.wrap

    def late(self: LocalKeyRing, name: KeyName, content: bytes, context: bytes) -> tuple[int, bytes]:
        wrapped = real(self, name, content, context)
        vault.destroy(NAME)
        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(LocalKeyRing, "wrap", late)
        with pytest.raises(FailedPrecondition, match="is destroyed"):
            vault.rotate(NAME, 2)
    assert vault.is_shredded(7)
    assert "is destroyed" in opened(tmp_path).why_locked(7)


def admitted(vault: DataVault, owners: Iterable[int]) -> Iterator[int]:
    """Each of these, once it has a data key."""
    for owner in owners:
        vault.admit(owner, SCOPE, str(NAME))
        yield owner


def test_no_job_is_admitted_under_a_key_that_goes(tmp_path: Path, vault: DataVault) -> None:
    """Whoever comes while it is destroyed gets in before, and is shredded with the rest, or is refused."""

    def admit(owner: int) -> bool:
        try:
            vault.admit(owner, SCOPE, str(NAME))
        except FailedPrecondition:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(admit, owner) for owner in range(100, 120)]
        vault.destroy(NAME)
        admitted = [100 + number for number, each in enumerate(tries) if each.result()]
    assert vault.owners(NAME) == (7, *admitted)
    for each in (vault, opened(tmp_path)):
        assert all("is destroyed" in each.why_locked(owner) for owner in (7, *admitted))
        assert each._tables.rows("SELECT DISTINCT wrapped FROM data_key") == [(None,)]


def test_outputs_have_a_data_key_that_outlives_their_job(tmp_path: Path, vault: DataVault) -> None:
    """It is noted, counted and pending until it is all sealed, rotated with the others, and goes with the named key."""
    vault.expect_output(7, 7, "gs://b/1/", 5)
    vault.expect_output(7, 8, "gs://b/2/", 6)
    vault.expect_output(7, 8, "gs://b/2/", 6)
    vault.rotate(NAME, 2)
    vault = opened(tmp_path)
    assert vault.outputs() == (Output(7, -7, "gs://b/1/", 5), Output(8, -7, "gs://b/2/", 6))
    assert vault.pending() == vault.owners() == (7,)
    assert vault.key_of(-7) == str(NAME)
    assert vault.use_of(NAME) == KeyUse(1, 1, 1)
    vault.all_sealed(7)
    vault.output_sealed(7)
    vault.drop(7)
    assert vault.use_of(NAME) == KeyUse(0, 1, 1)
    vault.output_sealed(8)
    assert opened(tmp_path).outputs() == vault.outputs() == ()
    assert vault.use_of(NAME) == KeyUse(0, 0, 1)
    assert not vault.why_locked(-7)
    vault.destroy(NAME)
    assert vault.is_shredded(-7)
    assert "is destroyed" in vault.why_locked(-7)
    with pytest.raises(NotFound, match="job 9 is not in the directory"):
        vault.expect_output(9, 9, "gs://b/", 1)
