"""Records of what a replica used come back as they were written, and a torn file costs no more than its torn part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.usage_records import RECORD, Sample, packed, samples

_SIZES = st.integers(0, 2**64 - 1)
_SAMPLES = st.builds(
    Sample,
    st.integers(1, 253_402_300_799_999_999),
    _SIZES,
    _SIZES,
    _SIZES,
    _SIZES,
    _SIZES,
    st.integers(0, 2**32 - 1),
    st.none() | st.integers(0, 2**32 - 2),
)


@given(st.lists(_SAMPLES), st.binary(max_size=RECORD.size - 1))
def test_what_is_written_is_read(written: list[Sample], torn: bytes) -> None:
    """Every sample, in order; a torn record behind them counts as none."""
    assert list(samples(b"".join(map(packed, written)) + torn)) == written


def test_what_a_power_cut_leaves_is_no_sample() -> None:
    """A record without content, or with a time that no clock shows, is left out; those around it are not."""
    early, late = packed(Sample(1)), packed(Sample(2))
    assert [one.time_us for one in samples(early + bytes(RECORD.size) + b"\xff" * RECORD.size + late)] == [1, 2]
