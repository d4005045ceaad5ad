"""Build `sentiment.tsv.gz` from the source archive of vaderSentiment 3.3.2 (MIT licence).

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python data/build_sentiment.py vaderSentiment-3.3.2.tar.gz

One row a sentence; tab-separated, UTF-8, a header line, nothing quoted or escaped. Columns:
domain    tweets, amazon, movies or nyt
id        as in the source; unique within its domain
review    the review (amazon) or article (nyt) that the sentence was cut from: the number before the `_` of
          the id. Ids of tweets and movies hold no such number: there every sentence is a group of its own.
rating    mean over the raters, -4 (very negative) to 4 (very positive), as published
rater_sd  standard deviation over the raters (divided by n, not n - 1), as published
text      unchanged
"""

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
DOMAINS = {
    "tweets": "tweets",
    "amazon": "amazonReviewSnippets",
    "movies": "movieReviewSnippets",
    "nyt": "nytEditorialSnippets",
}


def rows(archive: tarfile.TarFile, member: str, fields: int) -> list[list[str]]:
    """The lines of one tab-separated file; every line must have `fields` fields."""
    text = archive.extractfile(f"hutto_ICWSM_2014/{member}.txt").read().decode("utf-8-sig")  # one has a mark in front
    table = [line.split("\t") for line in text.removesuffix("\r\n").split("\r\n")]
    wrong = [line for line in table if len(line) != fields]
    if wrong:
        raise SystemExit(f"{member} was expected to have {fields} fields a line; {len(wrong)} lines do not: {wrong[0]}")
    return table


def build(sdist: Path) -> str:
    """The whole table as text."""
    if (got := hashlib.sha256(sdist.read_bytes()).hexdigest()) != SDIST_SHA256:
        raise SystemExit(f"{sdist} was expected to have sha256 {SDIST_SHA256}, it has {got}: get version 3.3.2 again.")
    lines = ["domain\tid\treview\trating\trater_sd\ttext"]
    with tarfile.open(sdist) as outer, tarfile.open(fileobj=outer.extractfile(INNER)) as archive:
        for domain, file in DOMAINS.items():
            # joined by id, not by row: review 263 of amazon is in another order in the two files
            sds = {line[0]: line[2] for line in rows(archive, f"{file}_anonDataRatings", 4)}
            for key, rating, text in rows(archive, f"{file}_GroundTruth", 3):
                lines.append("\t".join([domain, key, key.split("_")[0], rating, sds[key], text]))
    return "\n".join(lines) + "\n"


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("The archive's path was expected: python data/build_sentiment.py vaderSentiment-3.3.2.tar.gz")
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:  # no name, no date: same bytes
        file.write(build(Path(sys.argv[1])).encode("utf-8"))
    target = Path(__file__).with_name("sentiment.tsv.gz")
    (part := target.with_suffix(".part")).write_bytes(packed.getvalue())
    part.replace(target)
    print(f"{target}: {len(packed.getvalue()):,} bytes, sha256 {hashlib.sha256(packed.getvalue()).hexdigest()}")


if __name__ == "__main__":
    main()
