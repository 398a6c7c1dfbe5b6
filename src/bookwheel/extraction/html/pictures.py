"""Which bytes are a picture that can be recognised: raster formats, by their first bytes."""

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def is_raster(data: bytes) -> bool:
    """Whether bytes are of a PNG, JPEG, GIF, BMP, TIFF or WebP picture, as far as their beginning tells."""
    return data.startswith(_SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
