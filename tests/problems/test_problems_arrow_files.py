"""Parquet and Arrow files of strangers: no value of theirs becomes code, and memory is bounded before it is taken."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from problems import arrow_files
from problems.arrow_files import ArrowFileError, read_batches, read_rows

MIB = 2**20
EXTENSION = {"ARROW:extension:name": "ray.data.arrow_pickled_object", "ARROW:extension:metadata": ""}
INNER = pa.field("item", pa.large_binary(), metadata=EXTENSION)
NESTINGS = {
    "plain": (pa.large_binary(), [b"x"]),
    "list": (pa.list_(INNER), [[b"x"]]),
    "large list": (pa.large_list(INNER), [[b"x"]]),
    "fixed list": (pa.list_(INNER, 1), [[b"x"]]),
    "struct": (pa.struct([INNER]), [{"item": b"x"}]),
    "map": (pa.map_(pa.string(), INNER), [[("k", b"x")]]),
    "list of structs of lists": (pa.list_(pa.struct([pa.field("a", pa.list_(INNER))])), [[{"a": [b"x"]}]]),
}


def write(path, table, **options):
    if path.suffix == ".parquet":
        pq.write_table(table, path, **options)
    elif path.suffix == ".feather":
        feather.write_feather(table, path, **options)
    else:
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table)
    return path


def refused(path):
    """The one line that refuses a file."""
    with pytest.raises(ArrowFileError) as error:
        list(read_rows(path))
    text = str(error.value)
    assert str(path) in text and "\n" not in text and len(text) < 800
    return text


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("nesting", NESTINGS)
def test_an_extension_type_is_refused_before_arrow_makes_an_object_of_it(tmp_path, suffix, nesting):
    kind, values = NESTINGS[nesting]
    field = pa.field("question", kind, metadata=EXTENSION if nesting == "plain" else None)
    table = pa.table([pa.array(values, kind)], schema=pa.schema([field]))
    assert "extension type" in refused(write(tmp_path / f"x{suffix}", table))


def test_what_people_write_is_read_as_they_wrote_it(tmp_path):
    moment = datetime.datetime(2024, 5, 1, 12)
    rows = [
        {"t": "a" * i, "n": i, "f": i / 2, "b": i % 2 == 0, "l": ["x"] * i, "s": {"k": [{"v": str(i)}]}, "z": None,
         "d": Decimal(i), "w": moment, "raw": bytes(i), "m": [("k", i)]}
        for i in range(600)
    ]  # fmt: skip
    schema = pa.table({name: [row[name] for row in rows] for name in list(rows[0])[:-1]}).schema
    schema = schema.append(pa.field("m", pa.map_(pa.string(), pa.int64())))
    table = pa.Table.from_pylist(rows, schema=schema)
    table = table.append_column("c", table["t"].dictionary_encode())
    rows = [{**row, "c": row["t"]} for row in rows]
    for name, options in [
        ("a.parquet", {}), ("b.parquet", {"compression": "zstd", "row_group_size": 7}), ("c.arrow", {}),
        ("d.parquet", {"use_dictionary": False, "data_page_version": "2.0"}), ("e.feather", {}),
        ("f.feather", {"compression": "zstd"}), ("g.parquet", {"store_schema": False, "data_page_size": 100}),
        ("h.feather", {"compression": "uncompressed"}), ("i.parquet", {"write_page_index": True}),
        ("j.parquet", {"use_dictionary": False, "column_encoding": {"t": "DELTA_BYTE_ARRAY"}}),
    ]:  # fmt: skip
        found = list(read_rows(write(tmp_path / name, table, **options)))
        assert [error for _, error in found if error] == [], name
        assert [{**row, "m": row["m"]} for row, _ in found] == rows, name
        assert list(read_rows(write(tmp_path / name, table.slice(0, 0), **options))) == [], f"{name} without a row"
    for view in (pa.string_view(), pa.large_string()):
        written = write(tmp_path / "v.arrow", pa.table({"t": pa.array(["a", "b" * 99], view)}))
        assert [row["t"] for row, _ in read_rows(written)] == ["a", "b" * 99]


LEAVES = [pa.int8(), pa.uint64(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.date32(), pa.binary(3)]
KINDS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: inner.map(pa.list_) | st.lists(inner, min_size=1, max_size=3).map(
        lambda kinds: pa.struct([(f"k{n}", kind) for n, kind in enumerate(kinds)])
    ),
    max_leaves=4,
)  # fmt: skip
OPTIONS = st.fixed_dictionaries({
    "compression": st.sampled_from(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]),
    "use_dictionary": st.booleans(), "row_group_size": st.integers(1, 9),
    "data_page_size": st.sampled_from([100, 2**20]), "store_schema": st.booleans(),
    "data_page_version": st.sampled_from(["1.0", "2.0"]), "write_statistics": st.booleans(),
    "dictionary_pagesize_limit": st.sampled_from([1, 2**20]),
})  # fmt: skip


def values_of(kind):
    if pa.types.is_list(kind):
        return st.none() | st.lists(values_of(kind.value_type), max_size=3)
    if pa.types.is_struct(kind):
        return st.none() | st.fixed_dictionaries({field.name: values_of(field.type) for field in kind})
    plain = {
        "int8": st.integers(-128, 127), "uint64": st.integers(0, 2**64 - 1), "double": st.floats(allow_nan=False),
        "bool": st.booleans(), "string": st.text(max_size=40), "binary": st.binary(max_size=40),
        "date32[day]": st.dates(), "fixed_size_binary[3]": st.binary(min_size=3, max_size=3),
    }  # fmt: skip
    return st.none() | plain[str(kind)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(KINDS, min_size=1, max_size=3), options=OPTIONS, data=st.data())
def test_every_honest_file_is_read_as_arrow_reads_it(tmp_path, kinds, options, data):
    schema = pa.schema([(f"c{n}", kind) for n, kind in enumerate(kinds)])
    column = st.fixed_dictionaries({field.name: values_of(field.type) for field in schema})
    table = pa.Table.from_pylist(data.draw(st.lists(column, max_size=20)), schema=schema)
    found = list(read_rows(write(tmp_path / "x.parquet", table, **options)))
    assert [row for row, _ in found] == table.to_pylist() and not any(error for _, error in found)
    found = list(read_rows(write(tmp_path / "x.arrow", table)))
    assert [row for row, _ in found] == table.to_pylist() and not any(error for _, error in found)


def test_rows_that_arrow_loses_are_missed(tmp_path):
    """Written with pages of one byte, a list that is null is lost by Arrow itself, without a word."""
    table = pa.table({"c": pa.array([None], pa.list_(pa.int8()))})
    path = write(tmp_path / "x.parquet", table, data_page_size=1, use_dictionary=True, dictionary_pagesize_limit=1)
    assert "says that it has 1 rows, and has 0" in refused(path)


def test_large_rows_come_one_by_one_and_one_that_is_too_large_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_files, "_BATCH_BYTES", MIB)
    monkeypatch.setattr(arrow_files, "BIGGEST_ROW", 4 * MIB)
    texts = ["a", "b" * (3 * MIB), "c", "d" * (5 * MIB), "e"] + ["f"] * 300
    for suffix in (".parquet", ".arrow"):
        path = write(tmp_path / f"x{suffix}", pa.table({"t": texts}))
        found = list(read_rows(path))
        assert [row.get("t") for row, error in found] == [None if len(t) > 4 * MIB else t for t in texts]
        assert [n for n, (_, error) in enumerate(found) if error] == [3]
        assert [b.first for b in read_batches(path)][:5] == [1, 2, 3, 4, 5]


def _dictionary(size, rows):
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * size]))


def _bombs():
    lists = pa.ListArray.from_arrays(pa.array(range(0, 513), pa.int32()), _dictionary(MIB, 512))
    for table, options in [
        (pa.table({"t": _dictionary(MIB, 512)}), {}),
        (pa.table({"t": lists}), {}),
        (pa.table({"t": pa.StructArray.from_arrays([_dictionary(MIB, 512)], ["x"])}), {}),
        (pa.table({"t": ["a" * (80 * MIB)]}), {"use_dictionary": False}),
        (pa.table({"t": ["a" * MIB] * 80}), {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}),
        (pa.table({"t": [b"a" * MIB] * 80}, schema=pa.schema([("t", pa.binary(MIB))])), {"use_dictionary": False}),
        (pa.table({"n": pa.repeat(0, 2**23)}), {"use_dictionary": False}),
        (pa.table({"n": pa.nulls(2**21)}), {}),
        (pa.table({"n": [[0] * 2**22]}), {"use_dictionary": False}),
    ]:
        yield table, {"compression": "zstd", **options}


def test_a_small_file_is_refused_before_it_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_files, "FREE", 16 * MIB)
    monkeypatch.setattr(arrow_files, "_NESTED_VALUES", 2**21)
    for number, (table, options) in enumerate(_bombs()):
        path = write(tmp_path / f"{number}.parquet", table, **options)
        assert path.stat().st_size < MIB
        before = pa.total_allocated_bytes()
        text = refused(path)
        assert pa.total_allocated_bytes() - before <= 2 * arrow_files._BATCH_BYTES, text
