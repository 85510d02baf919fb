"""Traces, statistics and models of arrivals; Poisson streams told from others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import thinkqueue as tq
from thinkqueue.arrivals import (
    MarkovModulated,
    Trace,
    arrival_statistics,
    fit_markov_modulated,
    index_of_dispersion,
)

BURSTY = MarkovModulated(high=(4.8,), low=(0.05,), up=(0.02,), down=(0.08,))


def poisson_trace(seed=1, n=40_000):
    return Trace.of(np.cumsum(np.random.default_rng(seed).exponential(2.0, n)))


def bursty_trace(seed=1, n=200_000):
    return Trace.of(np.cumsum(BURSTY.sample(n, seed)))


AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:06.9799600,110,27
"""


def test_an_azure_trace_is_read_to_the_microsecond(tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text(AZURE)
    trace = Trace.from_csv(file)
    np.testing.assert_allclose(trace.times, [0.0, 0.052, 3.0], atol=1e-6)
    assert trace.name == "trace"
    assert trace.arrival_rate == pytest.approx(2 / 3)


def test_the_general_form_is_a_column_of_seconds(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("id,when\n1,12.5\n2,10\n3,11\n")
    np.testing.assert_allclose(Trace.from_csv(file, column="when").times, [0.0, 1.0, 2.5])
    file.write_text("time\n2024-01-01T00:00:00\n2024-01-01T00:00:01Z\n2024-01-01 00:00:03.5\n")
    np.testing.assert_allclose(Trace.from_csv(file).times, [0.0, 1.0, 3.5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column TIMESTAMP"),
        ("time\n1\nsoon\n3\n", "line 3: 'soon'"),
        ("time\n1\n2\n", "at least three"),
        ("time\n1\n1\n1\n", "not all equal"),
        ("time\n1\nnan\n3\n", "finite"),
        ("", "no column"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_reason(tmp_path, text, said):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(tq.WorkloadError, match=said):
        Trace.from_csv(file)


def read(tmp_path, *times):
    file = tmp_path / "times.csv"
    file.write_text("\n".join(["time", *times]))
    return Trace.from_csv(file).times


def test_a_change_of_offset_is_no_change_of_time(tmp_path):
    found = read(
        tmp_path,
        "2024-10-27T02:59:50+02:00",
        "2024-10-27T02:00:00.25+01:00",
        "2024-10-27 01:00:10.5Z",
        "2024-10-26 20:00:20.75 -0500",
        "2024-10-27 01:00:30",
    )
    np.testing.assert_allclose(found, [0.0, 10.25, 20.5, 30.75, 40.0], atol=1e-9)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_moments_since_1970_are_read_in_their_unit(tmp_path, unit):
    whole = 1_700_000_000 * unit
    found = read(tmp_path, str(whole), str(whole + 2 * unit), str(whole + 7 * unit))
    np.testing.assert_array_equal(found, [0.0, 2.0, 7.0])
    if unit > 1:
        np.testing.assert_allclose(
            read(tmp_path, str(whole), str(whole + 1), str(whole + unit)),
            [0.0, 1 / unit, 1.0],
            rtol=1e-6,
        )


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2023-11-16 18:17:00.5e3", "2023-11-16 18:17:01", "2023-11-16 18:17:02"], "00.5e3'"),
        (["2023-11-16 18:17:00", "5", "7"], "dates and numbers"),
        (["1", "inf", "3"], "'inf' is neither a finite"),
        (["2023-13-16 18:17:00", "1", "2"], "neither"),
        (["9" * 400, "1", "2"], "neither"),
    ],
)
def test_what_is_no_time_is_refused(tmp_path, times, said):
    with pytest.raises(tq.WorkloadError, match=said) as caught:
        read(tmp_path, *times)
    assert len(str(caught.value)) < 500


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    file = tmp_path / "latin.csv"
    file.write_bytes("time,où\n1,é\n2,é\n3,é\n".encode("latin-1"))
    with pytest.raises(tq.WorkloadError, match=r"latin\.csv: this is not a text file in UTF-8"):
        Trace.from_csv(file)


@pytest.mark.parametrize("rate", [-1.0, 0.0, float("nan"), float("inf"), 1e-300, "fast"])
def test_a_rate_that_no_stream_has_is_refused(rate):
    with pytest.raises(tq.WorkloadError, match="arrival_rate"):
        poisson_trace(n=100).at_rate(rate)


@settings(deadline=None)
@given(
    times=st.lists(st.floats(0, 1e6), min_size=3, max_size=30, unique=True),
    rate=st.floats(1e-4, 1e3),
)
def test_rescaling_changes_the_rate_and_nothing_else(times, rate):
    trace = Trace.of(times)
    scaled = trace.at_rate(rate)
    assert scaled.arrival_rate == pytest.approx(rate)
    np.testing.assert_allclose(
        scaled.times * scaled.arrival_rate, trace.times * trace.arrival_rate, rtol=1e-9, atol=1e-9
    )


def test_a_poisson_stream_looks_poisson_and_a_bursty_one_does_not():
    plain, bursty = arrival_statistics(poisson_trace()), arrival_statistics(bursty_trace())
    assert plain.cv == pytest.approx(1.0, abs=0.02)
    assert plain.correlation == pytest.approx(0.0, abs=0.02)
    # the variance of a variance over K windows is about 2/K of it
    few = np.array(plain.windows) < 100
    np.testing.assert_allclose(np.array(plain.dispersion)[few], 1.0, atol=0.25)
    assert bursty.cv > 2
    assert max(bursty.dispersion) > 20


def test_the_model_knows_its_own_statistics():
    trace = bursty_trace()
    windows = np.array([0.5, 2.0, 8.0, 32.0, 128.0])
    assert trace.gaps.mean() == pytest.approx(1 / BURSTY.rate, rel=0.03)
    assert trace.gaps.std() / trace.gaps.mean() == pytest.approx(BURSTY.cv, rel=0.03)
    found = index_of_dispersion(trace, windows)
    np.testing.assert_allclose(found, BURSTY.dispersion(windows / trace.arrival_rate), rtol=0.1)


def test_one_state_is_a_poisson_stream():
    plain = MarkovModulated(high=(1.0,), low=(1.0,), up=(0.1,), down=(0.2,))
    assert plain.rate == pytest.approx(1.0)
    assert plain.cv == pytest.approx(1.0)
    np.testing.assert_allclose(plain.dispersion([0.1, 10.0]), 1.0)


def test_the_joint_generator_of_two_sources_has_the_mean_of_their_sum():
    two = MarkovModulated((2.0, 0.5), (0.0, 0.1), (0.1, 3.0), (0.3, 1.0))
    generator, rates = two.generator()
    np.testing.assert_allclose(generator.sum(1), 0, atol=1e-14)
    values, vectors = np.linalg.eig(generator.T)
    stationary = np.real(vectors[:, np.argmin(abs(values))])
    assert stationary @ rates / stationary.sum() == pytest.approx(two.rate)


@pytest.mark.slow
def test_a_fit_reproduces_mean_variation_and_dispersion():
    statistics = arrival_statistics(bursty_trace())
    model = fit_markov_modulated(statistics, sources=1)
    assert model.rate == pytest.approx(1.0)
    assert model.cv == pytest.approx(statistics.cv, rel=0.01)
    np.testing.assert_allclose(
        model.dispersion(statistics.windows), statistics.dispersion, rtol=0.2
    )
    # negative control: what was fitted to another stream reproduces nothing of this
    other = fit_markov_modulated(arrival_statistics(poisson_trace()), sources=1)
    assert abs(other.cv / statistics.cv - 1) > 0.5


def test_samples_depend_on_the_seed_alone():
    np.testing.assert_array_equal(BURSTY.sample(100, 3), BURSTY.sample(100, 3))
    assert not np.array_equal(BURSTY.sample(100, 3), BURSTY.sample(100, 4))
    assert BURSTY.sample(7, 0).shape == (7,)


def test_a_sample_begins_in_the_stationary_state():
    # so slow that three gaps see one state only: high with probability 1/5, low with 4/5
    slow = MarkovModulated(high=(4.8,), low=(0.05,), up=(1e-7,), down=(4e-7,))
    high = sum(slow.sample(3, seed).mean() < 2.0 for seed in range(400))
    assert stats.binomtest(high, 400, 0.2).pvalue > 1e-3


@pytest.mark.parametrize("cv", [1.01, 2.0, 10.0])
def test_independent_gaps_have_the_variation_asked_for(cv):
    model = MarkovModulated.renewal(cv)
    assert model.rate == pytest.approx(1)
    assert model.cv == pytest.approx(cv)
    # gaps are independent: over long windows the counts vary as one gap does
    assert model.dispersion([1e9]) == pytest.approx(cv**2)
    gaps = model.sample(200_000, 3)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.01
    assert gaps.mean() == pytest.approx(1, abs=5 * cv / np.sqrt(gaps.size))
    for wrong in (1.0, 0.5, np.nan):
        with pytest.raises(tq.WorkloadError, match="cv"):
            MarkovModulated.renewal(wrong)
