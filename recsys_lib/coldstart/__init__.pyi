from .content import ItemContent as ItemContent
from .content import stack_content as stack_content
from .handover import Handover as Handover
from .handover import Rung as Rung
from .handover import rungs_of as rungs_of
from .ladder import Ladder as Ladder
from .new_items import NewItems as NewItems
from .new_items import WithNewItems as WithNewItems
