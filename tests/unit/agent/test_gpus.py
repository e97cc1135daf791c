"""GPUs are asked through the library of the driver, here one of our own with functions of nvml.h; nobody waits long."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from trainyard.agent import gpus
from trainyard.agent.gpus import Gpus

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
static unsigned long long devices[] = {10, 20};
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
  if (index > 1) return 6;
  *device = &devices[index];
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  if (strcmp(uuid, "MIG-part")) return 6;
  *device = NULL;
  return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, nvmlUtilization_t *found) {
  const char *seconds = getenv("NVML_SLEEPS");
  if (seconds) sleep(atoi(seconds));
  if (!device) return 3;
  found->gpu = (unsigned int)*(unsigned long long *)device;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, nvmlMemory_t *found) {
  found->used = device ? *(unsigned long long *)device << 30 : 5;
  return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared library that answers as the driver's does."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    folder.joinpath("nvml.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "libnvml.so", "nvml.c"], cwd=folder, check=True)
    return folder / "libnvml.so"


@pytest.fixture(autouse=True)
def driver(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of the real one."""
    monkeypatch.setattr(gpus, "_LIBRARY", str(library))
    monkeypatch.setattr(gpus, "_PATIENCE_SECONDS", 5.0)


def test_devices_are_summed_up() -> None:
    """By index and by UUID; a part of a device has memory, and nobody knows how busy it is."""
    assert Gpus(["0", "1"]).look() == (30, 30 << 30)
    assert Gpus(["MIG-part"]).look() == (None, 5)
    assert Gpus(["1", "MIG-part"]).look() == (20, (20 << 30) + 5)
    assert Gpus(["7", "GPU-unknown"]).look() == (None, 0)


def test_the_library_is_let_go_of() -> None:
    """Closing twice, or before anything was asked, is fine."""
    found = Gpus(["0"])
    found.close()
    found.look()
    found.close()


def test_without_a_driver_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library, or one without the functions."""
    for name in ("libnosuch.so", "libc.so.6"):
        monkeypatch.setattr(gpus, "_LIBRARY", name)
        assert Gpus(["0"]).look() == (None, 0)


def test_a_driver_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known before is told, and no second thread is begun meanwhile."""
    found = Gpus(["0"])
    assert found.look() == (10, 10 << 30)
    monkeypatch.setattr(gpus, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setenv("NVML_SLEEPS", "3")
    began = time.monotonic()
    assert [found.look() for _ in range(3)] == [(10, 10 << 30)] * 3
    assert time.monotonic() - began < 2
