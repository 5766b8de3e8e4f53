"""Names: which is nearest to a typo."""

import pytest

from trinity_jax.types import InputError, choose, lookup

TABLE = {"resnet20": 1, "mlp": 2, "soft_max": 3}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        *(("MLP", ": did you mean 'mlp'?"), ("Soft-Max", ": did you mean 'soft_max'?")),
        ("r", ": did you mean 'resnet20'?"),  # however far
        *(("perceptron", ": did you mean 'mlp'?"), ("Perceptron", ": did you mean 'mlp'?")),
        *(("zzz", ""), ("", "")),
    ],
)
def test_the_nearest_name_is_named(name, hint):
    with pytest.raises(InputError) as error:
        lookup(TABLE, name, "network", {"perceptron": "mlp"})
    assert str(error.value) == f"unknown network '{name}'{hint} (known: resnet20, mlp, soft_max)"


def test_what_is_known_is_returned():
    assert lookup(TABLE, "mlp", "network") == 2
    assert choose(TABLE, (), "network") == list(TABLE)
    assert choose(TABLE, ("mlp",), "network") == ["mlp"]
    with pytest.raises(InputError, match="network mlp is named twice"):
        choose(TABLE, ("mlp", "mlp"), "network")
