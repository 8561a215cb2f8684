from .entries import leave_last_out as leave_last_out
from .entries import split_by_time as split_by_time
from .entries import split_ratings as split_ratings
from .users import enough_interactions as enough_interactions
from .users import hold_out as hold_out
from .users import strong_generalization as strong_generalization
