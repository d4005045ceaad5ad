"""Text that a notebook shows as Markdown and print() shows without markup."""

import re


class Text:
    """Text that a notebook renders as Markdown. Printed, it has no markup.

    Parameters
    ----------
    markdown : str
        Markdown with bold, italics, code and tables. A notebook folds the parts in <details>, and print() shows them.

    Examples
    --------
    >>> ftlib.teach.Text("The **verdict** of `Z1`")
    The verdict of Z1
    """

    def __init__(self, markdown: str):
        self.markdown = markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __str__(self) -> str:
        return re.sub(r"[*`]+|</?(?:details|summary)>", "", self.markdown)

    __repr__ = __str__
