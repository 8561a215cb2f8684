from .content import ItemContent as ItemContent
from .content import NewItems as NewItems
from .content import WithNewItems as WithNewItems
from .content import stack_content as stack_content
from .handover import Handover as Handover
from .handover import Rung as Rung
from .handover import rungs_of as rungs_of
from .ladder import Ladder as Ladder
