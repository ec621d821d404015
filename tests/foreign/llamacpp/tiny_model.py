"""A language model of 2 MB that always says the same: a chain of pieces of text, each a token.

    python tiny_model.py FILE PIECE ... [--loop]

Its embedding is the identity, its attention and its feed-forward layer are nothing, and its output
matrix says which token follows which: what llama.cpp does with it is what it does with any model of
the llama architecture. All other text is read byte by byte. `--loop`: the last piece follows itself,
and no answer ends.
"""

import sys

import gguf
import numpy

ANSWER = b"<|answer|>"
"""The last token of a prompt; the first piece follows it."""

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}" + ANSWER.decode()
)
UNKNOWN, BEGIN, END = range(3)
NORMAL, UNKNOWN_TYPE, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6
FEED_FORWARD = 32


def vocabulary(pieces: list[str]) -> tuple[list[bytes], list[int]]:
    """Tokens and their types; a multiple of 32 of them."""
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    types = [UNKNOWN_TYPE, CONTROL, CONTROL, *[BYTE] * 256]
    tokens += [ANSWER, *(piece.replace(" ", "\u2581").encode() for piece in pieces)]
    types += [CONTROL, *[NORMAL] * len(pieces)]
    spare = -len(tokens) % 32
    tokens += [f"<spare{number}>".encode() for number in range(spare)]
    return tokens, types + [UNUSED] * spare


def write(path: str, pieces: list[str], *, loop: bool) -> None:
    tokens, types = vocabulary(pieces)
    size = len(tokens)
    answer = tokens.index(ANSWER)
    follows = numpy.zeros((size, size), numpy.float32)
    for number in range(len(pieces)):
        follows[answer + number + 1, answer + number] = 2
    follows[END, answer + len(pieces)] = 2
    if loop:
        again = answer + len(pieces) - 1
        follows[:, again] = 0
        follows[again, again] = 2
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(size)])
    writer.add_token_types(types)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_bos_token_id(BEGIN)
    writer.add_eos_token_id(END)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    ones = numpy.ones(size, numpy.float32)
    writer.add_tensor("token_embd.weight", numpy.eye(size, dtype=numpy.float32))
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", follows)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", ones)
    shapes = {"attn_q": (size, size), "attn_k": (size, size), "attn_v": (size, size),
              "attn_output": (size, size), "ffn_gate": (FEED_FORWARD, size),
              "ffn_up": (FEED_FORWARD, size), "ffn_down": (size, FEED_FORWARD)}  # fmt: skip
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", numpy.zeros(shape, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--loop"]
    write(given[0], given[1:], loop="--loop" in sys.argv)
