"""The faces of teach and plots in a notebook: the only place that imports ipywidgets.

Controls are labelled and work from the keyboard; sliders are avoided, since theirs have no name that a screen reader
could say. Each panel also shows itself where no kernel runs, as words and, if it has a figure, as a picture.
"""

from ftlib.widgets.board import Board, board
from ftlib.widgets.curves import Curves, curves
from ftlib.widgets.explorer import RankExplorer, rank_explorer
from ftlib.widgets.generation import Comparer, comparer
from ftlib.widgets.panel import Panel
from ftlib.widgets.playground import Playground, playground
from ftlib.widgets.questions import predict, quiz
from ftlib.widgets.samples import Samples, samples
from ftlib.widgets.space import FeatureSpace, feature_space

__all__ = ["Board", "Comparer", "Curves", "FeatureSpace", "Panel", "Playground", "RankExplorer", "Samples"]
__all__ += ["board", "comparer", "curves", "feature_space", "playground", "predict", "quiz", "rank_explorer", "samples"]
