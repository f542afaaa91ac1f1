"""Runs notebooks from top to bottom and keeps what they drew: `make notebooks`.

What changes from one run to the next without meaning anything (times of execution, versions of the kernel) is left out,
so that a difference between two commits is one that a reader would see.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
SECONDS = 300
"""Time limit of a cell."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path, lake: Path) -> NotebookNode:
    """The notebook with the outputs of a fresh kernel, over the lake. CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": HERE}},
        shutdown_kernel="immediate",  # it has told all, the audit too, when its last cell has run
    )  # fmt: skip
    known = {name: value for name, value in os.environ.items() if not name.startswith("EHR_")}
    root = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    told = {"EHR_LAKE": str(lake.resolve()), "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    told["PYTHONWARNINGS"] = "ignore:IProgress not found"  # a progress bar that nobody would see
    client.execute(env={**known, **told})
    return plain(notebook)


def plain(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what a run leaves beside its outputs."""
    notebook.metadata = nbformat.from_dict({**METADATA, "drawn_by": digest(notebook)})
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        for output in cell.get("outputs", []):
            output.pop("metadata", None)
            if output.output_type in ("display_data", "execute_result"):
                output.metadata = NotebookNode()
    return notebook


def digest(notebook: NotebookNode) -> str:
    """Of the code: where it is another one than the outputs were drawn by, they are stale."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def main(lake: Path) -> None:
    """Runs every notebook of this folder in place."""
    for path in sorted(HERE.glob("*.ipynb")):
        print(f"  {path.name}", flush=True)
        notebook = executed(path, lake)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
