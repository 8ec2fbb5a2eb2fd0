"""A conversation with a switch's command line over SSH: each line is answered up to the next prompt.

One line at a time, or (`send_all`) typed ahead: then the answers come one after the other, each behind a prompt and the
echo of its line, and a batch costs one round trip instead of one a line.

What goes wrong is said in Ironlane's terms: `Temporary` for a switch that cannot be reached, is locked by somebody else
or answers too late, `Permanent` for what it refuses and for a login or host key that is not accepted. Lines may be
quoted in errors, passwords never are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import asyncssh

from ironlane.model.errors import Permanent, Temporary
from ironlane.switches import ssh
from ironlane.switches.base import Access
from ironlane.switches.cli.platform import SessionForm

PORT = 22
MAX_ANSWER = 16 * 1024 * 1024
"""Longest answer that is accepted, in characters; option `max_answer`."""

_TERMINAL_CODES = re.compile(
    r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>()][0-9A-B]?)|[\x00\x07]|.\x08"
)
_HOST_PREFIX = 15
"""Some command lines shorten a long host name in their prompts; this much of it always stays."""
_QUOTED = 200
_SHORT = 6


class CliSession:
    """One login, opened with `open`. One line at a time."""

    def __init__(self, access: Access, form: SessionForm, connection: Any, process: Any) -> None:
        self._who = f"switch {access.switch}"
        self._access = access
        self._form = form
        self._connection = connection
        self._process = process
        self._limit = int(access.options.get("max_answer", MAX_ANSWER))
        self._host: str | None = None
        self._usable = True

    @classmethod
    async def open(cls, access: Access, form: SessionForm) -> CliSession:
        """Connect, log in, wait for the prompt and prepare the terminal, within `access.timeout` seconds.

        Raises:
            Temporary: the switch cannot be reached, or does not answer in time.
            Permanent: host key, login or password are not accepted, or what answers shows no known prompt.
        """
        try:
            async with asyncio.timeout(access.timeout):
                connection = await ssh.connect(access, PORT)
                try:
                    process = await connection.create_process(
                        term_type=form.terminal, term_size=(511, 1000), encoding="utf-8", errors="replace"
                    )
                    session = cls(access, form, connection, process)
                    await session._prepare()
                except BaseException:
                    connection.abort()
                    raise
        except TimeoutError:
            raise Temporary(f"switch {access.switch}: no prompt within {access.timeout:g} s") from None
        except (asyncssh.Error, OSError) as error:
            raise Temporary(f"switch {access.switch}: no command line over SSH: {error}") from error
        return session

    @property
    def is_open(self) -> bool:
        """No failure so far, and the switch has not hung up."""
        return self._usable and not self._process.stdout.at_eof() and not self._process.channel.is_closing()

    async def is_quiet(self) -> bool:
        """Open, and nothing has come since the last answer. If something has, that answer was not whole, and the
        session is dropped."""
        if not self.is_open:
            return False
        try:
            async with asyncio.timeout(0):
                await self._process.stdout.read(1)
        except TimeoutError:
            return self.is_open
        except (asyncssh.Error, OSError):
            pass
        self.abort()
        return False

    async def ask(self, line: str, timeout: float | None = None) -> str:
        """Send a line and return its answer, whatever it says, without the echo and the next prompt.

        Any failure to get a proper answer, and cancellation, ends the session: what the switch says later would be
        taken for the answer to another line.

        Raises:
            Temporary: the session is lost, or there is no answer within `timeout` (default `Access.timeout`) seconds.
            Permanent: the answer is longer than `max_answer`.
        """
        limit = self._access.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                self._process.stdin.write(line + "\n")
                answer = await self._until_prompt()
        except BaseException as error:
            self.abort()
            if isinstance(error, TimeoutError):
                raise Temporary(f"{self._who}: no answer to {line!r} within {limit:g} s") from None
            if isinstance(error, asyncssh.Error | OSError | EOFError):
                raise Temporary(f"{self._who}: session lost at {line!r}: {error}") from error
            raise
        first, newline, rest = answer.partition("\n")
        return rest if newline and line.strip() in first else answer

    async def send(self, line: str, timeout: float | None = None) -> None:
        """Send a line that is to be accepted; see `ask`.

        Raises:
            Temporary: also when the switch is locked or busy.
            Permanent: also when it refuses the line.
        """
        self.check(line, await self.ask(line, timeout))

    async def send_all(self, lines: Sequence[str], ahead: int) -> None:
        """Send lines that are to be accepted, up to `ahead` characters before their answers have come; see `send`.

        After a refused line nothing more is sent. What was typed ahead of its answer is carried out by the switch all
        the same, so this is for lines that are only staged.

        Raises:
            Temporary, Permanent: as `send`, for the first line that was refused.
        """
        answers = _Answers(self, lines, ahead)
        try:
            while not answers.complete:
                async with asyncio.timeout(self._access.timeout):
                    if text := answers.due():
                        self._process.stdin.write(text)
                    data = await self._process.stdout.read(65536)
                    if not data:
                        raise EOFError("the switch closed the session")
                    answers.take(data)
        except BaseException as error:
            self.abort()
            if isinstance(error, TimeoutError):
                raise Temporary(
                    f"{self._who}: no answer to {answers.awaited!r} within {self._access.timeout:g} s"
                ) from None
            if isinstance(error, asyncssh.Error | OSError | EOFError):
                raise Temporary(f"{self._who}: session lost at {answers.awaited!r}: {error}") from error
            raise
        if answers.refusal is not None:
            raise answers.refusal

    async def show(self, line: str) -> str:
        """Ask for something that is to be shown; see `ask`.

        Raises:
            Temporary: also when the switch is busy.
            Permanent: also when it refuses to show it. Only a short answer can be a refusal: a long one may contain
                anything, descriptions of ports for example.
        """
        answer = await self.ask(line)
        if answer.count("\n") < _SHORT:
            self.check(line, answer)
        return answer

    def check(self, line: str, answer: str) -> None:
        """Raises: Temporary or Permanent, if a line's answer says that it was not accepted."""
        refused = busy = False
        for said in answer.splitlines():
            if not any(pattern.search(said) for pattern in self._form.harmless):
                refused = refused or any(pattern.search(said) for pattern in self._form.refused)
                busy = busy or any(pattern.search(said) for pattern in self._form.busy)
        if refused or busy:
            text = f"{self._who}: {line!r}: {' '.join(answer.split())[:_QUOTED]}"
            raise Temporary(text) if busy else Permanent(text)

    async def close(self) -> None:
        """Hang up."""
        self._usable = False
        self._connection.close()
        try:
            async with asyncio.timeout(self._access.timeout):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._usable = False
        self._connection.abort()

    async def _prepare(self) -> None:
        try:
            await self._until_prompt()
        except EOFError as error:
            raise Temporary(f"{self._who}: the command line ended before its first prompt: {error}") from error
        enable = self._form.enable
        if enable is not None and not enable.unless.search(self._prompt):
            await self._enable(enable.command, enable.password)
            if not enable.unless.search(self._prompt):
                raise Permanent(
                    f"{self._who}: {enable.command!r} did not help user {self._access.username!r};"
                    " grant the privilege at the login"
                )
        for line in self._form.prepare:
            await self.send(line)

    async def _enable(self, command: str, password: re.Pattern[str]) -> None:
        """The password is asked for without an echo; it is the login's, and is not part of any error."""
        self._process.stdin.write(command + "\n")
        asked = await self._until_prompt(or_found=password)
        if password.search(asked.splitlines()[-1] if asked.splitlines() else ""):
            self._process.stdin.write(self._access.secret + "\n")
            await self._until_prompt()

    async def _until_prompt(self, or_found: re.Pattern[str] | None = None) -> str:
        """Read up to a prompt, which is the last line so far. The text before it is returned (with `or_found` in the
        last line, that too)."""
        raw = ""
        while True:
            data = await self._process.stdout.read(65536)
            if not data:
                raise EOFError("the switch closed the session")
            raw += data
            if len(raw) > self._limit:
                raise Permanent(f"{self._who}: its answer is longer than `max_answer` allows")
            # Only the end is looked at for each piece, so that a long answer costs no more than it is long.
            tail = _clean(raw[-2048:]).rpartition("\n")[2]
            if self.is_prompt(tail):
                self._prompt = tail
                return _clean(raw).rpartition("\n")[0]
            if or_found is not None and or_found.search(tail):
                return _clean(raw)

    def is_prompt(self, line: str) -> bool:
        """Whether a line of output is nothing but this switch's prompt."""
        match = self._form.prompt.fullmatch(line)
        if match is None:
            return False
        host = match["host"]
        if self._host is None:
            self._host = host
        return host == self._host or (
            len(host) >= _HOST_PREFIX and (self._host.startswith(host) or host.startswith(self._host))
        )


