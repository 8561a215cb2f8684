"""Times in digits, in text and in spreadsheets: read as what they are, or asked about."""

import pandas as pd
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources import Reduction, read_interactions, validate_interactions


def table(times: list[object]) -> pd.DataFrame:
    ids = [f"u{n}" for n in range(len(times))]
    return pd.DataFrame({"user": ids, "item": ids, "time": times})


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("times", "options", "first"),
    [
        ([20240131, 20231201], {}, "2024-01-31"),
        ([2024, 2023], {}, "2024-01-01"),
        ([2024013112, 2023120100], {}, "2024-01-31 12:00"),
        ([202401311230, 202312010000], {}, "2024-01-31 12:30"),
        ([20240131123015, 20231201000000], {}, "2024-01-31 12:30:15"),
        ([202401, 202312], {"date_format": "%Y%m"}, "2024-01-01"),
        ([45322, 45261.5], {"date_format": "serial"}, "2024-01-31"),
        ([20240131, 20231201], {"date_format": "s"}, "1970-08-23 06:15:31"),
        ([1706659200, 1701388800], {}, "2024-01-31"),
        ([10, 20], {}, "1970-01-01 00:00:10"),
    ],
)
def test_digits_of_a_date_are_a_date(
    times: list[object], options: dict[str, str], first: str, as_text: bool
) -> None:
    frame = table([str(one) for one in times] if as_text else times)
    read = read_interactions(frame, **options)["timestamp"]  # type: ignore[arg-type]
    assert read.iloc[0] == pd.Timestamp(first, tz="UTC")


@pytest.mark.parametrize(
    ("time", "first"),
    [
        ("2019-10-01 00:00:00 UTC", "2019-10-01"),
        ("2019-10-01 UTC", "2019-10-01"),
        ("2019/10/01 07:30", "2019-10-01 07:30"),
        ("31.12.2019", "2019-12-31"),
        ("31/12/2019 17:30", "2019-12-31 17:30"),
        ("12/31/2019 5:30 PM", "2019-12-31 17:30"),
        ("12/31/19", "2019-12-31"),
    ],
)
def test_text_with_one_meaning_is_read(time: str, first: str) -> None:
    read = read_interactions(table([time, time]))["timestamp"]
    assert read.iloc[0] == pd.Timestamp(first, tz="UTC")
    assert validate_interactions(table([time, time])).empty


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["01/02/2024", "03/04/2024"], '"%d/%m/%Y" .day first. or date_format="%m/%d/%Y"'),
        ([45322, 45261.5], 'date_format="serial" .days of a spreadsheet. or date_format="s"'),
        ([202401, 202312], 'date_format="%Y%m" .year and month. or date_format="s"'),
    ],
)
def test_what_has_two_meanings_is_asked_about(times: list[object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_interactions(table(times), mode="lenient")
    assert validate_interactions(table(times))["check"].tolist() == ["ambiguous times"]
    assert len(read_interactions(table(times), timestamp=None)) == 2


def test_a_choice_is_followed() -> None:
    frame = table(["01/02/2024", "03/04/2024"])
    months = [
        read_interactions(frame, date_format=one)["timestamp"].dt.month.tolist()
        for one in ("%d/%m/%Y", "%m/%d/%Y")
    ]
    assert months == [[2, 4], [1, 3]]
    with pytest.raises(ConfigError, match="`date_format` must be"):
        read_interactions(frame, date_format="dayfirst")


@pytest.mark.parametrize(
    "times",
    [
        [20240131, 20241301],
        [20240131, 20240230],
        ["2024-01-31", "9999-12-31"],
        ["2024-01-31", "1500-01-01"],
        pd.to_datetime(["2024-01-31", "9999-12-31"]),
        ["31/12/2019", "soon"],
        ["2024-01-31", "31/01/2024"],
    ],
)
def test_no_date_is_invented(times: list[object]) -> None:
    with pytest.raises(DataError, match="must hold times.*index 1 has|must have one meaning"):
        read_interactions(table(times))


@pytest.mark.parametrize("kind", ["frame", "parquet", "sqlite"])
@pytest.mark.parametrize("unit", ["date", "ms"])
def test_age_in_a_reduction_follows_the_unit(kind: str, unit: str, tmp_path: object) -> None:
    pytest.importorskip("ibis", reason="the extra [sql] is not installed")
    import sqlite3

    times = [20240101, 20240601] if unit == "date" else [1704067200000, 1717200000000]
    frame = pd.DataFrame({"user": "a", "item": "x", "event": ["view", "buy"], "date": times})
    rule = Reduction(weights={"view": 1, "buy": 5}, half_life=30)
    source: object = frame
    if kind == "parquet":
        source = f"{tmp_path}/events.parquet"
        frame.to_parquet(source)
    elif kind == "sqlite":
        source = f"{tmp_path}/events.db"
        with sqlite3.connect(source) as shop:
            frame.to_sql("events", shop, index=False)
    if kind != "frame" and unit == "date":
        with pytest.raises(DataError, match="20240101 looks like a date"):
            read_interactions(source, reduce=rule)  # type: ignore[arg-type]
    else:
        found = read_interactions(source, reduce=rule)  # type: ignore[arg-type]
        assert found["value"].tolist() == pytest.approx([5 + 2 ** (-152 / 30)])
