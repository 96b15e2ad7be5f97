"""Tables from CSV files: what is made of columns, what is refused and how, states, and scaling."""

from __future__ import annotations

import csv
import io
import json
import math

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import Standardizer, TableEncoder, read_csv
from hypothesis import assume, given
from hypothesis import strategies as st
from marks import PLACES

PETS = "weight,fur,kind\n4,soft,cat\n30.5,rough,dog\n5,soft,cat\n2e1,soft,dog\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="pets.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# --- What is read ---------------------------------------------------------------------------------------------------------
def test_onehot(write):
    table = read_csv(write(PETS), target="kind")
    assert table.columns == ["weight", "fur=rough", "fur=soft"]
    np.testing.assert_array_equal(table.x.numpy(), np.float32([[4, 0, 1], [30.5, 1, 0], [5, 0, 1], [20, 0, 1]]))
    assert (table.x.dtype, table.y.dtype, table.codes) == (dnn.float32, dnn.int64, None)
    assert (table.y.tolist(), table.classes) == ([0, 1, 0, 1], ["cat", "dog"])
    assert (table.categories, table.lines) == ({"fur": ["rough", "soft"]}, [2, 3, 4, 5])
    assert repr(table) == "Table(4 rows, 3 columns, target 'kind': 2 classes)"
    assert repr(table.encoder) == "TableEncoder(2 features, target 'kind': classification)"


def test_codes(write):
    table = read_csv(write(PETS), target=-1, categorical="codes")
    assert (table.columns, table.x.tolist()) == (["weight"], [[4.0], [30.5], [5.0], [20.0]])
    assert (table.codes.dtype, table.codes.tolist()) == (dnn.int64, [[1], [0], [1], [1]])
    embedded = dnn.eye(2)[table.codes[:, 0]]  # numbers for an embedding
    assert embedded.shape == (4, 2)
    assert repr(table) == "Table(4 rows, 1 column, 1 column of codes, target 'kind': 2 classes)"


def test_without_a_target(write):
    table = read_csv(write(PETS))
    assert table.columns == ["weight", "fur=rough", "fur=soft", "kind=cat", "kind=dog"]
    assert (table.y, table.classes) == (None, None)


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_and_line_ends(write, delimiter, newline):
    text = PETS.replace(",", delimiter).replace("\n", newline)
    assert read_csv(write(text), target="kind").x.tolist() == read_csv(write(PETS), target="kind").x.tolist()


def test_quotes_blanks_marks_and_blank_lines(write):
    text = '\ufeff"a, b", "city"\n\n1 ,"Oslo, ""N"""\n 2,"two\nlines"\n\n3,"Oslo, ""N"""\n'
    table = read_csv(write(text))
    assert table.columns == ["a, b", 'city=Oslo, "N"', "city=two\nlines"]
    assert table.x.tolist() == [[1, 1, 0], [2, 0, 1], [3, 1, 0]]
    assert table.lines == [3, 4, 7]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8"])
def test_encodings(write, encoding):
    path = write("größe,art\n1,bär\n2,bär\n".encode(encoding))
    assert read_csv(path, encoding=encoding).columns == ["größe", "art=bär"]


def test_headers(write):
    assert read_csv(write("1,2\n3,4\n")).columns == ["column1", "column2"]
    assert read_csv(write("1,2\n3,4\n"), header=True).columns == ["1", "2"]
    assert read_csv(write("a,b\na,c\n"), header=False).columns == ["column1=a", "column2=b", "column2=c"]
    assert read_csv(write(",b\n0,1\n1,2\n")).columns == ["column1", "b"]  # the index that pandas writes


