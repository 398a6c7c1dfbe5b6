"""`make demo`: a reader who has never seen Bookwheel watches it answer from two real documents.

Pulls the embedded default model, starts a server on a free port, and asks one question about each document through the
stock OpenAI SDK, as any client would. The weights stay in `.bookwheel/` for the next run; all else is thrown away. Exit
status 0 only when both questions were answered. `--no-model` pulls nothing: the answers are quotes then.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from openai import DefaultHttpxClient, OpenAI, OpenAIError

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / ".bookwheel"
BOOKWHEEL = (sys.executable, "-m", "bookwheel")
QUESTIONS = (
    ("kong-yiji.txt", "孔乙己一共欠酒店多少钱？"),
    ("the-gift-of-the-magi.txt", "What did Jim sell to buy the combs?"),
)
START_SECONDS = 60.0
STOP_SECONDS = 30.0
PLAIN_LINE_SECONDS = 15.0


@dataclass
class Shown:
    """An answer that was printed. `last` is the stream's last chunk: it has the usage and the `bookwheel` object."""

    first_seconds: float
    text: str = ""
    last: Any = None


def main() -> int:
    """Run the demo; its exit status."""
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    arguments = _read_arguments()
    started = time.monotonic()
    say("Bookwheel: two documents, two questions, one server on this machine.")
    weights = None if arguments.no_model else pull_weights()
    if weights is None:
        say("\nNo model: the answers are quotes, the sentences of the document that bear most on the question.")
    with tempfile.TemporaryDirectory(prefix="bookwheel-demo-") as folder, serve(Path(folder), weights) as url:
        client = OpenAI(base_url=f"{url}/v1", api_key="any", http_client=DefaultHttpxClient(trust_env=False))
        answers = [_ask_or_say_why(client, HERE / "documents" / name, question) for name, question in QUESTIONS]
    answered = sum(bool(answer.strip()) for answer in answers)
    say(f"\n{answered} of {len(QUESTIONS)} questions answered; {time.monotonic() - started:.0f} s in all.")
    return 0 if answered == len(QUESTIONS) else 1


def pull_weights() -> str | None:
    """The path of the default model's weights, got first where they are not here; None where they cannot be had."""
    say(f"\nThe model goes to {KEPT.name}/models and stays there for the next time.")
    command = (*BOOKWHEEL, "models", "pull", "--data-dir", str(KEPT))
    pulled = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=_environment(), cwd=HERE, check=False)
    if pulled.returncode == 0:
        return pulled.stdout.strip()
    say("The model could not be had (see above).")
    return None


@contextmanager
def serve(data_dir: Path, weights: str | None) -> Iterator[str]:
    """A server's address, for as long as the with-statement lasts."""
    engine = {"kind": "llama_cpp", "model": weights} if weights else {"kind": "extractive"}
    command = [*BOOKWHEEL, "serve", "--port", "0", "--data-dir", str(data_dir), "--log-level", "warning"]
    command += [part for name, value in engine.items() for part in ("--set", f"engines.demo.{name}={value}")]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment(), cwd=data_dir)
    try:
        url = _wait_for_address(server, data_dir / "server.json")
        say(f"\nThe server listens at {url}.")
        yield url
    finally:
        server.terminate()
        server.wait(STOP_SECONDS)
        say("\nThe server has stopped.")


def ask(client: OpenAI, path: Path, question: str) -> str:
    """Upload a document, ask, and show the answer as it comes, then what it rests on. The answer's text."""
    say(f"\n{path.name}: {question}")
    file = client.files.create(file=path, purpose="file-extract")  # type: ignore[arg-type]
    started = time.monotonic()
    chunks: Any = client.chat.completions.create(
        model="qwen-long",
        messages=[
            {"role": "system", "content": "You are a helpful assistant. Answer in one short sentence."},
            {"role": "system", "content": f"fileid://{file.id}"},
            {"role": "user", "content": question},
        ],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"bookwheel": {"citations": True}},
    )
    shown = _show_as_it_comes(chunks, started)
    _show_ground(shown, time.monotonic() - started)
    return shown.text


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)


class Waiting:
    """Shows that time passes: a line that counts on a terminal, a plain line now and then elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._live = sys.stdout.isatty()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if self._live:
            say("\r\033[K", end="")

    def _show(self) -> None:
        started = time.monotonic()
        while not self._over.wait(0.5 if self._live else PLAIN_LINE_SECONDS):
            shown = f"  {self._what}: {time.monotonic() - started:.0f} s"
            say(f"\r{shown}" if self._live else shown, end="" if self._live else "\n")


def _ask_or_say_why(client: OpenAI, path: Path, question: str) -> str:
    try:
        return ask(client, path, question)
    except OpenAIError as error:
        say(f"  no answer: {error}")
        return ""


def _show_as_it_comes(chunks: Any, started: float) -> Shown:
    """Print the answer, a word or so at a time."""
    texts = _texts(chunks)
    with Waiting("the engine is reading"):
        first = next((pair for pair in texts if pair[0]), None)
    shown = Shown(first_seconds=time.monotonic() - started)
    say("  ", end="")
    for text, chunk in chain([first] if first else [], texts):
        say(text.replace("\n", "\n  "), end="")
        shown.text += text
        shown.last = chunk
    say("")
    return shown


def _texts(chunks: Any) -> Iterator[tuple[str, Any]]:
    """Each chunk with the text that it adds."""
    for chunk in chunks:
        yield "".join(choice.delta.content or "" for choice in chunk.choices), chunk


def _show_ground(shown: Shown, seconds: float) -> None:
    """The sentences that the answer rests on, and what it took, from the stream's last chunk."""
    if shown.last is None:
        return
    report = (shown.last.model_extra or {}).get("bookwheel", {})
    for number, citation in enumerate(report.get("citations", ()), 1):
        say(f"  [{number}] {citation['filename']}, {citation['anchor']}: {' '.join(citation['quote'].split())}")
    usage = shown.last.usage
    say(f"  {usage.prompt_tokens:,} tokens read, {usage.completion_tokens:,} written; ", end="")
    say(f"first word after {shown.first_seconds:.1f} s, {seconds:.1f} s in all")


def _wait_for_address(server: subprocess.Popen[bytes], address: Path) -> str:
    """The server writes this file when it listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return str(json.loads(address.read_text("utf-8"))["url"])
        except (FileNotFoundError, ValueError):
            time.sleep(0.1)
    sys.exit("The server did not start.")


def _environment() -> dict[str, str]:
    """Without settings of other servers on this machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BOOKWHEEL_")}


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask two real documents, each one question.")
    parser.add_argument("--no-model", action="store_true", help="Pull nothing; answer with quotes.")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
