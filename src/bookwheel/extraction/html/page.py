"""What is known while a page is read: what encloses the place that is reached, and what pages of a document share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bookwheel.document import Picture
from bookwheel.extraction.html.boilerplate import Doubt
from bookwheel.extraction.html.footnotes import Footnotes
from bookwheel.extraction.html.math import Formula
from bookwheel.extraction.html.ruby import Readings
from bookwheel.extraction.html.tables import Table
from bookwheel.extraction.html.writer import Writer

Attributes = Mapping[str, str]
Closer = Callable[[], None]
"""What is to be done when an element ends."""


def no_picture(source: str, anchor: str) -> Picture | None:
    """Where pictures cannot be had."""
    del source, anchor
    return None


@dataclass(slots=True)
class Surroundings:
    """What pages of one document share.

    `picture` keeps the picture that a page's `src` names, where it is worth it; it takes the anchor too.
    """

    footnotes: Footnotes = field(default_factory=Footnotes)
    readings: Readings = field(default_factory=Readings)
    picture: Callable[[str, str], Picture | None] = no_picture
    is_web_page: bool = False
    quotes: bool = True
    """Whether `blockquote` means a quotation: in older Kindle books it is any indented text."""


class Page:
    """One page while it is read. `name` is its own among those of the document; `place` its anchor."""

    def __init__(self, shared: Surroundings, name: str, place: str) -> None:
        self.shared = shared
        self.name = name.casefold()
        self.title = ""
        self.writer = Writer(place)
        self.doubt = Doubt(active=shared.is_web_page)
        self.tables: list[Table] = []
        self.heading = 0
        """The level of the heading that is open."""
        self.raised = 0
        """Elements that are open which raise or lower their text."""
        self.links: list[tuple[int, int]] = []
        """Where the links begin that are open."""
        self.raised_link = ""
        """What stands raised at the beginning of the link that is open."""
        self.navigation = 0
        self.drawings = 0
        self.pictures = 0
        """Pictures that were met so far."""
        self.verbatim: list[str] | None = None
        """The text of the element that is open whose white space counts."""
        self.formula: Formula | None = None

    def write(self, text: str) -> None:
        if self.shared.readings.waiting:
            self.shared.readings.interrupt(text, self.writer.write)
        self.writer.write(text)

    def end_paragraph(self) -> None:
        if self.shared.readings.waiting:
            self.shared.readings.interrupt("", self.writer.write)
        self.writer.end_paragraph()

    def begin_footnote(self, attributes: Attributes) -> None:
        """If a footnote was referred to by this element's id, what follows is it."""
        for key in ("id", "name"):
            label = self.shared.footnotes.label((self.name, attributes.get(key, "")))
            if label and self.writer.is_at_start():
                self.writer.note = label


@dataclass(frozen=True, slots=True)
class Element:
    """An element that begins. `tag` has no prefix."""

    page: Page
    tag: str
    attributes: Attributes

    def get(self, attribute: str, default: str = "") -> str:
        return self.attributes.get(attribute, default)


Handler = Callable[[Element], Closer | None]
