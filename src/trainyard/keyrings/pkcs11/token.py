"""One token, by PKCS#11: it makes secret keys that never leave it, and answers with their HMAC-SHA256.

Nothing but this module speaks to it, one call at a time, since a library need not bear two. What breaks (a session
that is gone, a service of the token that was restarted) is opened anew once; then it is an error that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, TypeVar

import pkcs11
from pkcs11.exceptions import (
    FunctionNotSupported,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    RandomNoRNG,
    UserAlreadyLoggedIn,
    UserPinNotInitialized,
)

from trainyard.core.errors import Unavailable
from trainyard.keyrings.pkcs11.pin import Pin
from trainyard.keyrings.pkcs11.place import Place
from trainyard.store import StoreError

_KEY_BITS: Final = 256
_NEEDED: Final = (pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN, pkcs11.Mechanism.SHA256_HMAC)
_Answer = TypeVar("_Answer")


class Token:
    """The keys in it are told apart by their labels, which are never given twice."""

    def __init__(self, place: Place, pin: Pin) -> None:
        """Opens it. Raises StoreError that says what has to be set otherwise."""
        self._place = place
        self._pin = pin
        self._lock = threading.RLock()
        self._open_session: pkcs11.Session | None = None
        try:
            self._session()
        except PKCS11Error as error:
            raise StoreError(f"key_ring: {broken(self._place, error)}") from error

    def close(self) -> None:
        """Log out, and let go of the token."""
        with self._lock:
            self._drop()

    def generate(self, label: str) -> None:
        """A new secret key of this label, made in the token; durable when it returns. Raises Unavailable."""

        def work(session: pkcs11.Session) -> None:
            _destroy(session, label)  # of a first try whose answer did not arrive
            session.generate_key(
                pkcs11.KeyType.GENERIC_SECRET,
                _KEY_BITS,
                label=label,
                store=True,
                capabilities=pkcs11.MechanismFlag.SIGN,
                mechanism=pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN,
                template={
                    pkcs11.Attribute.PRIVATE: True,
                    pkcs11.Attribute.SENSITIVE: True,
                    pkcs11.Attribute.EXTRACTABLE: False,
                    pkcs11.Attribute.MODIFIABLE: False,
                },
            )

        self._do(work)

    def destroy(self, label: str) -> None:
        """No key of this label is in the token any more; may be repeated. Raises Unavailable."""
        self._do(lambda session: _destroy(session, label), good=bool)

    def mac(self, label: str, content: bytes) -> bytes | None:
        """HMAC-SHA256 of the content with the key of this label; None where there is none. Raises Unavailable."""

        def work(session: pkcs11.Session) -> bytes | None:
            for key in _found(session, label):
                assert isinstance(key, pkcs11.SignMixin)  # it was made for that
                return bytes(key.sign(content, mechanism=pkcs11.Mechanism.SHA256_HMAC))
            return None

        return self._do(work, good=bool)

    def holds_any(self, labels: Iterable[str]) -> bool:
        """Whether a key of one of these labels is there. Raises Unavailable."""
        return self._do(lambda session: any(_found(session, label) for label in labels))

    def _do(
        self, work: Callable[[pkcs11.Session], _Answer], good: Callable[[_Answer], bool] = lambda _: True
    ) -> _Answer:
        """Once more over a new session where the first broke, or where it may not have seen what is there.

        One that was logged out, or whose token was taken away, can find nothing and report no error.
        """
        with self._lock:
            try:
                answer = work(self._session())
                if good(answer):
                    return answer
            except PKCS11Error:
                pass
            except StoreError as error:
                raise Unavailable(str(error)) from error
            self._drop()
            try:
                return work(self._session())
            except PKCS11Error as error:
                self._drop()
                raise Unavailable(broken(self._place, error)) from error
            except StoreError as error:
                raise Unavailable(str(error)) from error

    def _session(self) -> pkcs11.Session:
        if self._open_session is None:
            try:
                self._open_session = self._logged_in()
            except BaseException:
                self._drop()  # many libraries look for tokens once, when they are initialised
                raise
        return self._open_session

    def _logged_in(self) -> pkcs11.Session:
        token = find(self._place)
        try:
            return token.open(rw=True, user_pin=self._pin.read(token.serial.decode("utf-8", "replace")))
        except UserAlreadyLoggedIn:  # by another ring of this process; one login is for all sessions
            return token.open(rw=True)
        except (PinIncorrect, PinInvalid, PinLenRange) as error:
            raise self._pin.refused() from error
        except (PinLocked, PinExpired, UserPinNotInitialized) as error:
            raise _unusable(self._place, _name(error)) from error

    def _drop(self) -> None:
        session, self._open_session = self._open_session, None
        with suppress(PKCS11Error):
            if session is not None:
                session.close()
        let_go(self._place)


def find(place: Place) -> pkcs11.Token:
    """The token, without logging in. Raises StoreError where there is none, or not as keys need it; PKCS11Error."""
    module = str(place.module)
    try:
        library = pkcs11.lib(module)
    except PKCS11Error as error:
        raise StoreError(
            f"key_ring: the PKCS#11 library {module} cannot be used ({_name(error)}). Give the path of your "
            "token's own by module-path, and start the service that it needs."
        ) from error
    tokens = [each for each in library.get_tokens() if pkcs11.TokenFlag.TOKEN_INITIALIZED in each.flags]
    found = [each for each in tokens if place.token in ("", each.label) and place.serial.encode() in (b"", each.serial)]
    if len(found) != 1:
        seen = ", ".join(f"token={each.label};serial={each.serial.decode(errors='replace')}" for each in tokens)
        raise StoreError(
            f"key_ring: {len(found) or 'no'} tokens of {module} are {place.which}; there are: {seen or 'none'}. "
            "Connect it, start its service, or name exactly one by token= and serial=."
        )
    _check(found[0], place)
    return found[0]


def broken(place: Place, error: PKCS11Error) -> str:
    """One sentence for an error of which nothing more is known."""
    return (
        f"The token {place.which} of {place.module}, which holds the keys, cannot be used now "
        f"({_name(error)}). Connect it or start its service; then try again."
    )


def let_go(place: Place) -> None:
    """End all that this process has open in the library; what comes next begins anew."""
    with suppress(PKCS11Error):
        pkcs11.lib(str(place.module)).finalize()


def _check(token: pkcs11.Token, place: Place) -> None:
    lacking = [f"CKM_{each.name}" for each in _NEEDED if each not in token.slot.get_mechanisms()]
    if lacking:
        raise StoreError(
            f"key_ring: the token {place.which} has no {' and no '.join(lacking)}, which keys need. Allow it "
            "in the token's policy, or use another token."
        )
    if pkcs11.TokenFlag.USER_PIN_LOCKED in token.flags:
        raise _unusable(place, "PinLocked")
    if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in token.flags:
        raise StoreError(
            f"key_ring: the token {place.which} takes one more PIN before it locks, which is not risked. "
            "Log in to it once with the right one (pkcs11-tool --login --list-objects), and start again."
        )


def _unusable(place: Place, name: str) -> StoreError:
    return StoreError(
        f"key_ring: the token {place.which} takes no PIN of its user ({name}). Set one as its security "
        f"officer (pkcs11-tool --init-pin), and write it to {place.pin_file}."
    )


def _found(session: pkcs11.Session, label: str) -> list[pkcs11.SecretKey]:
    with suppress(RandomNoRNG, FunctionNotSupported):
        session.generate_random(64)  # raises where the session is gone; a search would leave its lock to the collector
    wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.LABEL: label}
    return [each for each in session.get_objects(wanted) if isinstance(each, pkcs11.SecretKey)]


def _destroy(session: pkcs11.Session, label: str) -> int:
    found = _found(session, label)
    for key in found:
        key.destroy()
    return len(found)


def _name(error: PKCS11Error) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
