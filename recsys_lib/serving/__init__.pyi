from .batch import score_partition as score_partition
from .batch import write_lists as write_lists
