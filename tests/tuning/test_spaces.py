"""Spaces are data: complete, right for their models, written and read, and strict about names."""

from pathlib import Path

import pytest
from scipy import sparse

from recsys_lib.dataset import Split
from recsys_lib.errors import ConfigError
from recsys_lib.models import EASE, EDLAE, MODELS, BiasedSVD, ItemKNN, KernelAE
from recsys_lib.tuning import Options, Range, Space
from recsys_lib.tuning.spaces import RANGES, as_model, with_settings

WITHOUT = {"Blend", "GlobalMean", "Popularity"}
SHALLOW = sorted(RANGES.keys() - {"Autoencoder", "ELSA", "MultDAE", "MultVAE", "RecVAE", "VASP"})


def test_every_model_with_settings_has_a_space() -> None:
    amiss = sorted(RANGES.keys() ^ (MODELS.keys() - WITHOUT))
    assert not amiss, f"{amiss}: give ranges in tuning/spaces.yaml, or name it in WITHOUT"


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_models_own_settings_lie_in_its_space_and_every_range_has_a_source(name: str) -> None:
    space = Space.of(name).fitted_to(as_model(name))
    assert space.ranges
    assert all(one.source for one in RANGES[name].values())


@pytest.mark.parametrize("name", SHALLOW)
def test_the_model_takes_both_ends_of_every_range(name: str, likes: Split) -> None:
    model = as_model(name)
    for key, one in Space.of(model).fitted_to(model).ranges.items():
        for end in one.values if isinstance(one, Options) else (one.low, one.high):
            end = min(end, 20) if key == "latent_dim" else end
            with_settings(model, {key: end}).fit(likes.train)


def test_what_has_no_effect_is_not_searched_what_has_a_rule_of_its_own_is() -> None:
    assert "damping" not in Space.of(ItemKNN()).ranges
    assert "damping" in Space.of(ItemKNN(feedback="explicit")).ranges
    assert "l2" in Space.of(KernelAE()).ranges


def test_a_space_may_be_written_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("model: EDLAE\nspace:\n  l2: {low: 1e1, high: 5000, log: true}\n")
    space = Space.read(file).fitted_to(EDLAE())
    assert space.ranges == {"l2": Range(10.0, 5000.0, log=True)}
    assert isinstance(space.ranges["l2"].high, float), (
        "a whole number in YAML is no promise that all are"
    )
    file.write_text("model: MultVAE\nspace:\n  hidden_dims: [[600], [200, 100]]\n")
    assert Space.read(file).ranges["hidden_dims"] == Options(((600,), (200, 100)))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (Space("EASE", {"solvr": Range(1, 2)}), r"'solvr' is none\. Did you mean 'solver'\?"),
        (Space("EASE", {"l2": Range(1.0, 2.0)}), r"l2=300.0 lies outside of \{'low': 1.0"),
        (
            Space("EASE", {"l2": Range(400.0, 2.0)}),
            r"that goes up, .* got Range\(low=400.0, high=2.0",
        ),
        (
            Space("EASE", {"l2": Range(-1.0, 500.0, log=True)}),
            r"above 0 on a log scale, .* got Range\(low=-1.0",
        ),
        (Space("EASE", {"l2": Range("a", 2.0)}), r"Range of finite numbers .* got Range\(low='a'"),  # type: ignore[arg-type]
        (
            Space("EASE", {"solver": Options(("auto",))}),
            r"Options of two different values or more; got Options\(values=\('auto',",
        ),
        (Space("EASE", {"l2": (1.0, 500.0)}), "must be a Range of .*, or Options"),  # type: ignore[dict-item]
        (Space("EASE", {}), "with a range at least"),
        (Space.of("EDLAE"), "must be one of EASE"),
    ],
)
def test_what_is_no_space_of_the_model_is_named(space: Space, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        space.fitted_to(EASE(l2=300.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: EASE", "must hold `model` and `space`"),
        ("- EASE", "The space .* must hold lines `NAME: value`; it holds list"),
        ("model: EASE\nspace: {l2: 5}", "The range of 'l2' must be"),
        ("model: EASE\nspace: {l2: {low: 1, hihg: 5}}", "The range of 'l2' must be"),
        ("model: [", "The space .* must be YAML"),
    ],
)
def test_a_file_that_is_no_space_is_told(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        Space.read(tmp_path / "space.yaml")


def test_models_without_a_space_say_so() -> None:
    with pytest.raises(ConfigError, match="there is none for Popularity"):
        Space.of("Popularity")
    with pytest.raises(ConfigError, match="A model must be one of"):
        Space.of("EASEL")
    with pytest.raises(TypeError, match="`model` must be a Recommender"):
        Space.of(Path("ease"))


def test_a_part_of_a_space_and_other_ends() -> None:
    space = Space.of(BiasedSVD).only("l2", "epochs").replace(l2=Range(5.0, 30.0))
    assert list(space.ranges) == ["l2", "epochs"]
    assert space.ranges["l2"] == Range(5.0, 30.0)


def test_built_in_ranges_hold_what_suits_a_large_table() -> None:
    wide = sparse.csr_array(([1.0], ([0], [49_999])), shape=(9, 50_000), dtype="float32")
    model = ItemKNN().suited_to(wide)
    assert model.n_neighbors == 1_250
    found = Space.of(model).fitted_to(model).ranges["n_neighbors"]
    assert (found.low, found.high) == (5, 1_250)
    with pytest.raises(ConfigError, match="lies outside"):  # 0 has no logarithm
        Space.of("ItemKNN").fitted_to(ItemKNN(shrinkage=0))