class _Answers:
    """The answers to lines that are typed ahead, taken apart.

    An answer ends where a prompt stands at the beginning of a line: alone at the end of the output so far, or with the
    echo of the following line behind it.
    """

    def __init__(self, session: CliSession, lines: Sequence[str], ahead: int) -> None:
        self._session = session
        self._lines = lines
        self._ahead = ahead
        self._sent = self._answered = self._flying = 0
        self._text = ""
        self._answer: list[str] = []
        self.refusal: Temporary | Permanent | None = None

    @property
    def complete(self) -> bool:
        """All that was sent is answered, and nothing more is to be sent."""
        return self._answered == (len(self._lines) if self.refusal is None else self._sent)

    @property
    def awaited(self) -> str:
        """The line whose answer is awaited, or that is to be sent next."""
        prompted = self._answered + 1 < self._sent and self._session.is_prompt(_clean(self._text))
        return self._lines[self._answered + prompted]

    def due(self) -> str:
        """What may be sent now."""
        text = []
        while self.refusal is None and self._sent < len(self._lines):
            line = self._lines[self._sent] + "\n"
            if self._flying and self._flying + len(line) > self._ahead:
                break
            text.append(line)
            self._sent += 1
            self._flying += len(line)
        return "".join(text)

    def take(self, data: str) -> None:
        """More output has come."""
        *whole, self._text = (self._text + data).split("\n")
        for raw in whole:
            line = _clean(raw.rstrip("\r"))
            if self._is_following(line):
                self._end()
            else:
                self._answer.append(line)
        if self._answered + 1 == self._sent and self._session.is_prompt(_clean(self._text)):
            self._text = ""
            self._end()

    def _is_following(self, line: str) -> bool:
        """Whether a line of output is a prompt with the echo of the line after the one that is being answered."""
        if self._answered + 1 >= self._sent:
            return False
        echo = self._lines[self._answered + 1]
        return line.endswith(echo) and self._session.is_prompt(line[: len(line) - len(echo)])

    def _end(self) -> None:
        """One answer is whole. The first line's begins with its own echo."""
        line = self._lines[self._answered]
        said = self._answer[1:] if self._answer and line.strip() in self._answer[0] else self._answer
        self._answer = []
        self._answered += 1
        self._flying -= len(line) + 1
        if self.refusal is None:
            try:
                self._session.check(line, "\n".join(said))
            except (Temporary, Permanent) as refusal:
                self.refusal = refusal


def _clean(text: str) -> str:
    """Without terminal control sequences and carriage returns."""
    if not any(code in text for code in "\x1b\x00\x07\x08\r"):
        return text  # most text has none, and to look for sequences takes a hundred times as long
    return _TERMINAL_CODES.sub("", text.replace("\r\n", "\n")).replace("\r", "\n" if "\n" not in text else "")
