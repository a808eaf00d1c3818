"""Write the vectors of codes that C, Python and Java read: `python tests/vectors/make.py`.

The answers come from the oracles in `edge_sdk.reference`, the inputs from a
generator of its own, so that the files depend on no library's version.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_sdk import reference

HERE = Path(__file__).resolve().parent
ONES = (1 << 64) - 1
WIDTHS = (1, 2, 3, 5, 7, 8, 9, 10, 12, 16, 20, 24, 31, 32, 33, 40, 48, 57, 63, 64)

COMMON = """\
# One case a line; `python tests/vectors/make.py` writes this file.
# bits: of a code. codes: the classes' codes by id, hexadecimal, bit j of a code being bit j
# of the number; several values are parted by commas, and - stands for none.
"""
HEADS = {
    "codes_ed.txt": """\
# ED: the lowest id whose code each word equals, - for none.
# name bits codes words -> ids
""",
    "codes_mhd.txt": """\
# MHD: the class nearest to each word, ties to the lowest id, with its distance and that of
# the next other class; bits + 1 for the distance of no class.
# name bits codes words -> id:distance:runner_up
""",
    "codes_ord.txt": """\
# ORD: the class of largest z.c. scores: z of one query, bit by bit, each the 8 hexadecimal
# digits of an IEEE float32. max_lookups: 0 is EDGE_LOOKUPS_AUTO, where look-ups and `met`
# are free (-), and edge_soft_decode gives the same id. fallback: none, mhd or soft; met: none,
# order, mhd or soft.
# name bits codes scores max_lookups fallback -> id lookups met
""",
    "codes_search.txt": """\
# Search: the k codes nearest to each query, nearest first, ties by id; queries are parted by
# semicolons.
# name bits codes k queries -> id:distance,...
""",
}


class Random:
    """SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def word(self, bits: int = 64) -> int:
        """Return `bits` random bits."""
        word = 0
        for at in range(0, bits, 64):
            self.state = self.state + 0x9E3779B97F4A7C15 & ONES
            z = self.state
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & ONES
            z = (z ^ z >> 27) * 0x94D049BB133111EB & ONES
            word |= (z ^ z >> 31) << at
        return word & (1 << bits) - 1

    def below(self, n: int) -> int:
        """Return an integer from 0 to n - 1."""
        return self.word() % n

    def real(self) -> float:
        """Return a float32 in [-1, 1)."""
        return (self.word(24) - (1 << 23)) / (1 << 23)

    def codes(self, bits: int, n: int) -> list[int]:
        """Return `n` different codes, or all there are."""
        found: dict[int, None] = {}
        while len(found) < min(n, 1 << bits):
            found[self.word(bits)] = None
        return list(found)


def hexadecimal(words: list[int], bits: int) -> str:
    """Return words as one column."""
    return ",".join(f"{word:0{(bits + 3) // 4}x}" for word in words) or "-"


def near(random: Random, codes: list[int], bits: int, n: int) -> list[int]:
    """Return `n` codes with none to three bits flipped."""
    found = []
    for i in range(n):
        word = codes[random.below(len(codes))]
        for _ in range(i % 4):
            word ^= 1 << random.below(bits)
        found.append(word)
    return found


