"""For answers over documents that come with the request."""

from collections.abc import Collection

from bookwheel.indexing.shelf import IndexedDocument


class NobodyReads:
    """A reader with nothing to read: the documents of these tests are short and come with the request."""

    def wake(self, file_id: str) -> None:
        raise NotImplementedError

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        raise NotImplementedError

    async def wait_for_index(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        raise NotImplementedError

    async def index_text(self, text: str, title: str) -> IndexedDocument:
        raise NotImplementedError
