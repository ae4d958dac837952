"""The structure of a PDF that we draw, for who listens to it: headings, lines, tables, figures.

What is drawn is marked while it is drawn, each mark with the line and the cell that it belongs to;
here a tree is made of the marks. Letters that are shaped or read from right to left are said by the
tree, too (ActualText), because what a page holds of them is in the order in which it is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pikepdf

ROW: Final = "TR"


@dataclass(slots=True)
class Mark:
    """A stretch of a page's drawing: its role, the line it belongs to, and in a table its cell.

    `said` are the texts set in it, `reordered` that they are not drawn as they are read.
    """

    page: int
    number: int
    role: str
    part: int
    place: int = 0
    alt: str | None = None
    said: list[str] = field(default_factory=list)
    reordered: bool = False


def put_tree(document: "pikepdf.Pdf", marks: list[Mark]) -> None:
    """Give a document the tree of its marks."""
    import pikepdf  # noqa: PLC0415 - what only measures texts does not need it

    tree = _Tree(document)
    for _, lines in groupby(
        _lines(marks), key=lambda line: (line[0].role == ROW, len(_cells(line)))
    ):
        group = list(lines)
        if group[0][0].role != ROW:
            for line in group:
                tree.add(tree.root, line[0].role, line)
            continue
        table = tree.add(tree.root, "Table", [])
        for line in group:
            row = tree.add(table, ROW, [])
            # A reader orders a line as a whole: where one cell is turned, all are said.
            turned = any(mark.reordered for mark in line)
            for cell in _cells(line):
                role = "TH" if any(mark.alt == "TH" for mark in cell) else "TD"
                tree.add(row, role, cell, said=turned)
    tree.finish()
    document.Root.MarkInfo = pikepdf.Dictionary(Marked=True)
    document.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)


def _lines(marks: list[Mark]) -> Iterator[list[Mark]]:
    """Give the marks of each line together; a cell that is broken stays one."""
    for _, group in groupby(marks, key=lambda mark: mark.part):
        yield list(group)


def _cells(line: list[Mark]) -> list[list[Mark]]:
    """Give the marks of each cell of a row, none for a cell in which nothing stands."""
    last = max(mark.place for mark in line)
    return [[mark for mark in line if mark.place == place] for place in range(last + 1)]


class _Tree:
    def __init__(self, document: "pikepdf.Pdf") -> None:
        import pikepdf  # noqa: PLC0415 - idem

        self._pdf, self._name, self._array = document, pikepdf.Name, pikepdf.Array
        self._dictionary, self._text = pikepdf.Dictionary, pikepdf.String
        self._owners: list[dict[int, Any]] = [{} for _ in document.pages]
        self._tree = document.make_indirect(self._dictionary(Type=self._name.StructTreeRoot))
        self.root = document.make_indirect(
            self._dictionary(
                Type=self._name.StructElem,
                S=self._name.Document,
                P=self._tree,
                K=self._array([]),
            )
        )

    def add(self, parent: Any, role: str, marks: list[Mark], *, said: bool = False) -> Any:  # noqa: ANN401 - pikepdf's
        """Add an element to its parent, with what is drawn of it; `said` adds its text."""
        entry = self._dictionary(
            Type=self._name.StructElem, S=self._name(f"/{role}"), P=parent, K=self._array([])
        )
        if marks:
            entry.Pg = self._pdf.pages[marks[0].page].obj
            if role == "Figure":
                entry.Alt = self._text(marks[0].alt or "")
            if said or any(mark.reordered for mark in marks):
                entry.ActualText = self._text(" ".join(" ".join(mark.said) for mark in marks))
        element = self._pdf.make_indirect(entry)
        for mark in marks:
            page = self._pdf.pages[mark.page].obj
            content: Any = mark.number
            if page.objgen != element.Pg.objgen:
                content = self._dictionary(Type=self._name.MCR, Pg=page, MCID=mark.number)
            element.K.append(content)
            self._owners[mark.page][mark.number] = element
        parent.K.append(element)
        return element

    def finish(self) -> None:
        """Say of each page's marks which elements they belong to."""
        numbers = self._array([])
        for index, owners in enumerate(self._owners):
            self._pdf.pages[index].obj.StructParents = index
            numbers.append(index)
            numbers.append(
                self._pdf.make_indirect(self._array([owners[mcid] for mcid in sorted(owners)]))
            )
        self._tree.K = self._array([self.root])
        self._tree.ParentTree = self._pdf.make_indirect(self._dictionary(Nums=numbers))
        self._tree.ParentTreeNextKey = len(self._owners)
        self._pdf.Root.StructTreeRoot = self._tree
