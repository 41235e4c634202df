"""Zip archives with the entries and links that a test asks for."""

import io
import stat
import zipfile


def archive(entries: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
        for name, target in (links or {}).items():
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            packed.writestr(link, target)
    return stream.getvalue()
