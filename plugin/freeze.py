"""Compiles the plugin's modules for the binary: build.py runs it with the Python that the binary embeds.

Run: python3.11 -I -S freeze.py SOURCE_DIRECTORY OUTPUT_HEADER. Code that only readers and type checkers need is left
out (docstrings, annotations, ``if TYPE_CHECKING`` blocks, ``from __future__``), so that it costs nothing at start.
"""

from __future__ import annotations

import ast
import marshal
import sys
from pathlib import Path


class _Strip(ast.NodeTransformer):
    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            argument.annotation = None
        return self.generic_visit(node)


def compile_module(path: Path) -> bytes:
    """The marshalled code object of one module."""
    tree = _Strip().visit(ast.parse(path.read_text(), path.name))
    ast.fix_missing_locations(tree)
    return marshal.dumps(compile(tree, path.name, "exec", dont_inherit=True, optimize=2))


def main(sources: Path, header: Path) -> None:
    lines = []
    table = []
    for path in sorted(sources.glob("*.py")):
        if path.stem.startswith("__"):
            continue
        code = compile_module(path)
        name = f"code_{path.stem}"
        lines.append(f"static const unsigned char {name}[] = {{{','.join(map(str, code))}}};")
        table.append(f'    {{"vpccni_plugin.{path.stem}", {name}, sizeof {name}}},')
    lines += [
        "static const struct {",
        "    const char *name;",
        "    const unsigned char *code;",
        "    int size;",
        "} frozen_modules[] = {",
        *table,
        "};",
        "",
    ]
    header.write_text("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
