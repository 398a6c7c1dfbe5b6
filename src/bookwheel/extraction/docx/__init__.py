"""The parts of reading DOCX. `formats/docx` puts them together."""
