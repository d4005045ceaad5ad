"""The exercises' checkers, one file a lesson: EXERCISES = {name: checker}. No solution lies here.

A checker takes what the learner made and returns "" if it is right, or else one hint that fits what is wrong. It knows
the likely wrong answers by what they compute, takes under five seconds, and leaves the random numbers alone.
"""
