"""The code of a bundle as an MLflow model: MLflow runs this file, nobody imports it.

A row of the input is a person, by ``user``, ``history`` and ``profile``; the output has one row for
each, with the list in the column ``recommendations`` and in ``bundle`` what answered, as a service
says both.
"""

import json
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from recsys_lib.artifacts import MANIFEST, read_json
from recsys_lib.bundle import Bundle
from recsys_lib.coldstart.profile import is_null
from recsys_lib.errors import RecsysError


class _Lists(PythonModel):  # type: ignore[misc]
    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["bundle"])
        self.bundle = Bundle.load(folder)
        self.fingerprint: str = read_json(folder / MANIFEST)["manifest"]

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        if model_input.columns.empty:  # MLflow drops columns that it does not know, and their rows
            text = "A row must name user, history or profile; none is named. Give null for unknown."
            raise MlflowException(text, INVALID_PARAMETER_VALUE)
        people = [
            {name: value for name, value in row.items() if not is_null(value)}
            for row in model_input.to_dict("records")
        ]
        try:
            for person in people:
                with suppress(KeyError, TypeError, ValueError):  # what else it may be is said below
                    person["profile"] = json.loads(person["profile"])
            lists = self.bundle.recommend_records(people, **(params or {}))
        except (RecsysError, ValueError) as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None
        for row in chain.from_iterable(lists):
            row["probability"] = None if is_null(row["probability"]) else row["probability"]
        answers = {"recommendations": lists, "bundle": self.fingerprint}
        return pd.DataFrame(answers, index=model_input.index, dtype=object)


set_model(_Lists())
