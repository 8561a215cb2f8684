"""The notebook chain: what notebooks call (`notebook`), and what runs them in order (`runner`)."""

from recsys_lib.pipeline import notebook
from recsys_lib.pipeline.notebook import Session, start
from recsys_lib.pipeline.project import Project

__all__ = ["Project", "Session", "notebook", "start"]
