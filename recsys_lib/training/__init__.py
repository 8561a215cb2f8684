"""The Keras side: rows on the device, compiled passes, phases, schedules, devices.

Names are loaded on first use: importing this package starts no backend.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
