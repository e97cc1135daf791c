"""Keys of encryption at rest, for people: who makes, sees, rotates and destroys them, and what hears of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trainyard.core.clock import rfc3339
from trainyard.core.errors import FailedPrecondition, FieldViolation, InvalidArgument
from trainyard.core.names import KeyName, Scope
from trainyard.keyring import Key
from trainyard.service.access import Access, Caller, require
from trainyard.service.auditing import noted

if TYPE_CHECKING:
    from trainyard.audit import AuditLog
    from trainyard.core.clock import Clock
    from trainyard.keyring import Renews, Vault

VERBS: Final = ("rotate", "disable", "enable", "destroy")


class Keys:
    """Answers in JSON values. Every write is durable when it is answered, and in the audit log."""

    audit: AuditLog | None = None
    """Takes a line for every write, where it is set."""
    forget: Callable[[], None] = staticmethod(lambda: None)
    """Called when a key has gone or is back: nothing that it opens is to be remembered."""

    def __init__(self, vault: Vault, store: Renews, clock: Clock, access: Access) -> None:
        """`store` hears of keys that went or came back; only admins may do anything here."""
        self._vault = vault
        self._store = store
        self._clock = clock
        self._access = access

    async def create(self, ring: str, body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """A new key `cryptoKeyId` in a ring given by name. Raises AlreadyExists, InvalidArgument, PermissionDenied."""
        _known(body, "cryptoKeyId")
        name = KeyName.parse(f"{ring}/cryptoKeys/{body.get('cryptoKeyId', '')}")
        return await self._write("create", name, caller, partial(self._vault.create, name, self._clock.now_us()))

    async def get(self, key: str, caller: Caller) -> dict[str, Any]:
        """One key, with how many jobs are sealed under it; raises NotFound, PermissionDenied."""
        name = self._allowed("get", KeyName.parse(key), caller)
        return await asyncio.to_thread(lambda: self._shown(self._vault.key(name)))

    async def list_(self, parent: str, caller: Caller) -> list[dict[str, Any]]:
        """Every key of a project and location (`projects/*/locations/*`), destroyed ones too, by name."""
        scope = Scope.parse(parent)
        require(self._access, caller, "trainyard.keys.list", str(scope))
        listed = await asyncio.to_thread(self._vault.listed)
        return await asyncio.to_thread(lambda: [self._shown(key) for key in listed if key.name.scope == scope])

    async def change(self, verb: str, key: str, body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """Do one of VERBS to a key; `destroy` takes {"confirm": the key's name}.

        Raises NotFound, FailedPrecondition, InvalidArgument, PermissionDenied.
        """
        name = KeyName.parse(key)
        if verb != "destroy":
            _known(body)
        else:
            _known(body, "confirm")
            if body.get("confirm") != key:
                raise FailedPrecondition(
                    f"Destroying {key} makes all that is sealed with it unreadable, for ever: give its name once more "
                    'as "confirm" (trainyard keys delete --yes).'
                )
        ways: Mapping[str, Callable[[], Key]] = {
            "rotate": partial(self._vault.rotate, name, self._clock.now_us()),
            "disable": partial(self._vault.set_enabled, name, enabled=False),
            "enable": partial(self._vault.set_enabled, name, enabled=True),
            "destroy": partial(self._vault.destroy, name),
        }
        shown = await self._write(verb, name, caller, ways[verb])
        if verb != "rotate":
            await self._store.renew(await asyncio.to_thread(self._vault.owners, name))
            self.forget()
        return shown

    async def _write(self, verb: str, name: KeyName, caller: Caller, work: Callable[[], Key]) -> dict[str, Any]:
        with noted(self.audit, self._clock, caller, f"keys.{verb}", str(name)):
            self._allowed(verb, name, caller)
            return await asyncio.to_thread(lambda: self._shown(work()))

    def _allowed(self, verb: str, name: KeyName, caller: Caller) -> KeyName:
        require(self._access, caller, f"trainyard.keys.{verb}", str(name.scope))
        return name

    def _shown(self, key: Key) -> dict[str, Any]:
        use = self._vault.use_of(key.name)
        return {
            "name": str(key.name),
            "state": str(key.state),
            "createTime": rfc3339(key.create_time_us),
            "primaryVersion": key.versions[-1] if key.versions else None,
            "jobs": use.jobs,
            "openJobs": use.open_jobs,
            "outputs": use.outputs,
        }


def _known(body: Mapping[str, Any], *names: str) -> None:
    for name in body:
        if name not in names:
            sentence = f"There is no field {name!r} here; there is {', '.join(names) or 'none'}."
            raise InvalidArgument.found([FieldViolation(name, sentence)])
