"""A bundle as an MLflow model: the same lists, and errors that say what is wrong."""

import asyncio
import json
import os
import shutil
import subprocess
import sys

import httpx
import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from recsys_lib import EASE, Bundle, make_world
from recsys_lib.artifacts import MANIFEST, read_json
from recsys_lib.errors import ArtifactError


@pytest.fixture(scope="module")
def bundle():
    dataset = make_world(n_users=90, n_items=30).dataset()
    model = EASE(l2=20.0).fit(dataset.likes(7).user_items)
    return Bundle(model=model, dataset=dataset, like=7, inputs="likes")


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    bundle.to_mlflow(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    return mlflow.pyfunc.load_model(str(folder))


def rows_of(frame):
    found = frame.astype(object)
    return found.where(found.notna(), None).to_dict("records")


def test_the_lists_are_those_of_the_bundle(bundle, loaded):
    user, item = str(bundle.dataset.user_ids[4]), str(bundle.dataset.item_ids[2])
    role = bundle.dataset.users["role"].iloc[0]
    people = pd.DataFrame(
        {
            "user": [user, None, None, None],
            "history": [None, [item], None, None],
            "profile": [None, None, json.dumps({"role": role}), None],
        },
        index=[7, 3, 5, 1],
    )
    said = loaded.predict(people, params={"k": 4, "diversity": 0.2})
    assert said.index.tolist() == [7, 3, 5, 1]
    questions = [{"user": user}, {"history": [item]}, {"profile": {"role": role}}, {}]
    wanted = [rows_of(bundle.recommend(**one, k=4, diversity=0.2)) for one in questions]
    assert said["recommendations"].tolist() == wanted
    told = loaded.predict(pd.DataFrame({"profile": [{"role": role}]}), params={"k": 4})
    assert told["recommendations"][0] == rows_of(bundle.recommend(profile={"role": role}, k=4))
    one = loaded.predict(pd.DataFrame({"user": [user]}))
    assert one["recommendations"][0] == rows_of(bundle.recommend(user))


@pytest.mark.parametrize(
    ("people", "params", "part"),
    [
        ({"user": ["nobody"]}, {}, "The user must be one of the 90 known; got 'nobody'"),
        ({"history": [["nothing"]]}, {}, "The item must be one of the 30 known"),
        ({"user": ["USER"]}, {"k": 0}, "`k` must be >= 1; got 0"),
        ({"profile": ["developer"]}, {}, "`profile` must be a mapping .* got str"),
        ({"usr": ["USER"]}, {}, "A row must name user, history or profile; none is named"),
    ],
)
def test_what_is_wrong_is_said(bundle, loaded, people, params, part):
    people = {
        name: [str(bundle.dataset.user_ids[0]) if one == "USER" else one for one in values]
        for name, values in people.items()
    }
    with pytest.raises(MlflowException, match=part) as raised:
        loaded.predict(pd.DataFrame(people), params=params)
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_the_server_of_mlflow_answers_400_with_the_sentence(bundle, loaded):
    user, item = str(bundle.dataset.user_ids[4]), str(bundle.dataset.item_ids[2])

    async def ask():
        transport = httpx.ASGITransport(app=scoring_server.init(loaded))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            bodies = [
                [{"user": user, "history": None}, {"user": None, "history": [item]}],
                [{"user": "nobody"}],
            ]
            return [
                await client.post("/invocations", json={"dataframe_records": body})
                for body in bodies
            ]

    good, bad = asyncio.run(ask())
    lists = good.json()["predictions"]
    assert lists[1]["recommendations"] == rows_of(bundle.recommend(history=[item]))
    assert good.json()["predictions"][0]["recommendations"] == rows_of(bundle.recommend(user))
    assert bad.status_code == 400
    assert "The user must be one of the 90 known; got 'nobody'" in bad.json()["message"]
    assert "Traceback" not in bad.text


def test_nothing_is_pickled_and_what_it_takes_is_pinned(folder):
    names = {file.name for file in folder.rglob("*")}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert {"MLmodel", "pyfunc.py", "input_example.json", "manifest.json"} <= names
    pins = (folder / "requirements.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    assert {"recsys-lib", "numpy", "pandas"} <= {pin.split("==")[0] for pin in pins}


def test_a_folder_of_somebody_else_is_left_alone(bundle, tmp_path):
    (tmp_path / "thesis.md").write_text("mine")
    with pytest.raises(ArtifactError, match=r"it holds 'thesis\.md'"):
        bundle.to_mlflow(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.md"]


def test_an_answer_is_typed_and_names_the_bundle(bundle, folder, loaded):
    said = loaded.predict(pd.DataFrame({"user": [str(bundle.dataset.user_ids[4])]}))
    output = loaded.metadata.signature.outputs
    assert output.input_names() == said.columns.tolist() == ["recommendations", "bundle"]
    typed = output.input_dict()["recommendations"].type.dtype.properties
    assert {one.name for one in typed} == set(said["recommendations"][0][0])
    assert said["bundle"][0] == read_json(folder / "artifacts" / "bundle" / MANIFEST)["manifest"]


SPARK = """
import sys
import mlflow
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct

folder, output = sys.argv[1:]
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = builder.getOrCreate()
lists = mlflow.pyfunc.spark_udf(spark, folder, env_manager="local", params={"k": 3})
schema = "user string, history array<string>"
people = spark.createDataFrame([("USER", None), (None, ["ITEM"])], schema)
answered = people.select(lists(struct("user", "history")).alias("answer")).select("answer.*")
answered.selectExpr("to_json(struct(*)) as text").toPandas().to_json(output)
"""


def test_spark_asks_for_lists_as_for_any_column(bundle, folder, tmp_path):
    pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    user, item = str(bundle.dataset.user_ids[4]), str(bundle.dataset.item_ids[2])
    script, output = tmp_path / "lists.py", tmp_path / "lists.json"
    script.write_text(SPARK.replace("USER", user).replace("ITEM", item))
    command = [sys.executable, script, folder, output]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(text) for text in json.loads(output.read_text())["text"].values()]
    for answer, question in zip(answers, ({"user": user}, {"history": [item]}), strict=True):
        wanted = bundle.recommend(**question, k=3)["item_id"].tolist()
        assert [row["item_id"] for row in answer["recommendations"]] == wanted
