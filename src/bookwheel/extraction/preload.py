"""What the sandbox's fork server imports, so that its workers start warm: the one module whose import does work.

It loads the parsers and the tokenizer's vocabulary, which the workers then share. The models of OCR are left to the
workers that need them: their runtime starts threads, which a fork does not take along. Nothing else may import this.
"""

import gc

import bookwheel.extraction.child
import bookwheel.extraction.extract  # noqa: F401 - what workers run
from bookwheel.tokens import count_tokens

count_tokens("warm")
gc.collect()
gc.freeze()