@pytest.mark.parametrize(
    ("cells", "task", "expected", "classes"),
    [
        (["1", "2", "1", "2"], None, [0, 1, 0, 1], [1, 2]),
        (["10", "9", "10", "9"], None, [1, 0, 1, 0], [9, 10]),
        (["1", "2", "3", "4"], None, [1.0, 2.0, 3.0, 4.0], None),
        (["1", "2", "3", "4"], "classification", [0, 1, 2, 3], [1, 2, 3, 4]),
        (["1", "2", "1", "2"], "regression", [1.0, 2.0, 1.0, 2.0], None),
        (["1.5", "2", "1.5", "2"], None, [1.5, 2.0, 1.5, 2.0], None),
        (["no", "yes", "yes", "no"], None, [0, 1, 1, 0], ["no", "yes"]),
        (["1", "2", "b", "b"], None, [0, 1, 2, 2], ["1", "2", "b"]),
    ],
)
def test_targets(write, cells, task, expected, classes):
    table = read_csv(write("x,t\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))), target="t", task=task)
    assert (table.y.tolist(), table.classes) == (expected, classes)
    assert table.y.dtype == (dnn.float32 if classes is None else dnn.int64)


def test_kinds_and_drop(write):
    text = "id,zip,x,t\nq,1000,0.5,1.25\nr,2000,1.5,2\ns,1000,2.5,3\n"
    table = read_csv(write(text), target="t", drop=["id"], kinds={"zip": "categorical"})
    assert table.columns == ["zip=1000", "zip=2000", "x"]
    assert table.x.tolist() == [[1, 0, 0.5], [0, 1, 1.5], [1, 0, 2.5]]


def test_missing_values(write):
    text = "a,b,t\n1,u,x\n,v,y\n3,NA,x\n5,u,?\n9,v,y\n"
    table = read_csv(write(text), target="t", missing="drop")
    assert (table.x.tolist(), table.lines, table.y.tolist()) == ([[1, 1, 0], [9, 0, 1]], [2, 6], [0, 1])
    path = write("a,t\n1,x\n,y\n3,x\nnan,y\n8,y\n")
    table = read_csv(path, target="t", missing="mean")
    assert table.x.tolist() == [[1], [4], [3], [4], [8]]
    again = TableEncoder.from_state_dict(json.loads(json.dumps(table.encoder.state_dict())))
    assert again.encode([{"a": None}]).x.tolist() == [[4.0]]
    named = read_csv(write("country,n\nNA,1\nNA,2\nFR,3\n"), kinds={"country": "categorical"})
    assert named.columns == ["country=FR", "country=NA", "n"]


def test_agrees_with_pandas_and_scikit_learn(write):
    pandas = pytest.importorskip("pandas")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    random = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "u": random.standard_normal(200),
            "c": random.choice(["x", "y z", "a,b", 'q"'], 200),
            "t": random.choice(["no", "yes"], 200),
        }
    )
    table = read_csv(write(frame.to_csv(index=False)), target="t")
    onehot = preprocessing.OneHotEncoder(sparse_output=False).fit_transform(frame[["c"]])
    np.testing.assert_array_equal(table.x.numpy(), np.column_stack([frame["u"], onehot]).astype(np.float32))
    np.testing.assert_array_equal(table.y.numpy(), preprocessing.LabelEncoder().fit_transform(frame["t"]))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cc"]), min_size=1, max_size=5).map(
    str.strip
)


@given(
    numbers=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=30),
    words=st.lists(TEXTS, min_size=1, max_size=4, unique=True),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    data=st.data(),
)
def test_what_the_csv_module_writes_comes_back(tmp_path_factory, numbers, words, delimiter, quoting, data):
    assume(all(words))
    cells = data.draw(st.lists(st.sampled_from(words), min_size=len(numbers), max_size=len(numbers)))
    path = tmp_path_factory.mktemp("csv") / "round.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
        writer.writerow(["number", "word"])
        writer.writerows([repr(number), cell] for number, cell in zip(numbers, cells, strict=True))
    table = read_csv(path, delimiter=delimiter, header=True, kinds={"word": "categorical"}, categorical="codes")
    assert table.x.numpy()[:, 0].tobytes() == np.float32(numbers).tobytes()
    assert [table.categories["word"][code] for code in table.codes.numpy()[:, 0]] == cells


# --- Applied again --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("categorical", ["onehot", "codes"])
def test_an_encoder_does_the_same_again(write, categorical):
    path = write(PETS)
    table = read_csv(path, target="kind", categorical=categorical)
    encoder = TableEncoder.from_state_dict(json.loads(json.dumps(table.encoder.state_dict())))
    assert (encoder.columns, encoder.categories, encoder.classes) == (table.columns, table.categories, table.classes)
    again = encoder.read_csv(path)
    assert again.x.tolist() == table.x.tolist()
    assert again.y.tolist() == table.y.tolist()
    other = encoder.read_csv(write("more;fur;weight\nq;soft;1\nq;rough;2\n", "other.csv"))
    by_hand = encoder.encode([{"weight": 1, "fur": "soft"}, {"weight": 2.0, "fur": "rough"}])
    assert other.y is None
    assert other.x.tolist() == by_hand.x.tolist()
    assert other.x[:, 0].tolist() == [1.0, 2.0]
    if categorical == "codes":
        assert other.codes.tolist() == by_hand.codes.tolist() == [[1], [0]]
    assert encoder.encode([{"weight": 1, "fur": "soft", "kind": "dog"}]).y.tolist() == [1]


