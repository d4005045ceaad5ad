"""The solutions of the exercises, as they stand in the lessons' sources."""

import sys
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

import ftlib

sys.path.insert(0, str(Path(__file__).parents[1] / "lessons"))
import build
import cells


@cache
def source(lesson: str):
    """A lesson's source as a notebook."""
    return build.read(build.lessons([lesson])[0])


def cell_of(exercise: str):
    """The cell of an exercise, such as "01_full/accumulate", with its solution."""
    lesson, name = exercise.split("/")
    return next(c for c in source(lesson).cells if cells.tagged(c, "exercise") == name)


def solution(exercise: str):
    """The function that the lesson's source gives as the solution."""
    names = {"torch": torch, "F": F, "ftlib": ftlib, "strategies": ftlib.strategies}
    exec(cell_of(exercise).source, names)  # our own lesson
    return names[exercise.split("/")[1]]
