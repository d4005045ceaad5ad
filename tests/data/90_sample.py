# %% [markdown]
# # 90 A sample lesson
#
# It has what a lesson may have, so that the tests see what becomes of it in each copy.

# %%
import math

STEPS = 3


# %% [markdown]
# ## 1. A section without points

# %%
print(undefined_in_the_sheet := "a long training run")

# %% tags=["setup"]
RATE = 0.5


def check(name, function, strict=False):
    """Like ftlib.classroom.check: a kind sentence, and with strict an AssertionError."""
    expected = {"area": lambda r: math.pi * r * r, "decay": lambda t: RATE**t, "practice": lambda x: x + 1}[name]
    try:
        wrong = [x for x in range(1, STEPS + 1) if not math.isclose(function(x), expected(x))]
        said = f"{name} is wrong at {wrong[0]}." if wrong else f"{name} is right."
    except NotImplementedError:
        wrong, said = True, f"{name} is still to be written."
    print(said)
    assert not (strict and wrong), said


# %% tags=["exercise:practice"]
def practice(x):
    """One more than x."""
    ### BEGIN SOLUTION
    one = 1  # only in the solution of practice
    return x + one
    ### END SOLUTION


# %% tags=["check:practice"]
check("practice", practice)

# %% [markdown]
# ## 2. The lab
#
# Write both functions.


# %% tags=["exercise:area"]
def area(r):
    """The area of a circle of radius r."""
    ### BEGIN SOLUTION
    squared = r * r

    return math.pi * squared
    ### END SOLUTION


# %% tags=["check:area", "points:2"]
print(f"A circle of radius 1 needs {math.pi:.3f}.")
check(
    "area",
    area,  # your function
)


# %% tags=["exercise:decay"]
def decay(t):
    """What is left of 1 after t steps at RATE."""
    if t < 0:
        ### BEGIN SOLUTION
        raise ValueError("t counts steps")
        ### END SOLUTION
    ### BEGIN SOLUTION
    return RATE**t  # only in the solution of decay
    ### END SOLUTION


# %% tags=["check:decay", "points:3"]
check("decay", decay)
### BEGIN HIDDEN TESTS
assert decay(0) == 1, "decay(0) is 1: nothing was lost yet"
### END HIDDEN TESTS

# %% [markdown] tags=["teacher"]
# The model answer to the last question.

# %% [markdown]
# ## 3. What to take home

# %%
print("the end of the lesson")
