"""One experiment in the dialects of five tools: LLaMA-Factory, XTuner 0.2.0, unsloth, Firefly and xTuring.

Each file has `render(spec, rows) -> {file name: text}` and its inverse for the rows, `read(files)`. Both are pure: no
tool is imported and nothing is written. `export` writes a folder that is ready to run, and `import_adapter` reads what
the tool has trained there. What was tried with the tools themselves, and what was only written, is in docs/tools.md.
"""

from ftlib.tools.base import SMOLLM2, Base, Markup, base_of, markup_of, plain_folder
from ftlib.tools.coverage import coverage, record
from ftlib.tools.hand_over import TOOLS, export, find_spec, tool
from ftlib.tools.importing import adapter_of, held_out, import_adapter
from ftlib.tools.page import lost_in
from ftlib.tools.recipes import Recipe, Stage, recipe
from ftlib.tools.rows import rows_of

__all__ = ["SMOLLM2", "TOOLS", "Base", "Markup", "Recipe", "Stage", "adapter_of", "base_of", "coverage", "export"]
__all__ += ["find_spec", "held_out", "import_adapter", "lost_in", "markup_of", "plain_folder", "recipe", "record"]
__all__ += ["rows_of", "tool"]
