"""The parts of reading MOBI and AZW3. `formats/mobi` puts them together."""
