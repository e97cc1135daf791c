"""Samples as people see them: rates between them, the newest, the peaks."""

from __future__ import annotations

from trainyard.core.usage_records import Sample
from trainyard.service.run_usage import of_samples

SECOND = 1_000_000


def test_counts_become_rates_and_levels_stay() -> None:
    """A rate is the mean since the sample before; the peak is over all samples, also those that are thinned out."""
    found = [
        Sample(10 * SECOND),
        Sample(20 * SECOND, 20 * SECOND, 500, 1000, 0, 0, 3),
        Sample(30 * SECOND, 25 * SECOND, 900, 1000, 40, 0, 2),
        Sample(40 * SECOND, 26 * SECOND, 100, 1500, 40, 0, 1),
    ]
    shown = of_samples(iter(found), 2)
    assert shown["samples"] == 3
    assert (shown["cpuSeconds"], shown["diskReadBytes"], shown["diskWriteBytes"]) == (26.0, 1500, 40)
    assert shown["newest"] == {
        "time": "1970-01-01T00:00:40Z",
        "cpuCores": 0.1,
        "diskReadBytesPerSecond": 50.0,
        "diskWriteBytesPerSecond": 0.0,
        "memoryBytes": 100,
        "processes": 1,
    }
    assert shown["peak"] == {
        "cpuCores": 2.0,
        "diskReadBytesPerSecond": 100.0,
        "diskWriteBytesPerSecond": 4.0,
        "memoryBytes": 900,
        "processes": 3,
    }
    assert [point["cpuCores"] for point in shown["points"]] == [round(26 / 30, 3)]


def test_gpus_are_shown_where_there_are_some() -> None:
    """Per cent and memory; memory alone where the driver does not say how busy a device is (MIG)."""
    busy = of_samples(iter([Sample(1), Sample(2, gpu_memory_bytes=7, gpu_percent=150)]), 10)["newest"]
    assert (busy["gpuPercent"], busy["gpuMemoryBytes"]) == (150, 7)
    part = of_samples(iter([Sample(1), Sample(2, gpu_memory_bytes=7)]), 10)["newest"]
    assert "gpuPercent" not in part
    assert part["gpuMemoryBytes"] == 7


def test_nothing_sampled_is_nothing_shown() -> None:
    """An empty file, or one with its first record alone, has neither newest values nor peaks."""
    for found in ([], [Sample(5)]):
        shown = of_samples(iter(found), 10)
        assert (shown["samples"], shown["newest"], shown["peak"], shown["points"]) == (0, None, None, [])
