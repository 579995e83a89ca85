"""Models and figures of survival against lifelines on published tables, against hazards that are known, and by hand."""

import numpy as np
import pytest
from scipy.special import expit

from training.survival.cox import (
    baseline,
    followed,
    log_likelihood,
    maximum_likelihood,
    penalised,
    proportional,
    survival,
)
from training.survival.curves import calibration, kaplan_meier
from training.survival.design import matrix, terms
from training.survival.learners import boosted, cox, parts
from training.survival.order import ahead, concordance, pairs
from training.tabled.outcomes import OutcomeColumn

from .made_outcomes import GRADES, HAZARD, outcomes, predictors

pytestmark = pytest.mark.slow

PUBLISHED = {"fin": -0.379, "age": -0.057, "race": 0.314, "wexp": -0.150, "mar": -0.434, "paro": -0.085, "prio": 0.091}
"""Coefficients of Rossi's table of arrests (Rossi, Berk and Lenihan 1980) as Fox and Weisberg print them (Cox regression in R, 2002)."""


def test_coefficients_are_those_of_the_published_table() -> None:
    """Rossi's 432 men, 114 arrests with many ties: Fox and Weisberg's coefficients, and lifelines' to six digits, with its errors."""
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi

    table = load_rossi()
    features = table[[*PUBLISHED]].to_numpy(dtype=np.float64)
    times, events = table["week"].to_numpy(dtype=np.float64), table["arrest"].to_numpy(dtype=np.bool_)
    found = maximum_likelihood(features, times, events)
    assert found is not None
    assert [round(float(each), 3) for each in found.coefficients] == [*PUBLISHED.values()]
    peer = CoxPHFitter().fit(table, "week", "arrest")
    assert found.coefficients == pytest.approx(peer.params_[[*PUBLISHED]].to_numpy(), abs=1e-6)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(peer.standard_errors_[[*PUBLISHED]].to_numpy(), abs=1e-6)
    value, _ = log_likelihood(features @ found.coefficients, followed(times, events))
    assert value == pytest.approx(peer.log_likelihood_, abs=1e-6)
    scores = features @ found.coefficients
    assert concordance(scores, pairs(times, events, np.zeros(len(times), dtype=np.intp))).value == pytest.approx(peer.concordance_index_)


@pytest.mark.parametrize(("strength", "share"), [(0.1, 0.0), (0.03, 0.5), (0.05, 0.9)])
def test_penalised_coefficients_are_those_of_lifelines(strength: float, share: float) -> None:
    """Ridge and elastic net on the same table; lifelines, which smooths absolute values, is within a hundredth, and what it calls almost 0
    is 0."""
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi

    table = load_rossi()
    even = (table[[*PUBLISHED]] - table[[*PUBLISHED]].mean()) / table[[*PUBLISHED]].std(ddof=0)
    times, events = table["week"].to_numpy(dtype=np.float64), table["arrest"].to_numpy(dtype=np.bool_)
    peer = CoxPHFitter(penalizer=strength, l1_ratio=share).fit(even.assign(week=times, arrest=events), "week", "arrest")
    # lifelines takes the likelihood over patients, this over events
    found = penalised(even.to_numpy(), followed(times, events), strength * len(times) / float(events.sum()), share)
    assert found == pytest.approx(peer.params_.to_numpy(), abs=2e-3)
    if share:
        assert (found == 0).any()


def test_the_gradient_is_that_of_differences() -> None:
    """Of Efron's likelihood with ties of up to many events, by each predictor."""
    draw = np.random.default_rng(3)
    times, events = draw.integers(1, 8, 60).astype(np.float64), draw.random(60) < 0.6
    scores, of = draw.normal(size=60), followed(times, events)
    _, gradient = log_likelihood(scores, of)
    for at in range(60):
        up, down = scores.copy(), scores.copy()
        up[at] += 1e-5
        down[at] -= 1e-5
        assert (log_likelihood(up, of)[0] - log_likelihood(down, of)[0]) / 2e-5 == pytest.approx(gradient[at], abs=1e-6)