def test_an_encoder_without_a_header_goes_by_position(write):
    encoder = read_csv(write("1,a,5.5\n2,b,6.5\n3,a,7.25\n"), target=1).encoder
    assert encoder.read_csv(write("3,b,1\n", "whole.csv")).y.tolist() == [1]
    table = encoder.read_csv(write("3,1\n", "part.csv"))
    assert (table.y, table.x.tolist()) == (None, [[3.0, 1.0]])
    with pytest.raises(ValueError, match=r"read_csv: short.csv, line 1: expected 3 cells, got 1"):
        encoder.read_csv(write("3\n", "short.csv"))


def test_unknown_categories_and_classes(write):
    encoder = read_csv(write(PETS), target="kind").encoder
    other = write("weight,fur,kind\n1,soft,cat\n1,none,cat\n", "new.csv")
    with pytest.raises(
        ValueError, match=r"read_csv: new.csv, line 3, column 'fur': category 'none' was not learned.*'rough', 'soft'"
    ):
        encoder.read_csv(other)
    lenient = read_csv(write(PETS), target="kind", unknown="zero").encoder
    assert lenient.read_csv(other).x.tolist() == [[1, 0, 1], [1, 0, 0]]
    with pytest.raises(ValueError, match=r"line 2, column 'kind': class 'cow' is not one of 'cat', 'dog'"):
        encoder.read_csv(write("weight,fur,kind\n1,soft,cow\n", "cow.csv"))
    with pytest.raises(ValueError, match=r"read_csv: less.csv: expected columns 'fur', got 'weight', 'kind'"):
        encoder.read_csv(write("weight,kind\n1,cat\n", "less.csv"))
    with pytest.raises(ValueError, match="encode: row 2 lacks 'fur'"):
        encoder.encode([{"weight": 1, "fur": "soft"}, {"weight": 1}])
    with pytest.raises(ValueError, match="encode, row 1, column 'weight': expected a number, got 'heavy'"):
        encoder.encode([{"weight": "heavy", "fur": "soft"}])
    with pytest.raises(ValueError, match=r"encode, row 1, column 'weight': a missing value \(''\)"):
        encoder.encode([{"weight": None, "fur": "soft"}])
    with pytest.raises(ValueError, match="at least one row"):
        encoder.encode([])


def damaged_states():
    state = {
        "version": 1,
        "names": ["a", "b", "t"],
        "header": True,
        "features": [
            {"name": "a", "kind": "numeric", "given": False, "mean": None, "categories": None},
            {"name": "b", "kind": "categorical", "given": False, "mean": None, "categories": ["u", "v"]},
        ],
        "target": {"name": "t", "task": "classification", "classes": ["x", "y"]},
        "categorical": "onehot",
        "missing": "error",
        "unknown": "error",
    }
    assert TableEncoder.from_state_dict(state).state_dict() == state
    yield from ({}, {**state, "version": 2}, {**state, "names": "abt"}, {**state, "names": ["a"]}, {**state, "header": 1})
    yield from (
        {**state, "features": [3]},
        {**state, "features": None},
        {**state, "target": {"name": "t"}},
        {**state, "missing": "no"},
    )
    first, second = state["features"]
    for wrong in (
        {"kind": "odd"},
        {"mean": "4"},
        {"mean": math.nan},
        {"name": []},
        {"given": 0},
        {"categories": ["u"]},
        {"more": 1},
    ):
        yield {**state, "features": [{**first, **wrong}, second]}
    for wrong in ({"categories": None}, {"categories": [1]}, {"mean": 1.0}):
        yield {**state, "features": [first, {**second, **wrong}]}
    for wrong in ({"classes": None}, {"task": "regression"}, {"classes": [[]]}, {"task": "odd"}):
        yield {**state, "target": {**state["target"], **wrong}}


@pytest.mark.parametrize("state", list(damaged_states()))
def test_damaged_states_are_refused(state):
    with pytest.raises(ValueError, match="from_state_dict: "):
        TableEncoder.from_state_dict(state)


