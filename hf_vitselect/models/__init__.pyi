from .encoding import Encoder as Encoder
from .forward import compile_layers as compile_layers
from .options import ModelOptions as ModelOptions
from .score_net import ScoreNet as ScoreNet
from .token_stats import token_stats as token_stats
from .vlm import VLM as VLM
from .vlm import ForwardStats as ForwardStats
