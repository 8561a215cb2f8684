from .app import create_app as create_app
from .batch import score_partition as score_partition
from .batch import write_lists as write_lists
from .guard import Limits as Limits
from .server import serve as serve
