"""Every replica sees each bucket as /gcs/<bucket>: the same files, in a mount namespace that the spawner makes once.

Agents and programs inherit the namespace, so a start costs nothing more. Nothing of the machine is changed: where
there is no /gcs to mount over, the root of the namespace is a small read-only directory that holds every entry of the
real root, and /gcs beside them. Mounts that the machine makes later appear inside too (they propagate one way).
"""

from __future__ import annotations

import ctypes
import os

GCS = "gcs"
_NEW_NAMESPACE, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER (sched.h)
_READ_ONLY, _REMOUNT, _BIND, _REC = 0x1, 0x20, 0x1000, 0x4000  # MS_… (sys/mount.h)
_UNBINDABLE, _SLAVE = 1 << 17, 1 << 19
_DETACH = 0x2  # MNT_DETACH
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "loongarch64": 41}
_libc = ctypes.CDLL(None, use_errno=True)


def show_buckets(buckets: str, scratch: str) -> None:
    """Make `buckets` visible at /gcs for this process and its children. Both directories exist; `scratch` is empty.

    Raises OSError where the kernel or its policy does not let us; what we see is then what we saw before.
    """
    _own_namespace()
    _mount(None, "/", _REC | _SLAVE)
    if os.path.isdir(f"/{GCS}"):
        _mount(buckets, f"/{GCS}", _BIND | _REC)
    else:
        _new_root(buckets, scratch)


def _own_namespace() -> None:
    """A mount namespace; who may not make one makes it inside a user namespace in which they stay who they are."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _libc.unshare(_NEW_NAMESPACE) == 0:
        return
    _call(_libc.unshare(_NEW_NAMESPACE | _NEW_USER), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _new_root(buckets: str, scratch: str) -> None:
    """A root that holds what the real one holds, and /gcs; the real one is let go of (pivot_root(2), last example)."""
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"the number of pivot_root is not known for {os.uname().machine}")
    _mount("tmpfs", scratch, 0, "tmpfs", b"mode=755,size=1m")
    _mount(None, scratch, _UNBINDABLE)  # or binding the directory that holds it would hold it again
    for entry in os.scandir("/"):
        _take_over(entry, f"{scratch}/{entry.name}")
    os.mkdir(f"{scratch}/{GCS}", 0o755)
    _mount(buckets, f"{scratch}/{GCS}", _BIND | _REC)
    _mount(None, scratch, _REMOUNT | _BIND | _READ_ONLY)
    os.chdir(scratch)
    _call(_libc.syscall(number, b".", b"."), "pivot_root")
    _call(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _take_over(entry: os.DirEntry[str], target: str) -> None:
    """One entry of the real root, as it is."""
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
        return
    if entry.is_dir():
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    _mount(entry.path, target, _BIND | _REC)


def _mount(source: str | None, target: str, flags: int, kind: str | None = None, options: bytes | None = None) -> None:
    path = os.fsencode(source) if source else None
    done = _libc.mount(path, os.fsencode(target), kind and kind.encode(), ctypes.c_ulong(flags), options)
    _call(done, f"mount at {target}")


def _call(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
