import pytest

from fcn_tf.classes import VOID
from fcn_tf.config.mask_values import MaskValues
from fcn_tf.data.class_files import CLASS_FILES, ClassFile, find_coding, read_class_file
from fcn_tf.errors import InputError

RED_GREEN = ((250, 0, 0), (0, 250, 0))
COLORED = ClassFile(("road", "car"), RED_GREEN)
PLAIN = ClassFile(("road", "car"))
NUMBERED = ClassFile(("road", "car"), values=(0, 255))
LINES = [
    ("classes.txt", "road\ncar:1\n", ClassFile(("road", "car:1"))),
    ("class_names.txt", "road\ncar:1\n", ClassFile(("road", "car:1"))),
    ("labels.txt", "road\ncar:1\n", ClassFile(("road", "car:1"))),
    ("labels.txt", "__ignore__\nZone\n_background_\n", ClassFile(("Zone", "_background_"))),
    ("classes.txt", "road: asphalt\n  sky \n\n", ClassFile(("road: asphalt", "sky"))),
    # What stands behind the colon of a labelmap without colours is no name.
    ("labelmap.txt", "# label\nroad:a:b\ncar\n", PLAIN),
    ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:250,0,0::\ncar:0,250,0::\n", COLORED),
    ("classes.txt", "road 250 0 0\ncar, 0 250 0\n", COLORED),
    ("classes.txt", "road:250,0,0\ncar:0,250,0::", COLORED),
    ("classes.txt", "road,250,0,0\n\ncar,0,250,0\n", COLORED),
    ("classes.txt", "road;250;0;0\ncar;0;250;0\n", COLORED),
    ("classes.txt", "road #fa0000\ncar #00FA00\n", COLORED),
    ("classes.txt", "#fa0000 road\n#00fa00 car\n", COLORED),
    ("label_colors.txt", "250 0 0\troad\n0 250 0\tcar\n", COLORED),
    ("classes.txt", "0 road 250 0 0\n1 car 0 250 0\n", COLORED),
    ("classes.txt", "0 250 0 0 road\n1 0 250 0 car\n", COLORED),
    ("class_dict.csv", "name,r,g,b\nroad,250,0,0\ncar,0,250,0\n", COLORED),
    ("class_dict.csv", "Red;Green;Blue;Class_Name\n250;0;0;road\n0;250;0;car\n", COLORED),
    ("classes.csv", 'id,name,color\n0,road,"250,0,0"\n1,car,#00fa00\n', COLORED),
    ("_classes.csv", "Pixel Value, Class\n0, road\n1, car\n", PLAIN),
    ("_classes.csv", "Pixel Value, Class\n255, car\n0, road\n", NUMBERED),
    ("classes.csv", "class,label\n0,road\n255,car\n", NUMBERED),
    ("classes.csv", "label,class\n0,road\n255,car\n", NUMBERED),
    ("classes.txt", "0 road\n1 car\n", PLAIN),
    ("classes.txt", "1: car\n\n0: road\n", PLAIN),
    ("classes.txt", "0 road\n255 car\n", NUMBERED),
    ("classes.txt", "road: 0\ncar: 255\n", NUMBERED),
    ("classes.txt", "road\t0\ncar\t255\n", NUMBERED),
    ("classes.txt", "-1: __ignore__\n0: road\n1: car\n", PLAIN),
    ("classes.txt", "0 road\n1 car\n255 void\n", PLAIN),
    ("classes.txt", "2 wheeler\ncar\n", ClassFile(("2 wheeler", "car"))),
    ("classes.txt", '"2 wheeler"\n"4 wheeler"\n', ClassFile(("2 wheeler", "4 wheeler"))),
    ("classes.txt", "class 0\nclass 1\n", ClassFile(("class 0", "class 1"))),
    ("classes.txt", "# mine\nroad # grey\ncar #\n", PLAIN),
    ("classes.txt", "C#\ncar#1\n", ClassFile(("C#", "car#1"))),
    (
        "objectInfo150.txt",
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t1\t1\twall\n2\t0.1\t1\t1\tbuilding, edifice\n",
        ClassFile(("wall", "building, edifice"), values=(1, 2)),
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), LINES)
def test_lines(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert read_class_file(tmp_path / name) == expected
    coding = find_coding(tmp_path)
    assert coding.class_names == expected.names
    assert coding.has_own_colors == (expected.colors is not None)
    assert expected.colors in (None, coding.colors)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_files_of_other_systems(tmp_path, encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "classes.txt").write_bytes(f"{mark}Straße\r\nHütte\r\n".encode(encoding))
    assert find_coding(tmp_path).class_names == ("Straße", "Hütte")


WRONG = [
    ("road 0 0 256\ncar 1 1 1\n", r"'road 0 0 256': a colour is three numbers from 0 to 255\.$"),
    ("road 0 0 1\ncar\n", "every class a colour of its own"),
    ("road 0 0 1\ncar 0 0 1\n", "every class a colour of its own"),
    ("0 road\n0 car\n", "every class a value of its own"),
    ("0 road\n70000 car\n", "'70000 car': the value of a class is a number from 0 to 65535"),
    ("name,r,g,b\nroad,1,2\n", "line 2, 'road,1,2', has 3 columns of 4"),
    ("name,r,g,b\nroad,1,2,x\n", "'road,1,2,x': a colour is three numbers"),
    ("road\n\ncar\n", "line 2 is empty, and the order of the lines gives the values"),
    ("\nroad\ncar\n", "line 1 is empty"),
    ("", "names no class: write one a line"),
    (b"road\nStra\xdfe\n", r"as text in UTF-8: line 2 has the byte 0xdf\. Save it in UTF-8"),
    ("road\ncar\n".encode("utf-16-le"), "it has zeros. Save it in UTF-8"),
    (
        "vessel\n",
        f"names one class, vessel: there must be between 2 and {VOID}, as what is no vessel is a "
        "class too. Name background and vessel, .*'{0: background, 255: vessel}'",
    ),
    ("road\ncar\nroad\n", f"has road twice: there must be between 2 and {VOID} classes"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_wrong_lines_are_named(tmp_path, text, message):
    contents = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "classes.txt").write_bytes(contents)
    with pytest.raises(InputError, match=message) as refused:
        find_coding(tmp_path)
    assert "classes.txt" in str(refused.value)


def test_numbers_in_a_class_file_are_the_values_of_masks(tmp_path, capsys):
    path = tmp_path / "classes.txt"
    path.write_text("1 disc\n2 square\n")
    assert find_coding(tmp_path).value_labels == {1: 0, 2: 1, VOID: VOID}
    assert capsys.readouterr().out == (
        f"{path}: the numbers in it are the values in masks: {{1: disc, 2: square}}.\n"
    )
    given = MaskValues.of({5: "disc", 6: "square"})
    assert find_coding(tmp_path, mask_values=given).value_labels == {5: 0, 6: 1, VOID: VOID}
    assert not capsys.readouterr().out


def test_grey_colours_alone_are_the_values_of_masks(tmp_path, capsys):
    path = tmp_path / "classes.txt"
    path.write_text("paper 255 255 255\nink 0 0 0\n")
    assert find_coding(tmp_path).value_labels == {255: 0, 0: 1}
    assert "all colours in it are grey, so they are the values of grey masks" in (
        capsys.readouterr().out
    )
    path.write_text("road 0 0 0\ncar 1 1 1\n")
    assert find_coding(tmp_path).mask_values is None


def test_ade20ks_file_leaves_0_unlabelled(tmp_path):
    (tmp_path / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n2\tbuilding\n")
    expected = {0: VOID, 1: 0, 2: 1, VOID: VOID}
    assert find_coding(tmp_path).value_labels == expected
    coding = find_coding(tmp_path, mask_values=MaskValues.of("ade20k"))
    assert coding.value_labels == expected


def test_class_files_of_a_folder_agree(tmp_path):
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,1,2,3\ncar,4,5,6\n")
    assert find_coding(tmp_path).colors == ((1, 2, 3), (4, 5, 6))
    (tmp_path / "classes.txt").write_text("car\nroad\n")
    with pytest.raises(InputError, match=r"name different classes \(road, car and car, road\)"):
        find_coding(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("road\ncar", "road\ntree"),
        ("road 1 2 3\ncar 4 5 6", "road 1 2 3\ncar 4 5 7"),
        ("1 road\n7 car", "1 road\n8 car"),
    ],
)
def test_class_files_that_differ_are_refused_whichever_comes_first(one, other, tmp_path):
    for texts in ((one, other), (other, one), (one, one)):
        for name, text in zip(("classes.txt", "labels.txt"), texts, strict=True):
            (tmp_path / name).write_text(text)
        if texts == (one, one):
            assert find_coding(tmp_path).class_names == ("road", "car")
        else:
            with pytest.raises(InputError, match="name different classes"):
                find_coding(tmp_path)


def test_of_files_that_agree_the_one_with_values_is_taken(tmp_path):
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    (tmp_path / "labels.txt").write_text("1 road\n7 car\n")
    assert find_coding(tmp_path).value_labels == {1: 0, 7: 1, VOID: VOID}


def test_of_many_values_the_first_and_the_last_are_printed(tmp_path, capsys):
    for count, end in ((12, ", 24: c12}.\n"), (13, "are the values in masks: 2 to 26.\n")):
        lines = (f"{2 * number} c{number}\n" for number in range(1, count + 1))
        (tmp_path / "classes.txt").write_text("".join(lines))
        find_coding(tmp_path)
        assert capsys.readouterr().out.endswith(end)


def test_of_many_names_20_are_shown(tmp_path):
    for count, end in ((20, ", c19, but"), (21, ", c19, …, but")):
        names = [f"c{number}" for number in range(count)]
        (tmp_path / "classes.txt").write_text("\n".join(names))
        with pytest.raises(InputError, match=end):
            find_coding(tmp_path, ["road", "car"])


def test_a_class_file_may_lie_in_the_folder_of_a_split(tmp_path):
    for split, text in (("train", "0, road\n1, car\n"), ("valid", "0, road\n1, car\n")):
        (tmp_path / split).mkdir()
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n" + text)
    assert find_coding(tmp_path).class_names == ("road", "car")
    (tmp_path / "valid" / "_classes.csv").write_text("Pixel Value, Class\n0, car\n1, road\n")
    with pytest.raises(InputError, match="name different classes"):
        find_coding(tmp_path)


def test_names_that_contradict_the_file(tmp_path):
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    assert find_coding(tmp_path, ["road", "car"]).class_names == ("road", "car")
    with pytest.raises(InputError, match=r"names road, car, but data.class_names is car, road:"):
        find_coding(tmp_path, ["car", "road"])


def test_without_a_file_the_classes_are_those_of_the_mapping(tmp_path):
    assert find_coding(tmp_path, mask_values="cityscapes").class_names[0] == "road"
    mapping = MaskValues.of({0: "ignore", 255: "vessel", 7: "ring", 8: "vessel"})
    assert find_coding(tmp_path, mask_values=mapping).class_names == ("vessel", "ring")
    with pytest.raises(InputError, match=r"no class file: write classes\.txt") as refused:
        find_coding(tmp_path)
    assert all(name in str(refused.value) for name in CLASS_FILES)


def test_there_may_be_255_classes(tmp_path):
    names = [str(number) for number in range(256)]
    assert find_coding(tmp_path, names[:255]).class_names == tuple(names[:255])
    with pytest.raises(InputError, match="has 256 classes: there must be between 2 and 255"):
        find_coding(tmp_path, names)
