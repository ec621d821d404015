"""Writes the pages that are made of the code.

python -m tests.documents
"""

from tests.documents.pages import written

if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
