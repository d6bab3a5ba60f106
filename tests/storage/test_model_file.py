"""Hostile `.keras` and HDF5 files: refused in one line before Keras opens them, at little cost."""

from __future__ import annotations

import os
import resource
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from autofit.errors import UserError
from autofit.storage.model_file import model_configuration, require_plain_model, require_sound_model
from tests.support.keras_files import CONFIG, hdf5_file, keras_file

MOST_SECONDS, MOST_KIB = 5.0, 150 * 1024


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Each case costs little memory and time."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - started < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_an_honest_model_is_let_through(tmp_path: Path, compression: int) -> None:
    """No run's model could be used any more."""
    path = keras_file(tmp_path / "model.keras", more={"assets/words.txt": b"a\nb\n"}, compression=compression)
    require_plain_model(path)
    assert model_configuration(path) == CONFIG
    require_plain_model(hdf5_file(tmp_path / "own.weights.h5"))


def external_array(file: h5py.File) -> None:
    file.create_dataset("outside", (8,), "u1", external=[("/etc/passwd", 0, 8)])


def virtual_array(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname.h5", "x", (8,))
    file.create_virtual_dataset("virtual", layout)


def external_link(file: h5py.File) -> None:
    file["link"] = h5py.ExternalLink("/etc/other.h5", "/x")


def soft_link(file: h5py.File) -> None:
    file["link"] = h5py.SoftLink("/link")


def enormous(file: h5py.File) -> None:
    file.create_dataset("enormous", (2**40, 2**20), "f4", chunks=(1024, 1024))


def many_enormous(file: h5py.File) -> None:
    for number in range(40):
        file.create_dataset(f"large{number}", (2**20,), "f4", chunks=(1024,))


def packed_zeros(file: h5py.File) -> None:
    file.create_dataset("zeros", (2**25,), "f4", chunks=(2**20,), compression="gzip", fillvalue=0)


def references(file: h5py.File) -> None:
    file.create_dataset("references", (2,), h5py.ref_dtype)


def of_a_type_without_numbers(file: h5py.File) -> None:
    h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((1,)))


def of_a_name_that_is_no_text(file: h5py.File) -> None:
    file.create_group(b"\xff\xfe")


HOSTILE_HDF5: dict[Callable[[h5py.File], None], str] = {
    external_array: "kept in another file",
    virtual_array: "kept in another file",
    external_link: "holds a link",
    soft_link: "holds a link",
    enormous: "more bytes than it can hold",
    many_enormous: "more bytes than it can hold",
    packed_zeros: "more bytes than it can hold",
    references: "neither numbers nor text",
    of_a_type_without_numbers: "no readable HDF5 file",
    of_a_name_that_is_no_text: "no readable HDF5 file",
}


@pytest.mark.parametrize("fill", HOSTILE_HDF5, ids=lambda fill: fill.__name__)
@pytest.mark.parametrize("kind", ["h5", "keras", "deflated"])
def test_a_weights_file_that_refers_or_lies_is_refused(
    tmp_path: Path, fill: Callable[[h5py.File], None], kind: str
) -> None:
    """Another file's content would be read as weights, or a few bytes take all the memory."""
    path = hdf5_file(tmp_path / "evil.h5", fill)
    if kind != "h5":
        compression = zipfile.ZIP_STORED if kind == "keras" else zipfile.ZIP_DEFLATED
        path = keras_file(tmp_path / "evil.keras", weights=path.read_bytes(), compression=compression)
    with pytest.raises(ValueError, match=HOSTILE_HDF5[fill]) as refused:
        require_plain_model(path)
    assert "evil" in str(refused.value)
    assert str(refused.value).isprintable()


def test_groups_in_a_circle_end(tmp_path: Path) -> None:
    """The check would go round for good."""

    def circle(file: h5py.File) -> None:
        file["layers/again"] = file["layers"]

    require_plain_model(hdf5_file(tmp_path / "circle.h5", circle))


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", bytes(range(256)) * 16], ids=range(4))
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_no_model_at_all_is_named(tmp_path: Path, data: bytes, suffix: str) -> None:
    """A traceback of h5py or zipfile would be all that the user hears."""
    path = tmp_path / f"torn{suffix}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"torn.*is no readable"):
        require_plain_model(path)


def deep(levels: int) -> str:
    return '{"config": ' * levels + "1" + "}" * levels


HOSTILE_CONFIGS = {
    "deep": (deep(5000), "nested too deeply"),
    "deeper": (deep(100_000), "nested too deeply|fields"),
    "wide": ('{"a": [' + ",".join(["1"] * 5_000_000) + "]}", "more than the"),
    "no json": ("{", "no readable config.json"),
    "huge number": ('{"units": ' + "9" * 10_000 + "}", "no readable config.json"),
    "lambda": (
        {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}}},
        "holds a lambda",
    ),
    "old lambda": ({"layers": [{"function": {"value": ["4wAAAA==", None, None]}}]}, "holds a lambda"),
}


