"""PySpark in local mode, where it and Java are installed: `pip install recsys-lib[spark]`."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys_lib.sources import Reduction, read_interactions

pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
ibis = pytest.importorskip("ibis", reason="the extra [sql] is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = (
        builder.config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_spark_reduces_as_the_definition_says(
    spark: Any,
    events: pd.DataFrame,
    rule: Reduction,
    wanted: dict[tuple[str, int], float],
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "events.parquet")
    events.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)
    spark.read.parquet(path).createOrReplaceTempView("events")
    found = read_interactions(ibis.pyspark.connect(spark), table="events", reduce=rule)
    table = found[["user_id", "item_id", "value"]].itertuples(index=False)
    values = {(user, int(item)): value for user, item, value in table}
    assert values.keys() == wanted.keys()
    for pair, value in wanted.items():
        assert values[pair] == pytest.approx(value, rel=1e-9)
