"""Words that a notebook shows as Markdown and print() shows plainly."""

import re


class Text:
    """Markdown with **bold**, *italics*, `code`, tables, and what <details> fold up; printed, all of it is there."""

    def __init__(self, markdown: str):
        self.markdown = markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __str__(self) -> str:
        return re.sub(r"[*`]+|</?(?:details|summary)>", "", self.markdown)

    __repr__ = __str__