# --- What is refused ------------------------------------------------------------------------------------------------------
REFUSED = [
    ("", {}, "read_csv: pets.csv is empty"),
    ("\n \n", {}, "read_csv: pets.csv is empty"),
    ("a,b\n", {}, "has no rows below its header; header=False"),
    ("a,b\n1,2\n1,2,3\n", {}, "read_csv: pets.csv, line 3: expected 2 cells as in line 1, got 3"),
    ('a,b\n1,"2\n3"\n4\n', {}, "line 4: expected 2 cells as in line 1, got 1"),
    ("a,b,a\n1,2,3\n", {}, "columns 1 and 3 are both named 'a'"),
    ('a,b\n1,"2\n', {}, "record that begins in line 2: unexpected end of data"),
    ('a,b\n1,"2"x\n', {}, "record that begins in line 2: ',' expected after '\"'"),
    ("a,b\n1," + "x" * 200_000 + "\n", {}, "record that begins in line 2: field larger than field limit"),
    (b"a,b\n1,2\nb\xe4r,4\n", {}, "pets.csv, line 3: byte 0xe4 is not utf-8; give the encoding"),
    (b"a,b\n1,\x002\n", {}, "line 2: a zero byte"),
    ("a,b\n1,2\n", {"encoding": "klingon"}, "unknown encoding 'klingon'"),
    ("a,b\n1,2\n", {"delimiter": ",,"}, "delimiter of one character, got ',,'"),
    (
        "a,b\n1,2\n,4\n",
        {},
        r"line 3, column 'a': a missing value \(''\); fill it in, drop the column, or read with missing='mean'",
    ),
    ("a,b\n1,2\nNaN,4\n", {}, r"line 3, column 'a': a missing value \('NaN'\)"),
    ("a,b\n1,x\n2,x\n3,\n", {}, r"line 4, column 'b': a missing category \(''\); read with missing='drop'"),
    ("a,b\n1,2\n-inf,4\n", {}, "line 3, column 'a': -inf is beyond the range of float32"),
    ("a,b\n1,2\n1e39,4\n", {}, "line 3, column 'a': 1e39 is beyond the range of float32"),
    ("a,b\n1,2\n" + "9" * 400 + ",4\n", {}, "line 3, column 'a': 9+ is beyond the range of float32"),
    (
        "a,b\n1,2\n1_0,4\n3,5\n",
        {},
        "line 3, column 'a': expected a number as in most rows, got '1_0'; kinds={'a': 'categorical'}",
    ),
    ("a,b\nx,2\ny,4\n", {"kinds": {"a": "numeric"}}, "line 2, column 'a': expected a number, got 'x'"),
    ("a;b\n1,5;x\n2,5;x\n", {}, "line 2, column 'a': '1,5' has a decimal comma; write a point"),
    ("a,b\n,1\nNA,2\n", {}, r"column 'a' holds no value; leave it out with drop=\['a'\]"),
    ("a,b\n" + "".join(f"name{i},1\n" for i in range(30)), {}, r"column 'a' has 30 different texts in 30 rows.*drop=\['a'\]"),
    ("a,b\n1,2\n", {"target": "c"}, "no column 'c'; there are 'a', 'b'"),
    ("a,b\n1,2\n", {"target": 2}, "expected a target among 2 columns, by name or position, got 2"),
    ("a,b\n1,2\n", {"target": True}, "got True"),
    ("a,b\n1,x\n2,x\n", {"target": "b"}, "target 'b' has one class only, 'x'"),
    ("a,b\n1,x\n2,y\n3,\n", {"target": "b"}, r"line 4, column 'b': a missing target \(''\)"),
    ("a,b\n1,\n2,\n", {"target": "b"}, "target 'b' holds no value"),
    ("a,b\n1,x\n2,y\n", {"target": "b", "task": "regression"}, "line 2, column 'b': expected a number, got 'x'"),
    ("a,b\n1,2\n", {"target": "b", "drop": ["a"]}, "no column is left for features"),
    ("a,b\n1,2\n", {"drop": ["c"]}, "no column 'c'"),
    ("a,b\n1,2\n", {"target": "b", "kinds": {"b": "numeric"}}, "column 'b' is the target; task tells its kind"),
    ("a,b\n1,2\n", {"kinds": {"b": "text"}}, r"expected kinds\['b'\] to be 'numeric' or 'categorical', got 'text'"),
    ("a,b\n1,2\n", {"categorical": "dummy"}, "expected categorical to be 'onehot' or 'codes', got 'dummy'"),
    ("a,b\n1,2\n", {"missing": "zero"}, "expected missing to be 'error' or 'mean' or 'drop', got 'zero'"),
    ("a,b\n1,2\n", {"task": "regression"}, "task needs a target"),
    ("a,b\n1,2\n", {"categorical": "codes", "unknown": "zero"}, "a code has no zero"),
    ("a,b\n,2\n,3\n", {"missing": "drop"}, "every row lacks a value"),
]


