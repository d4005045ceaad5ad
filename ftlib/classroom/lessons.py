"""The code that belongs to one lesson, such as its checkers and its widget, found by the lesson's name.

A lesson is one folder, lessons/<lesson>/. The folder's name starts with a digit, so an import statement cannot name it.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from ftlib.io import places


def part(lesson: str, name: str) -> ModuleType:
    """One file of a lesson as a module, executed once.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".
    name : str
        The file without ".py", such as "checks".

    Returns
    -------
    module

    Raises
    ------
    FileNotFoundError
        If there is no such lesson, or if it has no such file.

    Examples
    --------
    >>> sorted(part("06_schedules", "checks").EXERCISES)
    ['one_cycle', 'peak', 'playground', 'range_rate', 'window']
    """
    file = places.lesson(lesson) / f"{name}.py"
    if not file.is_file():
        known = ", ".join(sorted(other.stem for other in file.parent.glob("*.py")))
        raise FileNotFoundError(f"the lesson {lesson!r} has no file {name}.py: there are {known}")
    known_as = f"ftlib_lesson_{lesson}_{name}"  # the warnings of our own code begin with ftlib
    loaded = sys.modules.get(known_as)
    if loaded is None or loaded.__file__ != str(file):
        spec = spec_from_file_location(known_as, file)
        loaded = sys.modules[known_as] = module_from_spec(spec)
        try:
            spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[known_as]
            raise
    return loaded