@pytest.mark.parametrize("name", HOSTILE_CONFIGS)
def test_a_hostile_configuration_is_refused(tmp_path: Path, name: str) -> None:
    """Code of a stranger would be run, or his text fill the memory."""
    config, said = HOSTILE_CONFIGS[name]
    with pytest.raises(ValueError, match=said):
        require_plain_model(keras_file(tmp_path / "evil.keras", config, compression=zipfile.ZIP_DEFLATED))


def test_an_enormous_configuration_is_not_unpacked(tmp_path: Path) -> None:
    """A file of 100 kB would take 100 MB, and its objects a hundred times that."""
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.json", "w") as part:
        for _ in range(100):
            part.write(b"[" * 2**20)
    with pytest.raises(ValueError, match="would unpack to"):
        require_plain_model(path)


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "assets/../../x", "a\\..\\b", "a\x1b]52;c;aGk=\x07", "a\nb"]
)
def test_a_part_that_would_be_written_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """A stranger's file would overwrite one of the user's."""
    with pytest.raises(ValueError, match="written outside") as refused:
        require_plain_model(keras_file(tmp_path / "evil.keras", more={name: b"x"}))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["model.weights.npz", "assets/more.ZIP", "inner.keras"])
def test_an_archive_in_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    """Its content would be bounded by nothing."""
    with pytest.raises(ValueError, match="another archive"):
        require_plain_model(keras_file(tmp_path / "evil.keras", more={name: b"PK"}))


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    """The configuration that was checked would be another one than Keras reads."""
    path = keras_file(tmp_path / "evil.keras")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="two of the same name"):
        require_plain_model(path)


def test_a_list_of_a_million_parts_is_not_read(tmp_path: Path) -> None:
    """Python would make an object of each before anybody counts them."""
    path = tmp_path / "evil.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.comment = b"x" * 100
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end:end] = b"\0" * (8 * 2**20)
    end += 8 * 2**20
    data[end + 12 : end + 16] = (8 * 2**20).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is no readable"):
        require_plain_model(path)


def test_parts_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A small file could unpack to any size, with each part within its own bounds."""
    path = keras_file(tmp_path / "evil.keras", weights=b"\0" * 50_000)
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("model.weights.h5")
        for number in range(3):
            twin = zipfile.ZipInfo(f"assets/{number}")
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            twin.compress_size, twin.file_size = first.compress_size, first.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive.__dict__["_didModify"] = True
    with pytest.raises(ValueError, match="overlap"):
        require_plain_model(path)


def test_a_locked_or_oddly_packed_part_is_refused(tmp_path: Path) -> None:
    """Keras would ask for a password that nobody has, or an unpacker of unbounded memory be used."""
    path = keras_file(tmp_path / "evil.keras")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("assets/x", b"x" * 100)
    with pytest.raises(ValueError, match="unusual way"):
        require_plain_model(path)


def test_a_sparse_file_of_terabytes_is_refused(tmp_path: Path) -> None:
    """A few kilobytes on the disk would be read as far as the memory goes."""
    for name in ("sparse.h5", "sparse.keras"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(ValueError, match="more than the"):
            require_plain_model(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A prediction would hang for good."""
    os.mkfifo(tmp_path / "model.keras")
    with pytest.raises(UserError, match="is no regular file"):
        require_sound_model(tmp_path / "model.keras")


def test_the_user_is_told_what_to_do(tmp_path: Path) -> None:
    """The line would not say which model it is about."""
    path = keras_file(tmp_path / "model.keras", config="{")
    with pytest.raises(UserError, match=r"the model in .* is not opened: model.keras has no readable") as refused:
        require_sound_model(path)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.whole) for seed in range(1, 10))])
def test_flipped_bytes_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """h5py or zipfile would raise what nobody expects."""
    good = keras_file(tmp_path / "good.keras").read_bytes()
    plain = hdf5_file(tmp_path / "good.h5").read_bytes()
    chance = np.random.default_rng(seed)
    said: list[str] = []
    for number in range(200):
        data = bytearray(good if number % 2 else plain)
        for place in chance.integers(0, len(data), 3):
            data[place] = chance.integers(256)
        path = tmp_path / ("flipped.keras" if number % 2 else "flipped.h5")
        path.write_bytes(data)
        try:
            require_plain_model(path)
        except ValueError as error:
            said.append(str(error))
    assert said
    assert not [line for line in said if not line.isprintable() or len(line) > 400]
