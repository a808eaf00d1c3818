"""Names of sizes: what is written can be read, and what can not be read says why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import GranularityError
from edge_sdk.granularity import (
    TRAINED_NAMES,
    Granularity,
    boundaries,
    named,
    parse,
    parse_list,
    trained_names,
)

SIX = trained_names([(32, 64, 128, 256)] * 6)
FOUR = trained_names([(32, 64, 128, 256)] * 4)
UNEVEN = trained_names([(8, 16, 32, 64), (12, 24, 48, 96)])


@st.composite
def trained_and_widths(draw):
    """Random trained widths (1 to 4 a layer) and a random width for each layer."""
    n_names = draw(st.integers(1, 4))
    layers = draw(st.lists(
        st.lists(st.integers(1, 200), min_size=n_names, max_size=n_names, unique=True).map(sorted),
        min_size=1, max_size=7,
    ))
    widths = [draw(st.one_of(st.sampled_from(layer), st.integers(1, layer[-1])))
              for layer in layers]
    return trained_names(layers), tuple(widths)


@given(trained_and_widths())
def test_the_name_of_any_widths_reads_back_as_these_widths(case):
    trained, widths = case
    granularity = named(widths, trained)
    assert parse(granularity.name, trained) == Granularity(granularity.name, widths)


@given(trained_and_widths())
def test_commas_instead_of_plus_mean_the_same_layers(case):
    trained, widths = case
    granularity = named(widths, trained)
    assert parse(granularity.name.replace("+", ","), trained) == granularity


@given(trained_and_widths())
def test_spelling_each_layer_out_gives_the_canonical_name(case):
    trained, widths = case
    if len(widths) > 1:  # one number alone stands for every layer, as it does here too
        assert parse("+".join(map(str, widths)), trained) == named(widths, trained)


@pytest.mark.parametrize(("text", "trained", "name", "widths"), [
    ("M", SIX, "M", (64,) * 6),
    ("m", SIX, "M", (64,) * 6),
    ("XL", UNEVEN, "XL", (64, 96)),
    ("S*2+M*2+L+XL", SIX, "S*2+M*2+L+XL", (32, 32, 64, 64, 128, 256)),
    ("S,S,M,M,L,XL", SIX, "S*2+M*2+L+XL", (32, 32, 64, 64, 128, 256)),
    (" S * 2 + M*2+L+ XL ", SIX, "S*2+M*2+L+XL", (32, 32, 64, 64, 128, 256)),
    ("96*3+128", FOUR, "96*3+L", (96, 96, 96, 128)),
    ("96", FOUR, "96", (96,) * 4),
    ("64*4", FOUR, "M", (64,) * 4),
    ("S+M", UNEVEN, "S+M", (8, 24)),
    ("16+16", UNEVEN, "M+16", (16, 16)),
])
def test_a_text_reads_as_these_widths_and_this_canonical_name(text, trained, name, widths):
    assert parse(text, trained) == Granularity(name, widths)


@pytest.mark.parametrize(("text", "expected", "got"), [
    ("XXL", "one of S, M, L, XL, or a width", "'XXL'"),
    ("", "one of S, M, L, XL, or a width", "''"),
    ("S*2++M*3", "one of S, M, L, XL, or a width", "''"),
    ("1.5", "one of S, M, L, XL, or a width", "'1.5'"),
    ("-3", "one of S, M, L, XL, or a width", "'-3'"),
    ("0", "a width in 1..256", "0"),
    ("S*5+257", "a width in 1..256", "257"),
    ("S*2+M", "6 layers", "3"),
    ("S*7", "a repeat count in 1..6", "'S*7'"),
    ("S*99999999999", "a repeat count in 1..6", "'S*99999999999'"),
    ("9" * 5000, "a width in 1..256", "9" * 40),
    ("S*1", "6 layers", "1"),
    ("S*0", "a repeat count in 1..6", "'S*0'"),
    ("S*", "a repeat count in 1..6", "'S*'"),
    ("S*x+M", "a repeat count in 1..6", "'S*x'"),
])
def test_a_text_that_is_no_granularity_is_refused_with_what_was_expected(text, expected, got):
    with pytest.raises(GranularityError) as caught:
        parse(text, SIX)
    assert (caught.value.expected, caught.value.got) == (expected, got)
    assert repr(text[:60]) in caught.value.where
    assert "S*2+M*2+L+XL" in caught.value.hint


def test_a_width_too_large_names_the_layer_that_is_too_small_for_it():
    with pytest.raises(GranularityError) as caught:
        parse("80+80", UNEVEN)
    assert caught.value.where.startswith("layer 0 ")


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_model_trained_at_fewer_widths_has_the_last_names(n):
    trained = trained_names([tuple(range(1, n + 1)), tuple(range(11, n + 11))])
    assert tuple(trained) == TRAINED_NAMES[-n:]
    assert trained["XL"] == (n, n + 10)


@pytest.mark.parametrize("layers", [[(1, 2), (1, 2, 3)], [(1, 2, 3, 4, 5)], [()]])
def test_layers_without_common_names_are_refused(layers):
    with pytest.raises(GranularityError, match="1 to 4 trained widths") as caught:
        trained_names(layers)
    assert "same ratios" in caught.value.hint


def test_a_model_without_nested_layers_has_one_granularity_without_widths():
    plain = trained_names([])
    assert plain == {"XL": ()}
    assert parse(" xl", plain).widths == ()
    with pytest.raises(GranularityError) as caught:
        parse("S", plain)
    assert "no nested FFNs" in caught.value.hint


def test_a_list_is_separated_by_commas_and_keeps_each_size_once():
    found = parse_list("S,XL,32*4,S*2+96*2", FOUR)
    assert [g.name for g in found] == ["S", "XL", "S*2+96*2"]


def test_a_list_with_one_bad_entry_is_refused():
    with pytest.raises(GranularityError):
        parse_list("S,XXL", FOUR)


def test_boundaries_are_the_widths_in_use_in_each_layer_without_repeats():
    sizes = parse_list("S,XL,S+48", UNEVEN)
    assert boundaries(sizes) == [(8, 64), (12, 48, 96)]


@pytest.mark.parametrize("widths", [(32,) * 5, (32,) * 7, (0,) * 6, (32, 32, 32, 32, 32, 257)])
def test_widths_that_are_no_granularity_get_no_name(widths):
    with pytest.raises(GranularityError, match="6 widths in 1"):
        named(widths, SIX)
