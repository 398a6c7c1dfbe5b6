"""Every error that Bookwheel raises on purpose, in one tree.

    BookwheelError
    ├── SettingsError                a setting that stops the start
    ├── ModelWeightsError            weights of an embedded model that cannot be had or are not what they should be
    ├── BadDocument                  the document's fault: kept on the file as `status_details`
    │   ├── FormatNotSupported
    │   ├── ContentBlank
    │   ├── SizeExceeded
    │   ├── PagesExceeded
    │   └── ParsingError
    ├── InputFileDeleted             a batch has nothing to run any more
    └── ApiError                     answers a request: each class fixes HTTP status, type and code
        ├── InvalidRequest           400
        │   └── FileStillParsing     400, and stock SDKs try again
        ├── InvalidKey               401
        ├── CrossSiteRefused         403
        ├── NotFound                 404
        │   └── ModelNotFound        404
        ├── MethodNotAllowed         405
        ├── BodyTooLarge             413
        ├── RateLimited              429
        │   └── EngineBusy           429, and stock SDKs try again
        ├── QuotaReached             429
        ├── EngineRefused            the engine's own 4xx, passed through
        ├── EngineUnreachable        502
        ├── EngineTimedOut           504
        └── ServerStopping           503, and stock SDKs try again

Messages are the wire contract's words (docs/reference/errors.md). Mapping to HTTP happens in `api/edge.py` alone.
"""

from typing import Any, ClassVar


class BookwheelError(Exception):
    """The root: catching it catches everything that Bookwheel raises on purpose."""


class SettingsError(BookwheelError):
    """A wrong setting. The message is one line that names the setting and says what is allowed."""


class ModelWeightsError(BookwheelError):
    """Weights that cannot be had, or whose bytes are not the official file's. The message says what to do."""


class BadDocument(BookwheelError):
    """A document that cannot be read. `reason` completes `File [id:ID] ` in the contract's words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def why(self) -> str:
        """The reason without the contract's first words: a sentence for the user."""
        return self.reason.removeprefix("parsing error. ")


class FormatNotSupported(BadDocument):
    """The bytes are of a type that is not read. `recognised` names the type, `advice` says what to do in a sentence."""

    def __init__(self, recognised: str, advice: str = "") -> None:
        super().__init__(f"format is not supported. Recognised: {recognised}. {advice}".rstrip())
        self.recognised = recognised


class ContentBlank(BadDocument):
    """There is no text in it."""

    def __init__(self) -> None:
        super().__init__("content blank.")


class SizeExceeded(BadDocument):
    """Larger than its kind may be."""

    def __init__(self) -> None:
        super().__init__("exceeds size limit.")


class PagesExceeded(BadDocument):
    """More pages than a file may have."""

    def __init__(self, limit_pages: int) -> None:
        super().__init__(f"exceeds page limits ({limit_pages} pages).")


class ParsingError(BadDocument):
    """Corrupt, encrypted, too deep, too slow. `why` is one sentence for the user and may say what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(f"parsing error. {why}")


class InputFileDeleted(BookwheelError):
    """The input file of a batch was deleted while the batch ran."""


class ApiError(BookwheelError):
    """An error with a place in the wire contract."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.http_status = self.status
        self.error_type = self.type
        self.error_code = code or self.code
        self.headers: dict[str, str] = {}

    def as_error_object(self) -> dict[str, Any]:
        """The value of `error` in the envelope."""
        return {"message": self.message, "type": self.error_type, "param": self.param, "code": self.error_code}


class InvalidRequest(ApiError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_parameter_error"


class FileStillParsing(InvalidRequest):
    """The wait ran out. `x-should-retry` makes stock SDKs ask again by themselves."""

    def __init__(self) -> None:
        super().__init__("File parsing in progress, please try again later.")
        self.headers = {"x-should-retry": "true", "retry-after": "2"}


class InvalidKey(ApiError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("Incorrect API key provided.")


class CrossSiteRefused(ApiError):
    """A web page of another site called a server that has no keys to tell its users by."""

    status = 403
    type = "invalid_request_error"
    code = "cross_site_refused"


class NotFound(ApiError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"The model {model} does not exist or you do not have access to it.", param="model")


class MethodNotAllowed(ApiError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTooLarge(ApiError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"

    def __init__(self) -> None:
        super().__init__("Request body too large.")


class RateLimited(ApiError):
    """Over the rate. `retry_after_seconds` is when the next request will be let in."""

    status = 429
    type = "requests"
    code = "limit_requests"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.headers = {"retry-after": str(retry_after_seconds)}


class EngineBusy(RateLimited):
    """As many requests wait for the engine as may."""


class QuotaReached(ApiError):
    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"x-should-retry": "false"}


class EngineRefused(ApiError):
    """The engine's own 4xx: its status, its error object and its `Retry-After` reach the client as they came."""

    def __init__(self, status: int, error: dict[str, Any], retry_after: str | None = None) -> None:
        super().__init__(str(error.get("message") or f"The engine refused the request with status {status}."))
        self.http_status = status
        self.error = error
        if retry_after is not None:
            self.headers = {"retry-after": retry_after}

    def as_error_object(self) -> dict[str, Any]:
        defaults = {"message": self.message, "type": "invalid_request_error", "param": None, "code": None}
        return defaults | self.error


class EngineUnreachable(ApiError):
    """The engine is not there, broke off, or sent what is not its protocol.

    `had_begun` says that part of an answer had come: then nobody asks again, since what came cannot be taken back.
    `may_pass` says that asking again in a moment may help; it does not where a key is wrong, or a time-out was waited for.
    """

    status = 502
    type = "server_error"
    code = "engine_unreachable"

    def __init__(self, message: str, *, had_begun: bool = False, may_pass: bool = True) -> None:
        super().__init__(message)
        self.had_begun = had_begun
        self.may_pass = may_pass


class EngineTimedOut(ApiError):
    """The engine was silent for longer than its time-out."""

    status = 504
    type = "server_error"
    code = "engine_timed_out"


class ServerStopping(ApiError):
    """The server was asked to end, and the answer did not end in the time that was left."""

    status = 503
    code = "server_stopping"

    def __init__(self) -> None:
        super().__init__("The server is stopping. Try again in a moment.")
        self.headers = {"retry-after": "2"}
