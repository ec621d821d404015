"""Damage of bytes, as Hypothesis draws it and makes it smaller."""

from hypothesis import strategies as st

Damage = tuple[float, str, bytes]
"""Where, as a part of the length; what is done there; the bytes that it is done with."""

PIECES = [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80" * 10,
    b"\x01\0\0\0",
    b"\xff\x7f",
]
DAMAGES: st.SearchStrategy[list[Damage]] = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["replace", "insert", "cut", "repeat"]),
        st.sampled_from(PIECES) | st.binary(min_size=1, max_size=8),
    ),
    max_size=4,
)


def damaged(content: bytes, damages: list[Damage]) -> bytes:
    """The content after all of it."""
    for where, what, piece in damages:
        at = int(where * len(content))
        match what:
            case "replace":
                content = content[:at] + piece + content[at + len(piece) :]
            case "insert":
                content = content[:at] + piece + content[at:]
            case "cut":
                content = content[:at]
            case _:
                content = content[:at] + content[at : at + 100] * len(piece) + content[at:]
    return content