def books() -> Iterator[tuple[str, int, list[int], list[int]]]:
    """Yield (name, bits, codes, words): what every decoder of words is tried on."""
    random = Random(1)
    yield "no_classes", 8, [], [0, 255]
    yield "one_class", 8, [7], [7, 0, 255]
    yield "one_class_of_one_bit", 1, [1], [0, 1]
    yield "one_class_of_64_bits", 64, [1 << 63], [1 << 63, 0, ONES]
    yield "tie_lower_id", 2, [1, 2], [0, 3, 1, 2]
    yield "tie_lower_id_although_later_in_value", 4, [8, 4, 2, 1], [0, 15, 3, 12]
    yield "tie_of_all", 64, [1 << i for i in (63, 0, 31, 32)], [0, ONES]
    yield "twins", 8, [5, 9, 5, 9, 5], [5, 9, 4, 13]
    yield "twins_of_zero", 64, [0, 0], [0, ONES]
    yield "twins_side_by_side", 3, [6, 1, 7, 0, 2, 5, 6, 3, 1, 6], list(range(8))
    yield "all_words", 3, [6, 1, 7, 0, 2, 5, 4, 3], list(range(8))
    yield "largest_word", 64, [ONES, ONES - 1, 0], [ONES, ONES - 1, ONES >> 1, 1]
    yield "bit_63", 64, [1, 1 << 63, 1 << 63 | 1], [1, 1 << 63, 1 << 63 | 1, 0]
    yield "bit_31", 32, [1, 1 << 31, 1 << 31 | 1], [1, 1 << 31, 1 << 31 | 1, 0]
    yield "opposites", 16, [0, 0xFFFF], [0x00FF, 0xFF00, 0x01FF, 0x007F]
    # Once lost: its mixed word is 0, a quotient that only at 64 bits must be empty.
    yield "first_quotient_of_63_bits", 63, [0x1E3779B97F4A7C15, 5], [0x1E3779B97F4A7C15, 5, 4]
    for bits in WIDTHS:
        for n in {2: (2,), 20: (3, 150), 32: (150,), 64: (150,)}.get(min(bits, 64), (17,)):
            codes = random.codes(bits, n)
            words = [codes[0], codes[-1], 0, (1 << bits) - 1]
            words += near(random, codes, bits, 8) + [random.word(bits) for _ in range(4)]
            yield f"random_{bits}_bits_{len(codes)}_classes", bits, codes, words


def ed() -> Iterator[str]:
    """Yield the lines of codes_ed.txt."""
    for name, bits, codes, words in books():
        ids = reference.exact_decode(codes, words).tolist()
        answers = ",".join("-" if i < 0 else str(i) for i in ids)
        yield f"{name} {bits} {hexadecimal(codes, bits)} {hexadecimal(words, bits)} -> {answers}"


def mhd() -> Iterator[str]:
    """Yield the lines of codes_mhd.txt."""
    for name, bits, codes, words in books():
        answers = []
        for word in words:
            ids, distances = reference.hamming_search(codes, [word], 2)
            row = [*zip(ids[0].tolist(), distances[0].tolist(), strict=True)]
            row += [("-", bits + 1)] * (2 - len(row))
            answers.append(f"{row[0][0]}:{row[0][1]}:{row[1][1]}")
        yield (f"{name} {bits} {hexadecimal(codes, bits)} {hexadecimal(words, bits)} -> "
               f"{','.join(answers)}")


def score_kinds(random: Random, codes: list[int], bits: int) -> Iterator[tuple[str, list[float]]]:
    """Yield (name, scores) of queries that are easy to get wrong."""
    tiny, smallest, largest = 2.0**-126, 2.0**-149, (2 - 2.0**-23) * 2.0**127
    code = codes[random.below(len(codes))]
    signs = [1.0 if code >> j & 1 else -1.0 for j in range(bits)]
    yield "noisy", [s + 1.5 * random.real() for s in signs]
    yield "random", [random.real() for _ in range(bits)]
    yield "equal", [s * 0.5 if random.below(6) else -s * 0.5 for s in signs]
    yield "rounded", [round(3 * random.real()) / 2 for _ in range(bits)]
    yield "zero", [0.0] * bits
    yield "minus_zero", [-0.0] * bits
    yield "mixed_zeros", [(0.0, -0.0, 1.0, -1.0)[random.below(4)] for _ in range(bits)]
    yield "denormal", [random.real() * tiny for _ in range(bits)]
    yield "smallest", [smallest * (random.below(7) - 3) for _ in range(bits)]
    yield "huge_range", [random.real() * (1e-30, 1e30)[random.below(2)] for _ in range(bits)]
    yield "powers", [random.real() * 2.0 ** (random.below(240) - 120) for _ in range(bits)]
    yield "largest", [largest if random.below(2) else -largest for _ in range(bits)]
    yield "largest_beside_smallest", [(largest, -smallest)[random.below(2)] for _ in range(bits)]


def bounded(codes: list[int], bits: int, scores: np.ndarray, most: int, fallback: str) -> str:
    """Return the answer's columns of ORD with at most `most` look-ups."""
    found, lookups = reference.ordered_decode(codes, scores, most)
    # Certain if another look-up would not have been made.
    certain = reference.ordered_decode(codes, scores, most + 1)[1] == lookups
    met = "none" if found < 0 else "order"
    if fallback == "soft" and not certain:
        found, met = int(reference.soft_decode(codes, scores)[0]), "soft"
    if fallback == "mhd" and found < 0:
        found = int(reference.hamming_search(codes, [reference.sign_word(scores)], 1)[0][0, 0])
        met = "mhd"
    return f"{'-' if found < 0 else found} {lookups} {met}"


