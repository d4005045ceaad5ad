"""The devices of a lesson, without their faces (those are in ftlib.classroom.widgets).

    predict   the learner commits an answer before the cell; afterwards it is compared with what happened
    quiz      a question with one right option, each wrong one explained
    check     an exercise's local checker: passed, or what is wrong and a hint that fits
    claim     a sentence, the rule written before its results were seen, and what the recorded runs say of it

An answer given before seeing is what makes seeing stick (Crouch et al., Am. J. Phys. 72, 2004, "Classroom
demonstrations: learning tools or entertainment?").
"""

from ftlib.classroom.questions import Prediction, Quiz, predict, questions, quiz
from ftlib.classroom.checks import Check, check
from ftlib.evidence.claims import Claim, NotRecorded, claim, claims
from ftlib.classroom.text import Text

__all__ = ["Check", "Claim", "NotRecorded", "Prediction", "Quiz", "Text"]
__all__ += ["check", "claim", "claims", "predict", "questions", "quiz"]
