"""HTML as blocks, for web pages and books. `formats/html`, `epub` and `mobi` use it."""
