"""Questions, checks and claims of the lessons. Their notebook widgets are in ftlib.classroom.widgets.

    predict   a question that the learner answers before running an experiment
    quiz      a question with one right option and an explanation per option
    check     the checker of an exercise, which answers with "passed" or with a hint
    claim     a sentence, the rule written before its results were seen, and the verdict of the recorded runs

Learners understand an experiment better if they predict its result first (Crouch et al., Am. J. Phys. 72, 2004,
"Classroom demonstrations: learning tools or entertainment?").
"""

from ftlib.classroom.cards import card
from ftlib.classroom.checks import Check, check
from ftlib.classroom.diagrams import Diagram, diagram
from ftlib.classroom.questions import Prediction, Quiz, predict, quiz
from ftlib.classroom.text import Text
from ftlib.classroom.verdicts import Claim, claim
from ftlib.evidence.claims import NotRecorded, claims

__all__ = ["Check", "Claim", "Diagram", "NotRecorded", "Prediction", "Quiz", "Text"]
__all__ += ["card", "check", "claim", "claims", "diagram", "predict", "quiz"]
