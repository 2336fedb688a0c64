"""The whole zip of photographs named by ATELIER_PHOTOS_ZIP: every image is imported, verified, and equal
to what Pillow (libjpeg) decodes."""

import io
import os
import sys
import unittest
import zipfile

from reading import FolderTest, Image, numpy, read_split, run

PHOTOS = os.environ.get("ATELIER_PHOTOS_ZIP", "")


class Photos(FolderTest):
    @unittest.skipUnless(PHOTOS, "set ATELIER_PHOTOS_ZIP to a zip of JPEG files of one size")
    def test_all_images_equal_an_independent_decoder(self):
        report = run("import", PHOTOS, self.folder / "set")
        self.assertEqual(run("verify", self.folder / "set")["findings"], [])
        with zipfile.ZipFile(PHOTOS) as archive:
            names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png")))
            self.assertEqual(report["imported"], len(names))
            self.assertEqual(report["skipped"], [])
            compared = 0
            for split in ["train", "valid", "test"]:
                tables = read_split(self.folder / "set", split)
                for image, name, number in zip(tables["images"], tables["names"], tables["ids"]):
                    self.assertEqual(names[number], name.decode())
                    wanted = Image.open(io.BytesIO(archive.read(name.decode()))).convert("RGB")
                    self.assertTrue(numpy.array_equal(image, numpy.asarray(wanted)), name)
                    compared += 1
        self.assertEqual(compared, len(names))
        print(f"{compared} images equal, imported in {report['seconds']:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
