"""What pauses teach: the window, the studies that it rests on, and what it would have done; by hand and for any history."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.arrival import FEWEST, LAST, ArrivalGap, StudyGap, WindowBounds, by_study, learn, rehearse, window_for

BOUNDS = WindowBounds(quiet=timedelta(seconds=10), least=timedelta(seconds=2), most=timedelta(seconds=30))


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _studies(*gaps_s: float) -> list[StudyGap]:
    return [StudyGap(study_instance_uid=f"1.{number}", largest=_s(gap)) for number, gap in enumerate(gaps_s)]


def _came(study: str, largest: float, after: float | None = None) -> ArrivalGap:
    late = None if after is None else _s(after)
    return ArrivalGap(study_instance_uid=study, series_instance_uid=None, largest=_s(largest), after=late)


@pytest.mark.parametrize(
    ("largest_s", "window_s"),
    [(0.5, 2), (1.2, 2), (1.4, 2.1), (4, 6), (20, 30), (29, 30)],
)
def test_the_window_is_half_as_long_again_as_the_largest_gap_within_the_bounds(largest_s: float, window_s: float) -> None:
    """Of 300 studies one paused for so long, and the others for half a second."""
    learned = learn(_studies(largest_s, *[0.5] * 299), BOUNDS)
    assert learned.window == _s(window_s)
    assert learned.longest is not None
    assert learned.longest.largest == _s(largest_s)


def test_nothing_is_learned_from_too_few() -> None:
    """299 studies say what their largest gap is, and no window; the 300th makes one."""
    few = learn(_studies(*[3.0] * 299), BOUNDS)
    assert (few.window, few.studies, few.longest and few.longest.largest) == (None, 299, _s(3))
    assert learn(_studies(*[3.0] * 300), BOUNDS).window == _s(4.5)
    assert learn([], BOUNDS).longest is None


def test_a_pause_is_forgotten_behind_a_thousand_studies() -> None:
    """A sender that was slow once is waited for less in the end."""
    assert learn(_studies(8, *[1.0] * 999), BOUNDS).window == _s(12)
    assert learn(_studies(8, *[1.0] * 1000), BOUNDS).window == _s(2)


def test_a_late_instance_is_a_gap_of_its_study_and_an_addition_of_tomorrow_is_none() -> None:
    """What a revision healed counts; what came after longer than any window may be does not, and is told apart."""
    gaps = by_study([_came("1.1", 2), _came("1.2", 1), _came("1.1", 0, 12), _came("1.2", 3, 86_400)], BOUNDS)
    assert gaps == [
        StudyGap(study_instance_uid="1.1", largest=_s(12)),
        StudyGap(study_instance_uid="1.2", largest=_s(3), additions=1),
    ]
    assert learn(gaps, BOUNDS).additions == 1


def test_the_rehearsal_judges_each_study_by_what_was_known_before_it() -> None:
    """300 studies pause for 2 s (window 3 s). Then one for 4 s is closed early and teaches 6 s, in which the next one of 5 s lies; one of
    12 s is early by both windows."""
    done = rehearse(_studies(*[2.0] * 300, 4, 5, 12), BOUNDS)
    assert (done.studies, done.early, done.early_configured) == (3, 2, 1)
    assert list(done.waits) == [_s(3), _s(6), _s(7.5)]
    assert rehearse(_studies(*[2.0] * 300), BOUNDS).studies == 0


_PAUSES = st.lists(
    st.integers(min_value=0, max_value=40_000).map(lambda ms: timedelta(milliseconds=ms)), min_size=FEWEST, max_size=FEWEST + 20
)


@settings(max_examples=30, deadline=None)
@given(_PAUSES, st.integers(min_value=0, max_value=FEWEST - 1), st.integers(min_value=0, max_value=30_000))
def test_for_any_history_the_window_bridges_what_it_was_learned_from(pauses: list[timedelta], which: int, longer_ms: int) -> None:
    """It lies within the bounds, no pause that may be waited for is longer, and a longer pause makes no window shorter."""
    arrivals = [
        ArrivalGap(study_instance_uid=f"1.{number}", series_instance_uid=None, largest=pause) for number, pause in enumerate(pauses)
    ]
    studies = by_study(arrivals, BOUNDS)
    window = learn(studies, BOUNDS).window
    assert window is not None
    assert BOUNDS.least <= window <= BOUNDS.most
    assert all(one.largest <= window for one in studies)
    longer = min(BOUNDS.most, studies[which].largest + timedelta(milliseconds=longer_ms))
    studies[which] = StudyGap(study_instance_uid=studies[which].study_instance_uid, largest=longer)
    after = learn(studies, BOUNDS).window
    assert after is not None
    assert after >= window


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=30_000), min_size=FEWEST, max_size=FEWEST + 40))
def test_for_any_history_the_rehearsal_agrees_with_learning_study_by_study(pauses_ms: list[int]) -> None:
    """Counted anew for each study from all before it, the windows and the early ones are the same."""
    studies = _studies(*(ms / 1000 for ms in pauses_ms))
    windows = [window_for(max(one.largest for one in studies[:number]), BOUNDS) for number in range(FEWEST, len(studies))]
    done = rehearse(studies, BOUNDS)
    assert list(done.waits) == windows
    assert done.early == sum(one.largest > window for one, window in zip(studies[FEWEST:], windows, strict=True))


def test_no_more_studies_count_than_are_said() -> None:
    """What stands in the reference."""
    assert (FEWEST, LAST) == (300, 1000)