def test_curves_are_those_of_lifelines() -> None:
    """Kaplan–Meier with its interval at every event of a trial (lung cancer, NCCTG), Breslow's baseline, and what both say at a time."""
    from lifelines import CoxPHFitter, KaplanMeierFitter
    from lifelines.datasets import load_lung

    table = load_lung()[["time", "status", "age", "sex"]].dropna()
    times, events = table["time"].to_numpy(dtype=np.float64), table["status"].to_numpy(dtype=np.bool_)
    peer = KaplanMeierFitter().fit(times, events)
    seen = kaplan_meier(times, events)
    for time in (0.0, 100.0, 365.0, 883.0):
        share, ends = seen.at(time)
        assert share == pytest.approx(peer.predict(time))
        if time:
            assert ends == pytest.approx(tuple(peer.confidence_interval_.loc[:time].iloc[-1]), abs=1e-6)
    model = CoxPHFitter().fit(table, "time", "status")
    features = table[["age", "sex"]].to_numpy(dtype=np.float64)
    scores = features @ model.params_[["age", "sex"]].to_numpy()
    curve = baseline(scores, times, events)
    # between events lifelines draws a straight line
    at = float(times[events & (times <= 365)].max())
    expected = model.predict_survival_function(table, times=[at]).to_numpy()[0]
    assert survival(scores, curve, at) == pytest.approx(expected, abs=1e-6)
    (group,) = calibration(1 - expected, np.zeros(len(times), dtype=np.intp), times, events, at)
    assert group.seen == pytest.approx(1 - peer.predict(at))
    assert group.interval is not None
    assert group.interval[0] < group.foretold < group.interval[1]


