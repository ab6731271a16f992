import pytest

from fcn_tf.data.affixes import Affix, learn_affixes


@pytest.mark.parametrize(
    ("affix", "stem", "core"),
    [
        (Affix(), "a", "a"),
        (Affix(after="_mask"), "a_1_mask", "a_1"),
        (Affix(after="_mask"), "a_1", None),
        (Affix(after="_mask"), "_mask", None),
        (Affix(before="img_"), "img_1", "1"),
        (Affix(after="_SPLIT"), "21_training", "21"),
        (Affix(after="_SPLIT"), "21_manual", None),
        (Affix(before="label", whole=True), "label", ""),
        (Affix(before="label", whole=True), "label2", None),
    ],
)
def test_a_name_without_its_affix(affix, stem, core):
    assert affix.core(stem) == core


def test_few_names_have_nothing_in_common_by_chance():
    """Words of masks may stand there once, other letters at least twice."""
    learned = list(map(str, learn_affixes(["road_1_day", "house_2_mask"])))
    assert "*_mask" in learned
    assert "*_day" not in learned
    assert "0_manual*" not in map(str, learn_affixes(["0_manual1", "1_manual1", "0_manual1"]))
    assert "*_day" in map(str, learn_affixes(["a_day", "b_day"]))


def test_of_many_names_some_of_each_kind_are_looked_at():
    names = [f"{number:04d}{end}" for number in range(4000) for end in ("", "_mask")]
    assert [str(affix) for affix in learn_affixes(names)] == ["*_mask"]


def test_the_role_of_an_affix():
    assert Affix(after="_L").role == "masks"
    assert Affix(after="_gtFine_color").rank == 1
    assert Affix(after="_instanceIds").role == "other"
    assert Affix(after="_sat").role == "images"
    assert Affix(after="_1stHO").role is None
