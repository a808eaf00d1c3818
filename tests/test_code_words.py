"""`as_words`: every form of codes comes out as the same words, and every other form is refused."""

from __future__ import annotations

import numpy as np
import pytest
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.codes import as_words
from edge_sdk.codes.words import check_bits, tell_coding
from edge_sdk.errors import CodeError, ShapeError

TABLE = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1], [1, 1, 1]], np.uint8)
WORDS = [0b101, 0, 0b100, 0b111]


def wordy(caught):
    """Whether an error says what was expected, where, and what to do."""
    text = str(caught.value)
    return text.startswith("expected ") and " - at `" in text and "\nhint: " in text


@pytest.mark.parametrize("codes", [
    TABLE, TABLE.astype(bool), TABLE.astype(np.int64), TABLE.tolist(), np.asfortranarray(TABLE),
    TABLE.astype(np.int8) * 2 - 1, (TABLE * 2.0 - 1).astype(np.float32),
    (TABLE * 2.0 - 1).tolist(), (TABLE * 2.0 - 1).astype(np.float16),
    np.where(TABLE, 0.001, -7.5), [bitarray(row.tolist()) for row in TABLE],
    [bitarray(row.tolist(), endian="big") for row in TABLE],
    tuple(bitarray(row.tolist(), endian="little") for row in TABLE),
], ids=["01", "bool", "int64", "lists", "fortran", "signs", "real signs", "lists of signs",
        "halves", "real", "bitarrays", "big-endian bitarrays", "little-endian bitarrays"])
def test_a_table_in_any_form_is_the_same_words(codes):
    words, bits = as_words(codes)
    assert (words.dtype, words.tolist(), bits) == (np.uint64, WORDS, 3)
    assert as_words(codes, 3)[0].tolist() == WORDS


@pytest.mark.parametrize("codes", [
    WORDS, tuple(WORDS), np.array(WORDS, np.uint8), np.array(WORDS, np.int64),
    np.array(WORDS, ">u8"), np.repeat(np.array(WORDS, np.uint64), 2)[::2],
    np.array(WORDS, np.uint64),
], ids=["list", "tuple", "uint8", "int64", "big-endian", "strided", "uint64"])
def test_packed_integers_stay_what_they_are(codes):
    words, bits = as_words(codes, 3)
    assert (words.dtype, words.tolist(), bits) == (np.uint64, WORDS, 3)
    assert words.flags.c_contiguous


def test_packed_bytes_have_bit_j_at_bit_j_mod_8_of_byte_j_div_8():
    words, bits = as_words(np.array([[0x01, 0x80], [0xFF, 0x01]], np.uint8), 16, coding="packed")
    assert (words.tolist(), bits) == ([0x8001, 0x01FF], 16)
    assert as_words(np.array([[0x07]], np.uint8), 3, coding="packed")[0].tolist() == [7]


@pytest.mark.parametrize("bits", [128, 256])
def test_wide_codes_are_rows_of_words_lowest_bits_first(bits):
    table = np.zeros((2, bits), np.uint8)
    table[0, 0] = table[0, 64] = table[1, bits - 1] = 1
    words, width = as_words(table)
    assert (words.shape, words.dtype, width) == ((2, bits // 64), np.uint64, bits)
    assert words[0].tolist() == [1, 1] + [0] * (bits // 64 - 2)
    assert words[1].tolist() == [0] * (bits // 64 - 1) + [1 << 63]
    packed = np.packbits(table, axis=1, bitorder="little")
    assert np.array_equal(as_words(packed, bits, coding="packed")[0], words)


def test_words_of_64_bits_keep_their_highest_bit():
    top = 1 << 63
    for codes in ([top, 1, 2**64 - 1], np.array([top, 1, 2**64 - 1], np.uint64)):
        assert as_words(codes, 64)[0].tolist() == [top, 1, 2**64 - 1]
    assert as_words(np.eye(64, dtype=np.uint8)[63:])[0].tolist() == [top]


def test_the_sign_of_zero_is_plus_one():
    assert as_words(np.array([[0.0, -0.0, -1.0, 2.0]]))[0].tolist() == [0b1011]
    assert as_words(np.array([[0, -3, 2]], np.int8))[0].tolist() == [0b101]
    assert as_words(np.array([[np.inf, -np.inf, 0.5]]))[0].tolist() == [0b101]


def test_a_coding_that_is_named_is_the_one_used():
    table = np.array([[0.0, 1.0]])
    assert as_words(table, coding="01")[0].tolist() == [0b10]
    assert as_words(table, coding="sign")[0].tolist() == [0b11]
    assert as_words(TABLE, coding="sign")[0].tolist() == [7, 7, 7, 7]


def test_a_real_table_of_ones_alone_can_only_be_read_in_one_way():
    assert as_words(np.ones((1, 4)))[0].tolist() == [15]


@pytest.mark.parametrize("codes", [[], np.empty(0), np.empty(0, np.uint64), np.empty((0, 5))])
def test_no_codes_are_no_words(codes):
    words, bits = as_words(codes, 5)
    assert (words.dtype, words.shape, bits) == (np.uint64, (0,), 5)


@given(st.integers(1, 64), st.data())
@settings(max_examples=60, deadline=None)
def test_every_form_of_the_same_codes_is_the_same_words(bits, data):
    numbers = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=6))
    table = np.array([[n >> j & 1 for j in range(bits)] for n in numbers], np.uint8)
    forms = {
        "integers": as_words(numbers, bits), "table": as_words(table),
        "signs": as_words(table * 2.0 - 1), "small signs": as_words(table.astype(np.int8) * 2 - 1),
        "bitarrays": as_words([bitarray(row.tolist()) for row in table]),
        "bytes": as_words(np.packbits(table, axis=1, bitorder="little"), bits, coding="packed"),
    }
    for name, (words, width) in forms.items():
        assert (words.tolist(), width) == (numbers, bits), name


# ---- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(("codes", "bits", "expected"), [
    (WORDS, None, "`bits` beside packed integers"),
    (WORDS, 0, "codes of 1 to 64"),
    (WORDS, 65, "codes of 1 to 64"),
    (WORDS, 128, "codes of 1 to 64"),
    (WORDS, -1, "codes of 1 to 64"),
    (5, 3, "packed integers"),
    (1.5, 3, "packed integers"),
    ([0.5, 1.5], 3, "packed integers"),
    ([[[1]]], 1, "packed integers"),
    (["a", "b"], 3, "packed integers"),
    (None, 3, "packed integers"),
    (np.ones((2, 2), complex), 2, "packed integers"),
    ([-1, 2**64], 64, "packed integers"),
    (np.array([True, False]), 1, "packed integers"),
    (TABLE, 4, "4 bits a code"),
    (np.ones((1, 65), np.int8), None, "codes of 1 to 64"),
    (np.ones((1, 512), np.int8), None, "codes of 1 to 64"),
    (np.ones((3, 0), np.int8), None, "codes of 1 to 64"),
    ([[1, 0], [1]], None, "rows of one length"),
    ([bitarray("10"), bitarray("1")], None, "bitarrays of one length"),
    ([bitarray("10")], 3, "3 bits a code"),
])
def test_what_is_no_form_of_codes_is_refused(codes, bits, expected):
    with pytest.raises(ShapeError, match=expected) as caught:
        as_words(codes, bits)
    assert wordy(caught)


