"""The parts of reading XLSX. `formats/xlsx` puts them together."""
