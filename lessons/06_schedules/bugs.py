"""Bugs of the strategies of lesson 06_schedules, and of what only it uses."""

from bug import Bug

PLAYGROUND = "lessons/06_schedules/test_playground.py"
PLAYGROUND_WORDS = "lessons/06_schedules/test_playground_words.py"
SCHEDULES = "strategies/test_schedules.py"
AS_TORCH = f"{SCHEDULES}::test_a_shape_is_torchs_own_without_and_with_a_warmup"
AS_TRANSFORMERS = f"{SCHEDULES}::test_a_shape_is_that_of_transformers_half_a_step_later"
AS_ONE_CYCLE = f"{SCHEDULES}::test_one_cycle_is_torchs_with_its_defaults"
AREA = f"{SCHEDULES}::test_the_mean_scale_is_the_area_of_the_closed_form"
WARMUP = f"{SCHEDULES}::test_a_warmup_starts_above_0_ends_at_1_and_is_a_straight_line"
WRITTEN_OUT_LINEAR = f"{SCHEDULES}::test_training_equals_the_loop_with_torchs_scheduler_written_out"
RANGE = f"{SCHEDULES}::test_a_range_test_finds_the_steepest_fall_and_the_explosion"
TWO = "better and worse"

BUGS = [
    Bug(
        "a warmup that never ends", "Constant", "ftlib/strategies/schedules.py",
        "min(1.0, p / share) if share", "p / share if share",
        "The rate goes on rising past its peak, to twenty times of it.",
        (AS_TRANSFORMERS, AREA, f"{SCHEDULES}::test_a_scale_is_above_0_and_1_at_most_and_the_same_when_asked_again"),
    ),
    Bug(
        "warmup ignored", "Constant", "ftlib/strategies/schedules.py",
        "        return warm_up(progress, self.warmup)\n", "        return 1.0\n",
        "warmup is accepted and does nothing.",
        (AS_TRANSFORMERS, WARMUP),
    ),
    Bug(
        "only the first drop", "StepDecay", "ftlib/strategies/schedules.py",
        "factor ** sum(q >= share for share in at)", "factor ** any(q >= share for share in at)",
        "The second drop is never made.",
        (AS_TORCH, AREA),
    ),
    Bug(
        "drops counted from the start of the run", "StepDecay", "ftlib/strategies/schedules.py",
        "drops(after(progress, self.warmup), self.at", "drops(progress, self.at",
        "After a warmup they come too early.",
        (AS_TORCH, AREA),
    ),
    Bug(
        "decay during the warmup", "LinearDecay", "ftlib/strategies/schedules.py",
        "* linear(after(progress, self.warmup))", "* linear(progress)",
        "The peak is never reached: the decay began before the warmup was over.",
        (AS_TORCH, AS_TRANSFORMERS, WARMUP, AREA),
    ),
    Bug(
        "decay to half the peak", "LinearDecay", "ftlib/strategies/schedules.py",
        "    return 1 - q\n", "    return 1 - q / 2\n",
        "The last steps are as long as those in the middle, and the end is noisy.",
        (AS_TORCH, AS_TRANSFORMERS, AREA, WRITTEN_OUT_LINEAR),
    ),
    Bug(
        "a whole wave", "Cosine", "ftlib/strategies/schedules.py",
        "math.cos(math.pi * q)", "math.cos(2 * math.pi * q)",
        "The rate is 0 half-way and back at its peak at the end. The area is the same, so the mean does not show it.",
        (AS_TORCH, AS_TRANSFORMERS, f"{SCHEDULES}::test_cycles_begin_at_the_peak_end_at_0_and_grow"),
    ),
    Bug(
        "a quarter of a wave", "Cosine", "ftlib/strategies/schedules.py",
        "(1 + math.cos(math.pi * q)) / 2", "math.cos(math.pi * q / 2)",
        "The rate stays high for too long and falls fastest at the end.",
        (AS_TORCH, AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "cycles that do not grow", "Restarts", "ftlib/strategies/schedules.py",
        "[growth**i for i in range(cycles)]", "[1.0 for i in range(cycles)]",
        "growth is accepted and does nothing.",
        (AS_TORCH, f"{SCHEDULES}::test_cycles_begin_at_the_peak_end_at_0_and_grow"),
    ),
    Bug(
        "a restart that is none", "Restarts", "ftlib/strategies/schedules.py",
        "        left -= length\n", "",
        "A cycle begins where the clock of the last one stands, in the middle of its wave.",
        (AS_TORCH, AS_TRANSFORMERS, AREA, f"{SCHEDULES}::test_cycles_begin_at_the_peak_end_at_0_and_grow"),
    ),
    Bug(
        "the cooldown at the wrong end", "WarmupStableDecay", "ftlib/strategies/schedules.py",
        "max(0.0, p - (1 - share)) / share", "max(0.0, p - share) / share",
        "It begins after a fifth of the steps, and then the rate falls below 0: training climbs.",
        (AS_TRANSFORMERS, AREA, f"{SCHEDULES}::test_a_scale_is_above_0_and_1_at_most_and_the_same_when_asked_again"),
    ),
    Bug(
        "one form for both", "WarmupStableDecay", "ftlib/strategies/schedules.py",
        'math.sqrt(r) if form == "1-sqrt" else r', "math.sqrt(r)",
        "form is accepted and does nothing.",
        (AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "the inverse without its root", "InverseSqrt", "ftlib/strategies/schedules.py",
        "math.sqrt(share / max(p, share))", "share / max(p, share)",
        "The rate falls much too fast: to a twentieth and not to two ninths of the peak.",
        (AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "the fall is measured in the wrong unit", "InverseSqrt", "ftlib/strategies/schedules.py",
        "warm_up(progress, self.warmup) * inverse_sqrt(progress, self.warmup)",
        "warm_up(progress, self.warmup) * inverse_sqrt(after(progress, self.warmup), self.warmup)",
        "The rate stays at its peak for as long again as the warmup took.",
        (AS_TRANSFORMERS, AREA),
    ),
    Bug(
        "one cycle from 0", "OneCycle", "ftlib/strategies/schedules.py",
        "1 - (1 - start) * cosine(p / rise)", "1 - cosine(p / rise)",
        "div_factor is accepted and changes nothing at the start.",
        (AS_ONE_CYCLE, AREA),
    ),
    Bug(
        "the last rate over the peak", "OneCycle", "ftlib/strategies/schedules.py",
        "start / self.final_div_factor)", "1 / self.final_div_factor)",
        "The end is taken from the peak and not from the first rate: 25 times too high.",
        (AS_ONE_CYCLE,),
    ),
    Bug(
        "a range swept evenly", "RangeTest", "ftlib/strategies/schedules.py",
        "low ** (1 - p)", "low + (1 - low) * p",
        "Nine steps of ten test the last decade, and the small rates are hardly seen.",
        (AREA, f"{SCHEDULES}::test_a_range_test_of_a_real_run"),
    ),
    Bug(
        "the noise is the steepest", "RangeTest", "ftlib/strategies/schedules.py",
        "smooth = [sum(some) / len(some) for some in windows]", "smooth = losses",
        "Without a mean, the largest jump between two batches is taken for the steepest fall.",
        (RANGE,),
    ),
    Bug(
        "a mean that lags", "RangeTest", "ftlib/strategies/schedules.py",
        "losses[max(0, i - half) : i + half + 1]", "losses[max(0, i - 2 * half) : i + 1]",
        "A mean over the past finds everything some steps late, at higher rates than it happened.",
        (f"{SCHEDULES}::test_smoothing_does_not_lag_behind",),
    ),
    Bug(
        "the rate of the explosion itself", "RangeTest", "ftlib/strategies/schedules.py",
        "explodes and explodes / 10", "explodes",
        "The rate that is suggested is the one at which training breaks.",
        (RANGE,),
    ),
    Bug(
        "left on the way", "Waypoints", "ftlib/strategies/schedules.py",
        "        model.load_state_dict(end)\n        rises", "        rises",
        "The model keeps statistics that were counted anew for the measurement.",
        (f"{SCHEDULES}::test_watching_changes_nothing",),
    ),
    Bug(
        "the barrier above nothing", "Waypoints", "ftlib/strategies/schedules.py",
        "[loss - (1 - s) * losses[0] - s * losses[-1] for", "[loss for",
        "Every loss counts as a hill.",
        (
            f"{SCHEDULES}::test_the_barrier_is_the_highest_rise_above_the_straight_line_between_the_ends",
            f"{SCHEDULES}::test_a_linear_probe_has_no_hill_on_its_way_since_its_loss_is_convex",
        ),
    ),
    Bug(
        "the farthest run called the nearest", "widgets", "lessons/06_schedules/widget.py",
        "run, scores = min(here,", "run, scores = max(here,",
        "The words tell of a run that has nothing to do with what is drawn.",
        (f"{PLAYGROUND_WORDS}::test_it_says_what_its_data_say[{TWO}]",),
    ),
    Bug(
        "each run at its peak", "widgets", "lessons/06_schedules/widget.py",
        'run["mean rate"] = _mean(self._rates(run["shape"], run["lr"], run["warmup"], int(run["steps"])))',
        'run["mean rate"] = run["lr"]',
        "A decay stands on the right at twice its mean rate, away from the constant rate that moves as far.",
        (
            f"{PLAYGROUND}::test_on_the_right_each_recorded_run_stands_at_its_mean_rate",
            f"{PLAYGROUND_WORDS}::test_it_says_what_its_data_say[{TWO}]",
        ),
    ),
    Bug(
        "it opens with a flat line", "widgets", "lessons/06_schedules/widget.py",
        "        self._begin(runs)\n", "",
        "The first state, which is also the still, is the first shape at the lowest peak: a constant rate.",
        (f"{PLAYGROUND}::test_it_opens_with_a_schedule_that_rises_and_falls",),
    ),
]  # fmt: skip
