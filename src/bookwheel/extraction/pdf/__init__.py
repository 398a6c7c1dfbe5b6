"""The layout of pages: words to lines, columns, tables, paragraphs. `formats/pdf` and OCR use it."""
