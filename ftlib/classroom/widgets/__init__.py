"""The faces of teach and plots in a notebook: the only place that imports ipywidgets.

Controls are labelled and work from the keyboard; sliders are avoided, since theirs have no name that a screen reader
could say. Each panel also shows itself where no kernel runs, as words and, if it has a figure, as a picture.
"""

from ftlib.classroom.widgets.board import Board, board
from ftlib.classroom.widgets.curves import Curves, curves
from ftlib.classroom.widgets.explorer import RankExplorer, rank_explorer
from ftlib.classroom.widgets.generation import Comparer, comparer
from ftlib.classroom.widgets.panel import Panel
from ftlib.classroom.widgets.playground import Playground, playground
from ftlib.classroom.widgets.questions import predict, quiz
from ftlib.classroom.widgets.samples import Samples, samples
from ftlib.classroom.widgets.space import FeatureSpace, feature_space

__all__ = ["Board", "Comparer", "Curves", "FeatureSpace", "Panel", "Playground", "RankExplorer", "Samples"]
__all__ += ["board", "comparer", "curves", "feature_space", "playground", "predict", "quiz", "rank_explorer", "samples"]
