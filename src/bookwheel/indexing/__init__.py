"""From a document to its index: one immutable file that questions search."""