@pytest.mark.parametrize(("text", "options", "match"), REFUSED)
def test_refused(write, text, options, match):
    with pytest.raises(ValueError, match=match):
        read_csv(write(text), **options)


def test_drop_is_a_list(write):
    with pytest.raises(TypeError, match=r"write drop=\['a'\]"):
        read_csv(write("a,b\n1,2\n"), drop="a")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "nothing.csv")
    with pytest.raises(OSError, match="directory"):
        read_csv(tmp_path)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_table_or_a_value_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        table = read_csv(path, encoding="latin-1")
    except ValueError:
        with pytest.raises(ValueError, match=r"^read_csv: any.csv"):
            read_csv(path, encoding="latin-1")
        return
    assert np.isfinite(table.x.numpy()).all()
    assert len(table.x) == len(table.lines) > 0


def test_the_first_rows_tell_the_delimiter(write):
    rows = io.StringIO()
    for i in range(3000):  # longer than what is looked at, cut inside a record
        rows.write(f"{i};{'a,b' if i % 2 else 'c,d'};{i / 8}\n")
    assert read_csv(write("x;y;z\n" + rows.getvalue())).columns == ["x", "y=a,b", "y=c,d", "z"]


# --- Scaling --------------------------------------------------------------------------------------------------------------
def test_standardizer_is_that_of_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    random = np.random.default_rng(0)
    x = (random.standard_normal((50, 4)) * [1, 1e-3, 1e4, 0] + [0, 5, -1e5, 0.1]).astype(np.float32)
    scaler = Standardizer.fit(dnn.tensor(x))
    oracle = preprocessing.StandardScaler().fit(x.astype(np.float64))
    np.testing.assert_allclose(scaler.mean, oracle.mean_, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale, oracle.scale_, rtol=1e-12)
    new = random.standard_normal((7, 4)).astype(np.float32)
    got = scaler.transform(dnn.tensor(new))
    assert got.dtype == dnn.float32
    np.testing.assert_array_equal(got.numpy(), ((new.astype(np.float64) - scaler.mean) / scaler.scale).astype(np.float32))
    again = Standardizer.from_state_dict(json.loads(json.dumps(scaler.state_dict())))
    assert again.transform(dnn.tensor(new)).numpy().tobytes() == got.numpy().tobytes()


def test_standardizer_leaves_constant_columns_alone():
    third = np.full((7, 1), 0.1, np.float32)  # its mean rounds
    assert Standardizer.fit(dnn.tensor(third)).scale == [1.0]


@pytest.mark.parametrize("device", PLACES)
def test_standardizer_scales_rows_where_they_are(device):
    scaler = Standardizer.fit(dnn.tensor([[-1.0, -2.0], [3.0, 6.0]], device=device))
    scaled = scaler.transform(dnn.tensor([[3.0, 6.0]], device=device))
    assert scaled.device == dnn.device(device)
    assert scaled.tolist() == [[1.0, 1.0]]


def test_standardizer_refuses():
    with pytest.raises(ValueError, match=r"expected x of shape \(N, F\).*got \(3,\)"):
        Standardizer.fit(dnn.zeros(3))
    with pytest.raises(ValueError, match="got inf in row 1, column 0"):
        Standardizer.fit(dnn.tensor([[1.0], [math.inf]]))
    scaler = Standardizer.fit(dnn.rand(3, 2))
    with pytest.raises(ValueError, match=r"expected x of shape \(N, 2\), got \(3, 1\)"):
        scaler.transform(dnn.zeros(3, 1))
    with pytest.raises(TypeError, match="expected floating x"):
        scaler.transform(dnn.zeros(3, 2, dtype=dnn.int64))
    sound = {"mean": [0.0], "scale": [1.0]}
    for wrong in (
        None,
        {},
        {**sound, "more": 1},
        {**sound, "scale": [0.0]},
        {**sound, "scale": [1.0, 1.0]},
        {**sound, "mean": ["0"]},
    ):
        with pytest.raises(ValueError, match="from_state_dict: "):
            Standardizer.from_state_dict(wrong)
    with pytest.raises(ValueError, match="finite"):
        Standardizer.from_state_dict({**sound, "mean": [math.nan]})
