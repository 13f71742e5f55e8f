from .data import load_pool as load_pool
from .evaluation import compare as compare
from .filters.contamination import find_contamination as find_contamination
from .hub import apply_selection as apply_selection
from .hub import push_to_hub as push_to_hub
from .models.score_net import ScoreNet as ScoreNet
from .scorers import Blend as Blend
from .scorers import CapabilityScorer as CapabilityScorer
from .scorers import ClipEmbedding as ClipEmbedding
from .scorers import ClipScore as ClipScore
from .scorers import EL2NScorer as EL2NScorer
from .scorers import GraNdScorer as GraNdScorer
from .scorers import ImageGain as ImageGain
from .scorers import JudgeScore as JudgeScore
from .scorers import MIWVScorer as MIWVScorer
from .scorers import NecessityScorer as NecessityScorer
from .scorers import OtherAnswer as OtherAnswer
from .scorers import PerplexityScorer as PerplexityScorer
from .scorers import QuestionGain as QuestionGain
from .scorers import ScoreNetScorer as ScoreNetScorer
from .scorers import TextEmbedding as TextEmbedding
from .scorers import UPDScorer as UPDScorer
from .scorers.base.scorer import Scorer as Scorer
from .scoring import score as score
from .selection import Selection as Selection
from .selection import select_diverse as select_diverse

__version__: str
