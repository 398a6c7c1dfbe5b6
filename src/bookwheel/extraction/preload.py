"""What the sandbox's fork server imports, so that its workers start warm: the one module whose import does work.

It loads the tokenizer's vocabulary, 0.3 s and 70 MB that the workers then share. Nothing else may import it.
"""

import gc

import bookwheel.extraction.sandbox  # noqa: F401 - what workers run
from bookwheel.tokens import count_tokens

count_tokens("warm")
gc.collect()
gc.freeze()
