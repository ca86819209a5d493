"""What pack.sh packs: python3 -m unittest discover -s examples/apps/notes/test"""

import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

NOTES = Path(__file__).parent.parent


class PackTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def pack(self, name: str, *arguments: str) -> Path:
        artifact = self.directory / name
        subprocess.run(["sh", str(NOTES / "pack.sh"), str(artifact), *arguments], check=True, capture_output=True)
        return artifact

    def files(self, artifact: Path) -> dict[str, bytes]:
        with tarfile.open(artifact) as archive:
            return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}

    def test_the_same_version_is_the_same_artifact(self) -> None:
        self.assertEqual(self.pack("one.tar.gz", "2").read_bytes(), self.pack("other.tar.gz", "2").read_bytes())

    def test_versions_differ_in_the_version_alone(self) -> None:
        first, second = self.files(self.pack("1.tar.gz")), self.files(self.pack("2.tar.gz", "2"))
        self.assertEqual((first.pop("./VERSION"), second.pop("./VERSION")), (b"1\n", b"2\n"))
        self.assertEqual(first, second)
        self.assertEqual(first, {f"./{path.name}": path.read_bytes() for path in (NOTES / "app").glob("*.py")})

    def test_a_file_can_be_left_out(self) -> None:
        whole, bad = self.files(self.pack("2.tar.gz", "2")), self.files(self.pack("bad.tar.gz", "3", "store.py"))
        self.assertEqual(set(whole) - set(bad), {"./store.py"})

    def test_what_is_not_there_cannot_be_left_out(self) -> None:
        with self.assertRaises(subprocess.CalledProcessError):
            self.pack("bad.tar.gz", "3", "no-such.py")
        self.assertEqual(list(self.directory.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
