"""Find the part of a visual-instruction-tuning pool that is worth training on.

The names of `__init__.pyi` are imported on first use, so `import hf_vitselect` loads neither torch,
transformers nor trl.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
