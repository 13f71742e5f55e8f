"""Models as the scorers call them: encoding, forwards and weights.

The names of `__init__.pyi` are imported on first use: most of the room's files do not need torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