@pytest.mark.parametrize(("codes", "bits"), [
    (np.zeros((2, 2), np.uint8), None), (np.zeros((2, 2), np.uint8), 8),
    (np.zeros((2, 2), np.uint8), 17), (np.zeros((2, 2), np.int8), 16), (np.zeros(2, np.uint8), 8),
])
def test_bytes_of_another_number_or_type_are_refused(codes, bits):
    with pytest.raises(ShapeError, match="uint8 bytes") as caught:
        as_words(codes, bits, coding="packed")
    assert wordy(caught)


def test_bytes_with_ones_beyond_the_last_bit_are_refused():
    with pytest.raises(CodeError, match="zeros beyond the last bit") as caught:
        as_words(np.array([[0x08]], np.uint8), 3, coding="packed")
    assert wordy(caught)


@pytest.mark.parametrize(("codes", "bits", "at"), [
    ([3, 8], 3, 1), ([8], 3, 0), ([2, 1], 1, 0), ([2**64 - 1], 63, 0),
])
def test_a_code_of_2_to_the_k_or_more_is_named(codes, bits, at):
    with pytest.raises(CodeError, match=rf"below 2\*\*{bits}, got \d+ - at `codes\[{at}\]`"):
        as_words(codes, bits)


def test_negative_integers_are_refused():
    with pytest.raises(CodeError, match="codes from 0 up, got -1") as caught:
        as_words([1, -1], 64)
    assert wordy(caught)


@pytest.mark.parametrize("coding", ["auto", "sign", "01"])
def test_nan_is_refused(coding):
    with pytest.raises(CodeError, match="got NaN") as caught:
        as_words(np.array([[1.0, np.nan]]), coding=coding)
    assert wordy(caught)


def test_real_zeros_and_ones_are_ambiguous():
    with pytest.raises(CodeError, match="one meaning") as caught:
        as_words(np.array([[0.0, 1.0]]))
    assert wordy(caught)
    assert "coding='01' or coding='sign'" in caught.value.hint


def test_unsigned_values_that_are_no_bits_are_refused():
    with pytest.raises(CodeError, match="zeros and ones") as caught:
        as_words(np.array([[5, 7]], np.uint64))
    assert wordy(caught)


def test_other_values_are_no_bits():
    with pytest.raises(CodeError, match="zeros and ones, got 2") as caught:
        as_words(np.array([[0, 2]], np.int8), coding="01")
    assert wordy(caught)


@pytest.mark.parametrize("bits", [0, -1, 65, 127, 129, 512])
def test_a_width_that_no_code_has_is_refused(bits):
    with pytest.raises(ShapeError, match="codes of 1 to 64 or 128 or 256 bits"):
        check_bits(bits, (128, 256))


def test_the_coding_of_a_table_is_told_from_its_values():
    assert tell_coding(TABLE, "auto") == "01"
    assert tell_coding(TABLE.astype(np.int8) - 1, "auto") == "sign"
    assert tell_coding(np.ones((1, 1)), "auto") == "sign"
    assert tell_coding(TABLE, "sign") == "sign"
    assert tell_coding(np.arange(3), "auto") == "auto"