def test_of_a_group_in_which_nobody_had_the_event_or_everybody_no_interval_is_told() -> None:
    """Of five without an event by a time, a risk of 0 % to 0 % would be sure; how many were followed so long stands beside it."""
    times, events = np.array([9.0, 9, 9, 2, 9, 1, 1, 2, 2, 3]), np.arange(10) >= 5
    none, every = calibration(np.linspace(0, 1, 10), np.arange(10) // 5, times, events, 5.0)
    assert (none.seen, none.interval, none.followed) == (0, None, 4)
    assert (every.seen, every.interval, every.followed) == (1, None, 0)


def test_hazards_that_are_not_proportional_are_found() -> None:
    """A column whose ratio turns over half-way has a tiny p; one whose ratio holds has p spread evenly over draws; lifelines' are near."""
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi
    from lifelines.statistics import proportional_hazard_test

    table = load_rossi()
    times, events = table["week"].to_numpy(dtype=np.float64), table["arrest"].to_numpy(dtype=np.bool_)
    for name in ("age", "race", "wexp", "prio"):
        own = table[[name, "week", "arrest"]]
        peer = proportional_hazard_test(CoxPHFitter().fit(own, "week", "arrest"), own, time_transform="rank").p_value[0]
        assert proportional(own[name].to_numpy(dtype=np.float64), times, events) == pytest.approx(peer, abs=0.02), name
    draw = np.random.default_rng(0)
    low = []
    for _ in range(200):
        feature = draw.normal(size=150)
        low.append(proportional(feature, draw.exponential(np.exp(-0.5 * feature)), np.ones(150, dtype=np.bool_)) < 0.05)
    assert 0.01 <= np.mean(low) <= 0.11
    turned = (draw.random(400) < 0.5).astype(np.float64)
    early = draw.exponential(np.exp(-1.5 * turned))
    until = np.where(early < 0.4, early, 0.4 + draw.exponential(np.exp(1.5 * turned)))
    assert proportional(turned, until, np.ones(400, dtype=np.bool_)) < 1e-4


def test_concordance_by_hand() -> None:
    """Four patients, one censored in between, two events at one time: the pairs are counted by hand; ties in the score count half, and no
    pair is of two folds."""
    times = np.array([1.0, 2.0, 2.0, 3.0, 2.0])
    events = np.array([True, True, True, True, False])
    one_fold = pairs(times, events, np.zeros(5, dtype=np.intp))
    # 0 comes before 1, 2, 3, 4; 1 and 2 before 3, and before 4, which was without the event at their time
    assert sum(int(fold.before.sum()) for fold in one_fold) == 8
    assert concordance(np.array([4.0, 3.0, 3.0, 1.0, 1.0]), one_fold).value == 1.0
    assert concordance(np.array([4.0, 3.0, 1.0, 1.0, 0.0]), one_fold).value == pytest.approx(7.5 / 8)
    assert concordance(np.zeros(5), one_fold).value == 0.5
    two = pairs(times, events, np.array([0, 0, 1, 1, 1]))
    assert sum(int(fold.before.sum()) for fold in two) == 3
    best, none = concordance(np.array([4.0, 3.0, 3.0, 1.0, 1.0]), one_fold), concordance(np.zeros(5), one_fold)
    assert ahead(best, none)[0] == 0.5


def test_a_known_hazard_is_found() -> None:
    """4,000 patients of a known hazard: each coefficient lies within 3.5 errors of the truth; C of the known risk is that of theory
    (without censoring, the mean of the logistic function of risks' differences); of 400, Cox reaches it out of fold within 0.03, and
    beside noise, of which there are more columns than patients, is ahead of chance."""
    of = predictors(4000)
    risk, times, events = outcomes(of)
    names = [*HAZARD, "middle", "high"]
    features = np.stack([of[name] for name in HAZARD] + [(of["Grade"] == place).astype(float) for place in (1, 2)], axis=1)
    found = maximum_likelihood(features, times, events)
    assert found is not None
    away = (found.coefficients - [*HAZARD.values(), GRADES["middle"], GRADES["high"]]) / np.sqrt(np.diag(found.covariance))
    assert np.abs(away).max() < 3.5, dict(zip(names, away, strict=True))

    # pairs are counted among 200 at a time
    everybody, some = np.ones(4000, dtype=np.bool_), np.arange(4000) % 20
    draws = [np.random.default_rng(seed).exponential(np.exp(-risk)) for seed in range(5)]
    apart = np.abs(risk[:, None] - risk)[np.triu_indices(4000, 1)]
    found_in = [concordance(risk, pairs(until, everybody, some)).value for until in draws]
    assert np.mean(found_in) == pytest.approx(float(expit(apart).mean()), abs=0.006)

    draw = np.random.default_rng(5)
    few = slice(0, 400)
    levels = tuple(GRADES)
    columns = [OutcomeColumn(name=name, cells=cells[few], levels=levels if name == "Grade" else ()) for name, cells in of.items()]
    noise = [OutcomeColumn(name=f"noise {at}", cells=draw.normal(size=400)) for at in range(420)]
    folds = parts(events[few], 5, 0)
    known = pairs(times[few], events[few], folds)
    truth = concordance(risk[few], known).value
    assert _out_of_fold(cox, columns, times[few], events[few], folds, known) == pytest.approx(truth, abs=0.03)
    assert _out_of_fold(boosted, columns, times[few], events[few], folds, known) == pytest.approx(truth, abs=0.06)
    thirds = parts(events[few], 3, 0)
    assert _out_of_fold(cox, [*columns, *noise], times[few], events[few], thirds, pairs(times[few], events[few], thirds)) > 0.55
    assert _out_of_fold(cox, noise[:20], times[few], events[few], folds, known) == pytest.approx(0.5, abs=0.09)


def _out_of_fold(learner, columns, times, events, folds, known) -> float:  # type: ignore[no-untyped-def]
    scores = np.empty(len(times))
    for fold in np.unique(folds):
        scores[folds == fold] = learner(columns, times, events, folds != fold, 0).scores[folds == fold]
    return concordance(scores, known).value


def test_what_few_patients_have_keeps_its_ratio() -> None:
    """A mutation, or a level, of 12 in 3,000 lies more than ten deviations from the rest: its ratio is lifelines' all the same. A number
    far beyond all who were learned from is taken for ten deviations."""
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi

    draw = np.random.default_rng(2)
    rare = (np.arange(3000) % 250 == 0).astype(np.float64)
    until = draw.exponential(np.exp(-1.0 * rare))
    everybody = np.ones(3000, dtype=np.bool_)
    table = type(load_rossi())({"rare": rare, "until": until, "event": 1})
    peer = CoxPHFitter().fit(table, "until", "event").params_["rare"]
    for column in (OutcomeColumn(name="rare", cells=rare), OutcomeColumn(name="rare", cells=rare, levels=("no", "yes"))):
        (term,) = of = terms([column], everybody)
        found = maximum_likelihood(matrix([column], of), until, everybody)
        assert found is not None
        assert float(found.coefficients[0]) / term.spread == pytest.approx(peer, abs=1e-3)
    far = OutcomeColumn(name="dose", cells=np.array([*draw.normal(size=100), 1e6]))
    assert matrix([far], terms([far], np.arange(101) < 100))[100, 0] == 10


def test_what_parts_all_has_no_coefficient() -> None:
    """A column that everybody with an early event has, and nobody else: its ratio would be without end, and none is told."""
    times = np.arange(1.0, 41.0)
    assert maximum_likelihood((times <= 20).astype(np.float64)[:, None], times, np.ones(40, dtype=np.bool_)) is None
