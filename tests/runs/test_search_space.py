"""Hydra's sweep syntax as distributions of Optuna."""

import pytest

from kronos_lab.errors import InputError
from kronos_lab.runs.search_space import parse_search_space


def described(typed):
    return parse_search_space({}, [f"key={typed}"]).describe()["free"]["key"]


@pytest.mark.parametrize(
    ("typed", "kind", "attributes"),
    [
        ("interval(1,5)", "Float", {"low": 1.0, "high": 5.0, "log": False}),
        ("tag(log, interval(1e-5, 1e-3))", "Float", {"low": 1e-5, "high": 1e-3, "log": True}),
        ("int(interval(1,5))", "Int", {"low": 1, "high": 5, "log": False}),
        ("tag(log,int(interval(1,512)))", "Int", {"low": 1, "high": 512, "log": True}),
        ("range(1,5)", "Int", {"low": 1, "high": 4, "step": 1}),  # as Hydra's range, and Python's
        ("range(0,10,4)", "Int", {"low": 0, "high": 8, "step": 4}),
        ("range(0,0.5,0.25)", "Categorical", {"choices": ["0.0", "0.25"]}),
        ("range(3,0,-1)", "Categorical", {"choices": ["3", "2", "1"]}),
        ("1e-3,2", "Categorical", {"choices": ["0.001", "2"]}),
        ("choice(all, top_blocks)", "Categorical", {"choices": ["all", "top_blocks"]}),
        ("choice([1,2],'a b')", "Categorical", {"choices": ["[1,2]", "a b"]}),
    ],
)
def test_a_sweep_is_a_distribution(typed, kind, attributes):
    got = described(typed)
    assert got["name"] == f"{kind}Distribution"
    assert {key: got["attributes"][key] for key in attributes} == attributes


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("interval(5,1)", "must lie above its start"),
        ("tag(log, interval(0,1))", "begins above 0"),
        ("tag(big, interval(0,1))", "knows one tag"),
        ("tag(log, choice(1,2))", "knows one tag"),
        ("range(1,1)", "there is no value"),
    ],
)
def test_what_means_nothing_is_refused(typed, words):
    with pytest.raises(InputError, match=words):
        described(typed)


def test_what_is_typed_takes_the_place_of_what_is_configured():
    configured = {"a": "choice(1,2)", "b": "interval(0,1)", "c": "top", "d": None}
    space = parse_search_space(configured, ["a=7", "b=choice(x,y)", "e='p q'", "+f=range(0,9)"])
    assert list(space.free) == ["b", "+f"]
    assert space.overrides({"b": "y", "+f": 3}) == ["a=7", "c=top", "d=null", "e='p q'", "b=y", "+f=3"]
    assert len(list(space.combinations())) == 18
    assert next(space.combinations()) == space.example() == {"b": "x", "+f": 0}


def test_a_grid_of_very_many_is_refused():
    space = parse_search_space({}, ["a=range(0,100)", "b=range(0,11)"])
    with pytest.raises(InputError, match=r"a grid of 1,100 combinations"):
        space.combinations()
