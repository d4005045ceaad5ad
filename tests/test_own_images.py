"""Own images: every kind of file is read as people see it, or left out and named."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from ftlib import tasks
from ftlib.models.about import Preprocessing
from ftlib.models.pixels import as_pixels
from ftlib.tasks import images
from test_own_data import draw, files, load, photos


def pixels_of(image: Image.Image, size: int = 8, shape: str = "stretch", **how) -> np.ndarray:
    """What is read of an image that was saved."""
    out = io.BytesIO()
    image.save(out, **{"format": "PNG", **how})
    return read(out.getvalue(), size, shape)


def read(content: bytes, size: int = 8, shape: str = "stretch") -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return images.to_pixels(image, size, shape)


def halves(left, right, mode: str = "RGB", side: int = 8) -> Image.Image:
    image = Image.new(mode, (side, side), left)
    image.paste(right, (side // 2, 0, side, side))
    return image


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (halves((200, 0, 0), (0, 0, 100)), (200, 0, 0), (0, 0, 100)),
        (halves(10, 250, "L"), (10,), (250,)),
        (halves(0, 1, "1"), (0,), (255,)),
        (halves((9, 99, 9), (0, 0, 200)).convert("P", palette=Image.Palette.ADAPTIVE), (9, 99, 9), (0, 0, 200)),
        (halves((7, 7, 7), (70, 70, 70)).convert("P", palette=Image.Palette.ADAPTIVE), (7,), (70,)),
        (halves((200, 0, 0, 255), (200, 0, 0, 0), "RGBA"), (200, 0, 0), (255, 255, 255)),
        (halves((100, 255), (100, 0), "LA"), (100,), (255,)),
        (Image.fromarray(np.repeat([[257 * 20] * 4 + [65535] * 4], 8, 0).astype(np.uint16)), (20,), (255,)),
    ],
    ids=["colour", "grey", "black and white", "palette", "grey palette", "transparent", "grey transparent", "16 bits"],
)
def test_each_mode_is_read_as_people_see_it(image, left, right):
    found = pixels_of(image)
    assert found.shape == (len(left), 8, 8) and found.dtype == np.uint8
    assert found[:, 4, 0].tolist() == list(left) and found[:, 4, 7].tolist() == list(right)


def test_a_palette_with_a_transparent_colour_is_laid_on_white():
    image = halves((0, 0, 0), (0, 0, 200)).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    first = image.getpixel((0, 0))
    assert pixels_of(image, transparency=first)[:, 4, 0].tolist() == [255, 255, 255]


def test_cmyk_floats_and_32_bits_are_read():
    found = pixels_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), format="JPEG", quality=95)
    assert found.shape == (3, 8, 8) and found[0].mean() > 200 and found[1:].mean() < 60
    floats = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    assert pixels_of(floats, format="TIFF").mean() == 128
    wide = Image.fromarray(np.full((8, 8), 514, np.int32))
    assert pixels_of(wide, format="TIFF").mean() == 2


def test_the_camera_may_be_turned():
    image = halves((250, 0, 0), (0, 0, 250), side=16)
    turned = Image.Exif()
    turned[0x0112] = 6  # turn by 90 degrees to the right to see it upright
    found = pixels_of(image, exif=turned)
    assert found[:, 0, 4].tolist() == [250, 0, 0] and found[:, 7, 4].tolist() == [0, 0, 250]
    assert np.array_equal(pixels_of(image, exif=b"Exif\0\0damaged"), pixels_of(image))


def test_an_animation_gives_its_first_frame(tmp_path):
    photos(tmp_path)
    frames = [Image.new("RGB", (9, 9), c) for c in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    frames[0].save(tmp_path / "cat" / "moves.gif", save_all=True, append_images=frames[1:], duration=20)
    task = load(tmp_path)
    gif = "cat/moves.gif"
    ((split, row),) = [(s, names.index(gif)) for s, names in files(task).items() if gif in names]
    assert task.splits[split].inputs[row, :, 8, 8].tolist() == [250, 0, 0]
    assert task.report.noticed == {"animation": 1} and "3 frames" in task.report.problems.problem[0]


def test_shapes():
    wide = Image.new("RGB", (30, 10), (250, 250, 250))
    wide.paste((200, 0, 0), (9, 0, 21, 10))
    crop, pad, stretch = (pixels_of(wide, 12, shape) for shape in ("crop", "pad", "stretch"))
    assert crop[0].min() == 200 and crop[1].max() == 0
    assert pad[:, 0].max() == 0 and pad[0, 6, 0] == 250
    assert stretch[1, :, 0].min() == 250 and stretch[1, :, 6].max() == 0


def test_jpegs_are_decoded_small_and_look_the_same():
    big = Image.fromarray(load_sample_images().images[0])
    out = io.BytesIO()
    big.save(out, "JPEG", quality=92)
    with Image.open(io.BytesIO(out.getvalue())) as image:
        image.load()
        whole = np.asarray(images.fit(image, 64, "crop"), int).transpose(2, 0, 1)
    assert abs(read(out.getvalue(), 64, "crop").astype(int) - whole).mean() < 3


def test_grey_images_have_one_channel_and_one_colour_gives_three(tmp_path):
    for number in range(20):
        draw(tmp_path / ("a", "b")[number % 2] / f"{number}.png", number, "L")
    draw(tmp_path / "a" / "grey.jpg", 50, "L")
    Image.open(tmp_path / "a" / "grey.jpg").convert("RGB").save(tmp_path / "b" / "grey-as-colour.bmp")
    assert load(tmp_path).splits["train"].inputs.shape[1] == 1
    draw(tmp_path / "a" / "colour.png", 60)
    assert load(tmp_path).splits["train"].inputs.shape[1] == 3


def test_damaged_files_are_left_out_and_named_in_one_warning(tmp_path):
    photos(tmp_path)
    jpeg = draw(tmp_path / "whole.jpg", 3, side=(300, 300))
    whole = jpeg.read_bytes()
    jpeg.unlink()
    (tmp_path / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cat" / "empty.png").write_bytes(b"")
    (tmp_path / "cat" / "text.jpg").write_text("not an image")
    (tmp_path / "dog" / "phone.HEIC").write_bytes(whole)
    png = (tmp_path / "cat" / "0.png").read_bytes()
    (tmp_path / "dog" / "bits.png").write_bytes(png[:60] + bytes(40) + png[100:])
    draw(tmp_path / "loose.png", 5)
    (tmp_path / "cat" / "notes.txt").write_text("my notes")
    for system in (".DS_Store", "Thumbs.db", ".hidden.png", "desktop.ini"):
        (tmp_path / "cat" / system).write_bytes(b"x")
    draw(tmp_path / "__MACOSX" / "cat" / "0.png", 9)
    with pytest.warns(UserWarning) as said:
        task = load(tmp_path)
    assert len(said) == 1 and "6 of 26 images of folder:" in str(said[0].message)
    assert said[0].filename.endswith("test_own_data.py")
    problems = dict(zip(task.report.problems.file, task.report.problems.problem))
    assert problems["cat/cut.jpg"] == "left out: it is truncated"
    assert problems["cat/empty.png"] == "left out: the file is empty"
    assert problems["cat/text.jpg"] == "left out: it is no image that can be read"
    assert problems["dog/phone.HEIC"] == "left out: .HEIC files are not read here, save it as JPEG or PNG"
    assert problems["dog/bits.png"].startswith("left out: it is ")
    assert problems["loose.png"] == "left out: it lies in no folder of a class"
    assert problems["cat/notes.txt"] == "no image by its name, ignored" and len(problems) == 7
    assert task.report.used == 20 == sum(map(len, files(task).values()))


def test_a_huge_image_is_left_out_before_it_fills_the_memory(tmp_path, monkeypatch):
    photos(tmp_path)
    draw(tmp_path / "cat" / "huge.png", 4, side=(100, 90))
    for most, sentence in ((8000, "million pixels, more than"), (2000, "it has more than")):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        tasks.folder._decoded.clear()
        with pytest.warns(UserWarning, match=rf"cat/huge.png: it has .*{sentence.removeprefix('it has ')}"):
            assert load(tmp_path).report.left_out == {"unreadable image": 1}


def test_links_that_go_round_are_walked_once(tmp_path):
    photos(tmp_path / "all")
    try:
        os.symlink(tmp_path / "all", tmp_path / "all" / "cat" / "round")
        os.symlink(tmp_path / "nowhere.png", tmp_path / "all" / "cat" / "dead.png")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.warns(UserWarning, match="1 of 21 images"):
        task = load(tmp_path / "all")
    assert task.report.problems.file.tolist() == ["cat/dead.png"]


def test_known_labels_leave_other_folders_out(tmp_path):
    photos(tmp_path, ("cat", "dog", "dgo"))
    with pytest.warns(UserWarning, match="unknown label 'dgo'; did you mean 'dog'"):
        task = load(tmp_path, labels=["dog", "cat"])
    assert task.labels == ["dog", "cat"] and task.report.left_out == {"unknown label": 10}
    with pytest.raises(ValueError, match="labels must list at least two different classes"):
        load(tmp_path, labels=["cat", "cat"])


def nothing(folder: Path) -> None:
    (folder / "cat").mkdir(parents=True)


def texts(folder: Path) -> None:
    nothing(folder)
    (folder / "cat" / "a.txt").write_text("a")


def one_class(folder: Path) -> None:
    photos(folder, ("cat",))


def spelt_twice(folder: Path) -> None:
    photos(folder, ("cat", "Cat", "dog"))
    if len(list(folder.iterdir())) < 3:
        pytest.skip("this system does not tell cat from Cat")


def few(folder: Path) -> None:
    photos(folder, each=5)


def copies(folder: Path) -> None:
    for k in range(12):
        draw(folder / ("cat", "dog")[k % 2] / f"{k}.png", 1)


def all_damaged(folder: Path) -> None:
    nothing(folder)
    (folder / "cat" / "a.jpg").write_bytes(b"x")


def only_test(folder: Path) -> None:
    photos(folder / "test")
    photos(folder / "val")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (nothing, "holds no images in folders: put the images of each class into a folder of its name"),
        (texts, "holds no images in folders"),
        (one_class, "at least two classes are needed, but .* has only one, 'cat'"),
        (spelt_twice, r"one label is spelt in 2 ways, 'Cat' \(10\) and 'cat' \(10\): give it one spelling"),
        (few, "has 10 usable images, but at least 12 are needed"),
        (copies, "too little is left to cut validation and test from train"),
        (all_damaged, "none of the 1 images can be used, the first: it is no image that can be read"),
    ],
)
def test_a_folder_that_cannot_be_learned_from_is_refused(make, sentence, tmp_path):
    make(tmp_path / "x")
    with pytest.raises(ValueError, match=sentence):
        load(tmp_path / "x")


def test_a_path_that_leads_nowhere_is_refused(tmp_path):
    photos(tmp_path / "photos")
    with pytest.raises(FileNotFoundError, match=r"phots does not exist: correct the path; did you mean 'photos'\?"):
        load(tmp_path / "phots")
    with pytest.raises(ValueError, match="is a file: path must name the folder"):
        load(tmp_path / "photos" / "cat" / "0.png")


@pytest.mark.parametrize("shape", images.SHAPES)
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "RGBA", "LA", "16 bits", "32 bits", "floats", "floats in 0..1", "P"])
def test_predict_reads_a_file_as_training_did(mode, shape, tmp_path):
    """Else a model would be asked about other images than it has learned from."""
    pixels = np.random.default_rng(1).integers(0, 255, (40, 56, 4)).astype(np.uint8)
    grey = pixels[..., 0]
    deep = {
        "16 bits": grey.astype(np.uint16) * 257, "32 bits": grey.astype(np.int32) * 257,
        "floats": grey.astype(np.float32), "floats in 0..1": grey.astype(np.float32) / 255,
    }  # fmt: skip
    image = Image.fromarray(deep[mode]) if mode in deep else Image.fromarray(pixels).convert(mode)
    file = tmp_path / ("x.tiff" if mode in deep else "x.png")
    image.save(file)
    learned = torch.from_numpy(images.read(file, 16, shape).pixels).float() / 255
    asked = as_pixels(file, Preprocessing(size=16, shape=shape, channels=len(learned)))
    assert learned.max() - learned.min() > 0.15  # not all cut off at one end
    torch.testing.assert_close(asked, learned, atol=1.5 / 255, rtol=0)


def test_photographs_that_were_not_made_for_this(tmp_path):
    """scikit-learn's, cut into pieces."""
    for name, shot in zip(("temple", "flower"), load_sample_images().images):
        (tmp_path / name).mkdir()
        for k in range(12):
            top, left = 100 * (k // 4), 150 * (k % 4)
            Image.fromarray(shot[top : top + 120, left : left + 160]).save(tmp_path / name / f"{k}.jpg")
    task = load(tmp_path, size=48)
    assert task.splits["train"].inputs.shape[1:] == (3, 48, 48) and task.report.used == 24
    assert next(iter(task.loader("train", batch_size=4)))["pixels"].dtype == torch.float32