def ordered() -> Iterator[str]:
    """Yield the lines of codes_ord.txt."""
    random = Random(2)
    special = [("one_class", 3, [5]), ("all_words", 3, [6, 1, 7, 0, 2, 5, 4, 3]),
               ("twins", 4, [9, 3, 9]), ("opposites", 8, [0, 255]),
               ("bit_63", 64, [1, 1 << 63, ONES, 0])]
    made = [(f"random_{bits}_bits", bits, random.codes(bits, n))
            for bits, n in ((1, 2), (2, 3), (6, 9), (8, 12), (10, 16), (16, 18),
                            (32, 9), (33, 7), (64, 7))]
    for name, bits, codes in special + made:
        for kind, values in score_kinds(random, codes, bits):
            scores = np.array(values, np.float32)
            packed = ",".join(f"{raw:08x}" for raw in struct.unpack(
                f"<{bits}I", scores.astype("<f4").tobytes()))
            start = f"{name}_{kind} {bits} {hexadecimal(codes, bits)} {packed}"
            yield f"{start} 0 soft -> {int(reference.soft_decode(codes, scores)[0])} - -"
            if bits <= 10 and kind in ("noisy", "rounded", "zero"):
                for most, fallback in ((1, "none"), (random.below(6) + 2, "none"), (2, "mhd"),
                                       (3, "soft"), (65536, "none")):
                    yield (f"{start} {most} {fallback} -> "
                           f"{bounded(codes, bits, scores, most, fallback)}")
    yield "no_classes 3 - 3f800000,bf800000,00000000 0 soft -> - - -"


def nearest(codes: list[int], query: int, bits: int, k: int) -> str:
    """Return the hits of one query, from the oracle's distances of 64 bits at a time."""
    distances = np.zeros((1, len(codes)), np.int64)
    for at in range(0, bits, 64):
        distances += reference.hamming_distances([code >> at & ONES for code in codes],
                                                 [query >> at & ONES])
    ids = np.argsort(distances[0], kind="stable")[:k].tolist()
    return ",".join(f"{i}:{distances[0, i]}" for i in ids) or "-"


def search() -> Iterator[str]:
    """Yield the lines of codes_search.txt."""
    random = Random(3)
    cases = [("no_items", 8, [], 3, [0, 255]), ("one_item", 64, [1 << 63], 2, [0]),
             ("k_of_zero", 8, [1, 2], 0, [0]), ("k_of_all", 8, [3, 1, 0, 3], 4, [0, 3]),
             ("k_beyond_all", 8, [3, 1, 0], 9, [0]), ("ties", 4, [8, 4, 2, 1, 0], 3, [15, 0]),
             ("equal_items", 16, [9] * 70, 66, [9]), ("largest_word", 64, [0, ONES], 1, [ONES])]
    for bits in (*WIDTHS, 128, 256):
        for n, k in ((150, 10),) if bits in (20, 64, 128) else ((40, 5), (9, 1)):
            codes = [random.word(bits) for _ in range(n)]  # equal ones are items too
            queries = [*near(random, codes, bits, 2), random.word(bits)]
            cases.append((f"random_{bits}_bits_{n}_items_{k}", bits, codes, k, queries))
    for bits in (128, 256):
        high = 1 << bits - 1
        cases.append((f"every_word_of_{bits}_bits_counts", bits,
                      [1 << at for at in range(0, bits, 64)] + [high, 0], 3, [0, high]))
    for name, bits, codes, k, queries in cases:
        answers = ";".join(nearest(codes, query, bits, k) for query in queries)
        yield (f"{name} {bits} {hexadecimal(codes, bits)} {k} {hexadecimal(queries, bits)} -> "
               f"{answers}")


def files() -> dict[str, str]:
    """Return every file's text by its name."""
    lines = {"codes_ed.txt": ed, "codes_mhd.txt": mhd, "codes_ord.txt": ordered,
             "codes_search.txt": search}
    return {name: COMMON + HEADS[name] + "".join(f"{line}\n" for line in make())
            for name, make in lines.items()}


if __name__ == "__main__":
    for file, text in files().items():
        (HERE / file).write_text(text, encoding="ascii", newline="\n")
        print(f"wrote   {file}  {len(text)} B  {text.count(' -> ')} cases")
