"""`python -m bench [NAME] [options]`: run the benchmarks, one after the other or one by its name."""

import sys

from bench import (
    batches,
    embedded,
    extraction,
    ingest,
    meanwhile,
    misbehaving,
    models,
    ocr,
    overhead,
    retrieval,
    streams,
    tables,
    uploads,
)

ALL = {
    "overhead": overhead.main,
    "uploads": uploads.main,
    "ingest": ingest.main,
    "ocr": ocr.main,
    "extraction": extraction.main,
    "tables": tables.main,
    "models": models.main,
    "retrieval": retrieval.main,
    "meanwhile": meanwhile.main,
    "embedded": embedded.main,
    "streams": streams.main,
    "misbehaving": misbehaving.main,
    "batches": batches.main,
}
BY_DEFAULT = ("overhead", "uploads")


def main(arguments: list[str]) -> int:
    """Run what the first argument names; without a name, those that need nothing but the repository."""
    if arguments and not arguments[0].startswith("-"):
        name, *options = arguments
        if name not in ALL:
            print(f"bench: there is no {name}; there are {', '.join(ALL)}", file=sys.stderr)
            return 2
        return ALL[name](options)
    if set(arguments) & {"-h", "--help"}:
        print(f"python -m bench [{'|'.join(ALL)}] [--quick] [--help]. Without a name: {', '.join(BY_DEFAULT)}.")
        return 0
    status = max([ALL[name](arguments) for name in BY_DEFAULT])
    print(f"There are also {', '.join(name for name in ALL if name not in BY_DEFAULT)}: see bench/README.md.")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
