"""What comes in and what goes out: bad input in one sentence, typed files, files written in one piece, their places.

The ground floor: every room may use it, and it uses none.
"""
