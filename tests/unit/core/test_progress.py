"""How far a program is, from lines that trainers really print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core import progress

LINES = [
    # the documented line
    ('{"progress": 0.25, "secondsLeft": 90, "loss": 1}', 0.25, 90.0),
    ('{"progress": {"done": 30, "of": 120}}', 0.25, None),
    ('{"progress": "0.5"}', 0.5, None),
    ('{"progress": 1, "secondsLeft": -3}', 1.0, None),
    # tqdm, plain and as Hugging Face's Trainer and Lightning use it
    (" 42%|████▏     | 42/100 [00:10<00:14,  4.00it/s]", 0.42, 14.0),
    ("Loading: 100%|██████████| 3/3 [00:00<00:00, 99.1it/s]", 1.0, 0.0),
    ("  0%|          | 0/500 [00:00<?, ?it/s]", 0.0, None),
    ("download:  50%|█████     | 1.00G/2.00G [01:00<1:01:01, 16MB/s]", 0.5, 3661.0),
    ("Epoch 3/10:  50%|█████     | 16/32 [00:03<00:03,  5.3it/s, v_num=1]", 0.25, None),
    ("Epoch 3:  50%|█████     | 16/32 [00:03<00:03,  5.3it/s, v_num=1]", 0.5, 3.0),
    # Keras 2 and 3
    (" 25/100 [======>.......................] - ETA: 1:05 - loss: 0.3", 0.25, 65.0),
    ("25/100 ━━━━━━━━━━━━━━━━━━━━ 5s 10ms/step - loss: 0.3", 0.25, 5.0),
    ("100/100 ━━━━━━━━━━━━━━━━━━━━ 7s 10ms/step - loss: 0.3", 1.0, 0.0),
    # plain words
    ("epoch 9 of 20: accuracy 0.99", 0.45, None),
    ("[INFO] Step: 5/10 loss=2", 0.5, None),
    ("Round  1 of 50: 84.2%", 0.02, None),
]
NOTHING = [
    "",
    "accuracy 0.99",
    "epoch 30 of 20",
    "epoch 1 of 0",
    '{"progress": 7}',
    '{"progress": true}',
    '{"progress": null}',
    '{"progress": NaN}',
    '{"progress": {"done": 3}}',
    '{"progress": "half"}',
    '["progress"]',
    '{"progress": 0.5',
    '"progress"',
    "150%|███| 15/10 [00:01<00:01, 1it/s]",
    "10%|█ | 1.2.3/10 [00:01<00:01, 1it/s]",
    "30/20 ━━━━ 5s 10ms/step",
]


@pytest.mark.parametrize(("line", "fraction", "left"), LINES)
def test_a_line_says_how_far(line: str, fraction: float, left: float | None) -> None:
    """The share that is done, and the time left where the program says one for the whole."""
    found = progress.of_line(line)
    assert found is not None
    assert (round(found.fraction, 9), found.seconds_left) == (fraction, left)


@pytest.mark.parametrize("line", NOTHING)
def test_a_line_that_says_nothing_is_no_progress(line: str) -> None:
    """Shares beyond the whole, other JSON and ordinary words are not taken for progress."""
    assert progress.of_line(line) is None


def fraction(text: str) -> float:
    found = progress.newest(text)
    assert found is not None
    return found.fraction


def test_the_newest_line_counts() -> None:
    """Later output wins over earlier, a bar is read at its last redrawing, and silence is no progress."""
    assert fraction("epoch 1 of 4\nepoch 2 of 4\nsaving\n") == 0.5
    bars = "\r 10%|█  | 1/10 [00:01<00:09, 1it/s]\r 20%|██ | 2/10 [00:02<00:08, 1it/s]"
    assert fraction(bars) == 0.2
    assert progress.newest("") is None
    assert progress.newest("hello\nworld\n") is None


def test_a_bar_of_an_epoch_is_a_part_of_all_epochs() -> None:
    """Keras announces the epoch a line above its bar: half of the second of four is three eighths of the whole."""
    text = "Epoch 2/4\n 50/100 ━━━━━━━━━━ 5s 10ms/step - loss: 0.3"
    found = progress.newest(text)
    assert found is not None
    assert (found.fraction, found.seconds_left) == (0.375, None)
    lone = progress.newest("50/100 ━━━━━━━━━━ 5s 10ms/step - loss: 0.3")
    assert lone is not None
    assert (lone.fraction, lone.seconds_left) == (0.5, 5.0)
    assert fraction("Epoch 0/4\n" + text[10:]) == 0.5


def test_what_is_left_is_reckoned_by_the_pace_so_far() -> None:
    """A quarter in ten seconds leaves thirty; nothing done, all done and no time passed say nothing."""
    assert progress.left_at_this_pace(0.25, 10) == 30
    assert progress.left_at_this_pace(0, 10) is None
    assert progress.left_at_this_pace(1, 10) is None
    assert progress.left_at_this_pace(0.25, 0) is None


@given(st.text(max_size=400))
def test_no_output_breaks_the_reader(text: str) -> None:
    """Whatever a program prints, the answer is a share between 0 and 1 or nothing."""
    found = progress.newest(text)
    assert found is None or 0 <= found.fraction <= 1


@given(st.from_regex(r"(epoch|step)? ?[0-9]{0,30}(/| of |%\|)[0-9|. ]{0,40}\[[0-9:?<]{0,9}", fullmatch=True))
def test_no_near_miss_breaks_the_reader(text: str) -> None:
    """Nor does what almost looks like a bar."""
    found = progress.newest(text)
    assert found is None or 0 <= found.fraction <= 1
