"""Pillow as the independent decoder, and PNG files built by hand where Pillow cannot write them."""

import io
import struct
import unittest
import zlib

from PIL import ImageOps

from reading import FolderTest, Image, numpy, run


def png(width, height, depth, colour, rows, extra=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Codecs(FolderTest):
    def setUp(self):
        super().setUp()
        y, x = numpy.mgrid[0:37, 0:53]
        self.rgb = numpy.stack([x * 4, y * 6, (x * y) % 256], -1).astype(numpy.uint8)

    def decode(self, content, *arguments):
        file = self.folder / "image"
        file.write_bytes(content)
        found = run("decode", file, *arguments)
        return numpy.array(found["pixels"], numpy.uint8).reshape(found["shape"])

    def saved(self, image, kind, **options):
        out = io.BytesIO()
        image.save(out, kind, **options)
        return out.getvalue()

    def expect(self, found, expected, tolerance=0):
        expected = numpy.asarray(expected)
        self.assertEqual(found.reshape(expected.shape).shape, expected.shape)
        worst = numpy.abs(found.reshape(expected.shape).astype(int) - expected.astype(int)).max()
        self.assertLessEqual(worst, tolerance)

    def test_jpeg_of_all_kinds(self):
        image = Image.fromarray(self.rgb)
        for options in [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2, "quality": 30}]:
            content = self.saved(image, "JPEG", **options)
            self.expect(self.decode(content), Image.open(io.BytesIO(content)))
        grey = self.saved(image.convert("L"), "JPEG")
        self.assertEqual(self.decode(grey).shape, (37, 53, 1))
        self.expect(self.decode(grey), Image.open(io.BytesIO(grey)))

    def test_jpeg_in_cmyk(self):
        content = self.saved(Image.fromarray(self.rgb).convert("CMYK"), "JPEG", quality=95)
        self.expect(self.decode(content), Image.open(io.BytesIO(content)).convert("RGB"), 2)

    def test_exif_orientation(self):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            content = self.saved(Image.fromarray(self.rgb), "JPEG", exif=exif)
            self.expect(self.decode(content), ImageOps.exif_transpose(Image.open(io.BytesIO(content))))

    def test_png_of_all_kinds(self):
        image = Image.fromarray(self.rgb)
        for mode in ["RGB", "L", "P", "1"]:
            content = self.saved(image.convert(mode), "PNG")
            wanted = Image.open(io.BytesIO(content)).convert("RGB" if mode in ("RGB", "P") else "L")
            self.expect(self.decode(content), wanted)

    def test_png_with_transparency_lies_on_white(self):
        alpha = numpy.arange(37 * 53).reshape(37, 53, 1) % 256
        for mode in ["RGBA", "LA"]:
            image = Image.fromarray(numpy.concatenate([self.rgb, alpha.astype(numpy.uint8)], -1)).convert(mode)
            colour = numpy.asarray(image)[..., :-1].astype(float)
            wanted = numpy.rint((colour * alpha + 255.0 * (255 - alpha)) / 255)
            self.expect(self.decode(self.saved(image, "PNG")), wanted, 1)
        palette = Image.fromarray(self.rgb).quantize(16)
        content = self.saved(palette, "PNG", transparency=0)
        found = self.decode(content)
        clear = numpy.asarray(palette) == 0
        self.assertTrue((found[clear] == 255).all())
        numpy.testing.assert_array_equal(found[~clear], numpy.asarray(palette.convert("RGB"))[~clear])

    def test_png_with_16_bits(self):
        values = numpy.arange(64 * 3, dtype=numpy.uint32) * 341
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values.reshape(8, 24))
        self.expect(self.decode(png(8, 8, 16, 2, rows)).ravel(), numpy.rint(values * 255 / 65535), 0)
        values = numpy.arange(64, dtype=numpy.uint32) * 1040
        alpha = values[::-1]
        pairs = numpy.stack([values, alpha], -1).reshape(8, 16)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pairs)
        wanted = (values / 65535 * alpha / 65535 + 1 - alpha / 65535) * 255
        self.expect(self.decode(png(8, 8, 16, 4, rows)).ravel(), numpy.rint(wanted), 1)

    def test_written_png_reads_back(self):
        content = self.saved(Image.fromarray(self.rgb), "PNG")
        self.decode(content, self.folder / "out.png")
        self.expect(numpy.asarray(Image.open(self.folder / "out.png")), self.rgb)

    def pillow_resized(self, height, width, fit, kernel):
        """As a user of Pillow does it: crop to the middle, pad on black, stretch."""
        image = Image.fromarray(self.rgb)
        if fit == "crop":
            zoom = min(37 / height, 53 / width)
            box = ((53 - zoom * width) / 2, (37 - zoom * height) / 2,
                   (53 + zoom * width) / 2, (37 + zoom * height) / 2)
            return image.resize((width, height), kernel, box=box)
        if fit == "stretch":
            return image.resize((width, height), kernel)
        zoom = max(37 / height, 53 / width)
        inner = (max(1, round(53 / zoom)), max(1, round(37 / zoom)))
        black = Image.new("RGB", (width, height))
        black.paste(image.resize(inner, kernel), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return black

    def test_each_fit_and_filter_is_as_pillow_has_it(self):
        content = self.saved(Image.fromarray(self.rgb), "PNG")
        kernels = [Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BILINEAR]
        for number, kernel in enumerate(kernels):
            for fit_number, fit in enumerate(("crop", "pad", "stretch")):
                for height, width in [(37, 53), (10, 10), (20, 53), (74, 106), (1, 1), (50, 21), (90, 30)]:
                    with self.subTest(kernel=kernel, fit=fit, height=height, width=width):
                        found = self.decode(content, self.folder / "out.png", height, width, fit_number, number)
                        self.expect(found, self.pillow_resized(height, width, fit, kernel), 3)

    def test_what_libjpeg_only_warns_of_is_refused(self):
        photo = self.saved(Image.fromarray(self.rgb), "JPEG", quality=95)
        scan = photo.index(b"\xff\xda") + 20
        for content in [photo[:-400] + b"\xff\xd9", photo[:scan] + photo[scan + 200:]]:
            (self.folder / "image").write_bytes(content)
            self.assertRegex(run("decode", self.folder / "image", code=65), "Cannot decode .*(Corrupt|Premature|premature)")

    def test_bad_files_are_refused(self):
        good = self.saved(Image.fromarray(self.rgb), "PNG")
        photo = self.saved(Image.fromarray(self.rgb), "JPEG")
        rows = b"".join(b"\0" + bytes(48) for _ in range(16))
        for content in [b"", b"GIF89a", b"\xff\xd8\xff", good[:-30], photo[:-200], photo[:30],
                        png(0, 8, 8, 2, rows), png(60000, 60000, 8, 2, rows), png(16000, 4000, 8, 2, rows),
                        png(16, 16, 8, 2, rows[:100])]:
            (self.folder / "image").write_bytes(content)
            self.assertIn("Cannot decode", run("decode", self.folder / "image", code=65))


if __name__ == "__main__":
    unittest.main()
