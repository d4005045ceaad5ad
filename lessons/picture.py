"""docs/comparison.png, the picture in the README, from the recorded runs of lesson 01."""

from pathlib import Path

from ftlib import load_runs, plots

ROOT = Path(__file__).parent.parent

if __name__ == "__main__":
    runs = load_runs(ROOT / "data" / "results" / "01_full.jsonl").query("purpose == 'measure' and task == 'elpv'")
    title = "One network, four ways to use it, 200 solar cells, six seeds"
    figure = plots.scores(runs, "test.balanced_accuracy", title, "balanced accuracy on test, mean and 95 % interval")
    (ROOT / "docs" / "comparison.png").write_bytes(figure.png())
    print(figure.alt)
