"""The recognition of text in pictures. Only OCR workers load it."""
