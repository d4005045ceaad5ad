"""The devices of a lesson, without their faces (those are in ftlib.classroom.widgets).

    predict   the learner commits an answer before the cell; afterwards it is compared with what happened
    quiz      a question with one right option, each wrong one explained
    check     an exercise's local checker: passed, or what is wrong and a hint that fits
    claim     a sentence, the rule written before its results were seen, and what the recorded runs say of it

An answer given before seeing is what makes seeing stick (Crouch et al., Am. J. Phys. 72, 2004, "Classroom
demonstrations: learning tools or entertainment?").
"""

from ftlib.classroom.checks import Check, check
from ftlib.classroom.questions import Prediction, Quiz, predict, quiz
from ftlib.classroom.text import Text
from ftlib.classroom.verdicts import Claim, claim
from ftlib.evidence.claims import NotRecorded, claims

__all__ = ["Check", "Claim", "NotRecorded", "Prediction", "Quiz", "Text"]
__all__ += ["check", "claim", "claims", "predict", "quiz"]
