"""Failed items put into groups of like errors, and what each kind of error asks people to do. Pure.

The engine knows no videos and no providers; it knows what errors say. `RULES` is the whole table: the first that fits
counts, and the last fits everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ytray.engine.batch.fingerprint import Fingerprint, fingerprint, innermost, parts_of
from ytray.engine.batch.model import ErrorExample, ErrorGroup

_EXAMPLES = 3  # items of a group that are kept


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that failed or was cancelled.

    Args:
        number, line, key, job_id: the item's; `job_id` is "" for one that never got a job.
        error: as its job has it, "Type: message", with the errors of its steps inside.
        frame: where the innermost error was raised (`fingerprint.frame_of` of that step's traceback).
        task_name: the task that raised it.
        at: when the item ended.
        retries: how many the step that failed had used.
    """

    number: int
    line: int
    key: str
    job_id: str
    error: str
    frame: str
    task_name: str
    at: datetime
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about a kind of error.

    Args:
        types: names of error types that it is for, with spaces between; "" for all.
        says: a pattern that is found in the message; {batch} in it stands for the batch's id.
        retryable: whether the items may pass later as they are, with nothing changed first.
        suggestion: what to do. {batch} is the batch's id, {job} the job of the first item that raised it, {retries}
            how many retries that had used, {fingerprint} the group's, {resume} and {edit} are commands, and
            groups of the pattern go by their names.
    """

    types: str
    says: str
    retryable: bool
    suggestion: str


_RESUME = "`ytray batch resume {batch}`"
_EDIT = "in the input file and run `ytray batch resume {batch} FILE`"

RULES = (
    # what may be spent
    Rule(
        "OverBudget",
        r"of user (?P<user>.+?), this month",
        False,
        "The user's budget of this month is used up: raise it with `ytray budget set {user} USD` or wait for the "
        "next month, then {resume}.",
    ),
    Rule(
        "OverBudget",
        r"of (?:flow|batch) {batch}(?!\w)",
        False,
        "The batch's budget is used up: raise it with `ytray batch change {batch} --budget USD`, then {resume}.",
    ),
    Rule(
        "OverBudget",
        r"of flow \S+",
        False,
        "The items' own budgets are used up: raise the budget of these rows {edit}.",
    ),
    Rule(
        "OverBudget",
        r"",
        False,
        "A budget is used up: raise the batch's with `ytray batch change {batch} --budget USD`, then {resume}.",
    ),
    Rule(
        "Unpriced",
        r"",
        False,
        "Add the model's price to the table that YTRAY_PRICES names, restart, then {resume}.",
    ),
    Rule(
        "OutcomeUnknown",
        r"",
        False,
        "Calls may have been billed and are not repeated by themselves: look at `ytray spend list {job}`, let "
        "each be paid again with `ytray spend allow KEY` where that is right, then {resume}.",
    ),
    # what providers answer
    Rule(
        "PermanentError",
        r"safety filter|content filter|^\S+ refused: ",
        False,
        "The provider blocks what these rows ask for: reword their prompts {edit}.",
    ),
    Rule(
        "PermanentError",
        r"does not know the model .*(?P<setting>YTRAY_(?:MODEL|OPENAI)_[A-Z_]+)",
        False,
        "The model does not exist there or has been retired: set {setting} to one that does, restart, then {resume}.",
    ),
    Rule(
        "PermanentError",
        r"answered 404\b",
        False,
        "What was asked for does not exist there: check the YTRAY_MODEL_… settings, YTRAY_VERTEX_LOCATION and "
        "YTRAY_OPENAI_BASE_URL, restart, then {resume}.",
    ),
    Rule(
        "",
        r"refuses the credentials|no Google credentials|(?:answered|HTTP|status(?: code)?):? 40[13]\b",
        False,
        "The provider refuses the credentials: renew them (YTRAY_VERTEX_TOKEN, `gcloud auth application-default "
        "login` or YTRAY_OPENAI_API_KEY), restart, then {resume}.",
    ),
    Rule(
        "CircuitOpen",
        r"",
        True,
        "A dependency failed again and again and is left alone for a while: wait until `ytray doctor` "
        "finds its circuit breaker closed, then {resume}.",
    ),
    Rule(
        "ProviderBusy RetryLater",
        r"",
        True,
        "There is no room for more calls now: lower the load with `ytray batch change {batch} --concurrency N` "
        "or wait, then {resume}.",
    ),
    Rule(
        "",
        r"(?:answered|HTTP|status(?: code)?):? 429\b|Too Many Requests|RESOURCE_EXHAUSTED",
        True,
        "The quota is used up for now: lower the load with `ytray batch change {batch} --concurrency N` or wait, "
        "then {resume}.",
    ),
    Rule(
        "ProviderFailed",
        r"",
        True,
        "The provider failed or was not reached, and nothing was billed; that passes by itself: later, {resume}.",
    ),
    Rule(
        "Unheard",
        r"",
        True,
        "Calls got no answer and may have been billed: look at `ytray spend list {job}`, then {resume}.",
    ),
    # finished videos
    Rule(
        "PermanentError",
        r"did not pass the quality gate: .*?\bscene (?P<scene>\d+)",
        False,
        "The finished video failed the quality gate (scene {scene} of the first): read report.html, an artifact "
        "of job {job}, and change the rows {edit}.",
    ),
    Rule(
        "PermanentError",
        r"did not pass the quality gate",
        False,
        "The finished video failed the quality gate: read report.html, an artifact of job {job}, and change the "
        "rows {edit}.",
    ),
    Rule(
        "PermanentError",
        r"no font that is installed|without the library FriBidi",
        False,
        "Text cannot be drawn here: install what the error names on every node, then {resume}; or leave the text "
        "out {edit}.",
    ),
    Rule(
        "PermanentError",
        r"there is no artifact|is not an artifact of|has no artifact",
        False,
        "A file that the items need is gone: put it back and {resume}, or name another {edit}.",
    ),
    # the system
    Rule(
        "",
        r"disk is full|No space left on device",
        True,
        "A disk is full: free some space, then {resume}.",
    ),
    Rule(
        "",
        r"(?:answered|HTTP|status(?: code)?):? 5\d\d\b",
        True,
        "A service failed; that passes by itself: later, {resume}.",
    ),
    Rule(
        "SystemUnavailable ConnectionError ConnectionRefusedError ConnectionResetError BrokenPipeError "
        "TimeoutError ConnectError ConnectTimeout ReadError ReadTimeout RemoteProtocolError URLError gaierror",
        r"",
        True,
        "Something was not reached: see that it runs (`ytray doctor` checks what ytray stands on), then {resume}.",
    ),
    Rule(
        "TimeLimitExceeded SoftTimeLimitExceeded",
        r"",
        True,
        "Steps outlived their time limit: see in `ytray logs {job}` what they were at, then make the rows' work "
        "shorter {edit}, or give the task more time and {resume}.",
    ),
    Rule(
        "WorkerDied MemoryError",
        r"",
        True,
        "Workers died, most often for want of memory: look at `ytray logs {job}` and the kernel's log of the "
        "node, lower YTRAY_SLOTS_… of the queue, restart, then {resume}.",
    ),
    Rule(
        "ModuleNotFoundError ImportError",
        r"",
        False,
        "Code is missing on a node: install the module there, restart, then {resume}.",
    ),
    Rule(
        "UnknownTask PermanentError",
        r"no task|cannot import|is no longer stored",
        False,
        "Code is missing on a node: install the module there and name it in YTRAY_IMPORTS, restart, then {resume}.",
    ),
    Rule(
        "ResultExpired",
        r"",
        True,
        "Results were gone before they were read: raise YTRAY_RESULT_TTL, restart, then {resume}.",
    ),
    Rule(
        "JobCancelled",
        r"",
        True,
        "The items were cancelled: {resume} makes them after all.",
    ),
    # the rows, and the tasks themselves
    Rule(
        "InvalidArguments ValidationError",
        r"",
        False,
        "The rows do not fit the task: correct them {edit}.",
    ),
    Rule(
        "PermanentError",
        r"^the stored arguments no longer fit",
        False,
        "The rows do not fit the task: correct them {edit}.",
    ),
    Rule(
        "PayloadTooLarge",
        r"",
        False,
        "More was handed on than YTRAY_MAX_PAYLOAD allows: put large data into files, then {resume}.",
    ),
    Rule(
        "SettingsError PermanentError",
        r"\b(?P<setting>YTRAY_[A-Z_]+)",
        False,
        "A setting cannot work: correct {setting} as the error says, restart, then {resume}.",
    ),
    Rule(
        "PermanentError",
        r"",
        False,
        "The task says that another try cannot help: correct the rows {edit}; or give them up with `ytray batch "
        "errors {batch} --discard {fingerprint}`.",
    ),
    Rule(
        "",
        r"",
        True,
        "The task failed on all of its tries (the first item used {retries} retries): see `ytray logs {job}`; "
        "correct the rows {edit}; or correct the task, then {resume}.",
    ),
)

# Who is named in an error: the first that fits. A model without its provider is named alone.
_DEPENDENCIES = (
    (r"circuit breaker of (\S+) is open", "{}"),
    (r"Vertex AI \(([\w.@/-]+)\)", "vertex/{}"),
    (r"Vertex AI does not know the model '([^']+)'", "vertex/{}"),
    (r"^(\S+) at https?://(?:[^/\s@]*@)?([\w.:-]*\w)", "{1}/{0}"),
    (r"https?://(?:[^/\s@]*@)?([\w.:-]*\w)\S* does not know the model '([^']+)'", "{}/{}"),
    (r"(?:text|image|speech|video|judge) by ([\w.@/-]*\w)", "{}"),
    (r"model '([^']+)'", "{}"),
    (r"^(\S+) (?:has had its [\d,]+|runs \d+ calls|ended its operation|refused:|accepted a request)", "{}"),
    (r"Vertex AI|Google credentials", "vertex"),
    (r"espeak-ng", "espeak-ng"),
    (r"\bRedis\b", "Redis"),
    (r"\bhttps?://(?:[^/\s@]*@)?([\w.:-]*\w)", "{}"),
)


def group(items: Iterable[FailedItem], batch_id: str) -> list[ErrorGroup]:
    """The items in groups of like errors, the largest first.

    They are read once, one by one; of a group no more than three examples are held. `batch_id` is what the commands
    in the suggestions name.
    """
    found: dict[str, _Group] = {}
    for item in items:
        mark = fingerprint(item.error, item.frame)
        if mark.digest not in found:
            found[mark.digest] = _Group(mark, item, item.at, item.at)
        found[mark.digest].add(item)
    return [each.told(batch_id) for each in sorted(found.values(), key=lambda each: (-each.count, each.first_at))]


def fingerprint_of(item: FailedItem) -> str:
    """The fingerprint of the group that `group` puts an item into."""
    return fingerprint(item.error, item.frame).digest


def dependency_of(error: str) -> str | None:
    """The provider, model or service that an error names ("vertex/veo-3.1-generate-001", "Redis"); None for none."""
    message = parts_of(innermost(error)[1])[1]
    for pattern, name in _DEPENDENCIES:
        if found := re.search(pattern, message):
            return name.format(*found.groups())
    return None


@dataclass(slots=True)
class _Group:
    mark: Fingerprint
    first: FailedItem
    first_at: datetime
    last_at: datetime
    count: int = 0
    examples: list[FailedItem] = field(default_factory=list)

    def add(self, item: FailedItem) -> None:
        self.count += 1
        self.first_at, self.last_at = min(self.first_at, item.at), max(self.last_at, item.at)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(item)

    def told(self, batch_id: str) -> ErrorGroup:
        rule, words = _rule_of(self.first.error, batch_id)
        step, _ = innermost(self.first.error)
        words |= {"batch": batch_id, "job": step or self.first.job_id or "JOB_ID", "retries": str(self.first.retries)}
        words |= {"fingerprint": self.mark.digest}
        words |= {"resume": _RESUME.format(batch=batch_id), "edit": _EDIT.format(batch=batch_id)}
        return ErrorGroup(
            fingerprint=self.mark.digest,
            error_type=self.mark.error_type,
            message=self.mark.message,
            task_name=self.first.task_name,
            frame=self.first.frame,
            count=self.count,
            first_at=self.first_at,
            last_at=self.last_at,
            examples=[
                ErrorExample(number=item.number, line=item.line, key=item.key, job_id=item.job_id, error=item.error)
                for item in self.examples
            ],
            retryable=rule.retryable,
            dependency=dependency_of(self.first.error),
            suggestion=rule.suggestion.format(**words),
        )


def _rule_of(error: str, batch_id: str) -> tuple[Rule, dict[str, str]]:
    """The first rule that fits an error, and what the named groups of its pattern found."""
    error_type, message = parts_of(innermost(error)[1])
    for rule in RULES:
        if rule.types and error_type not in rule.types.split():
            continue
        if found := re.search(rule.says.replace("{batch}", re.escape(batch_id)), message, re.DOTALL):
            # They go between the backticks of a command.
            return rule, {name: " ".join(word.replace("`", "'").split()) for name, word in found.groupdict().items()}
    raise AssertionError("the last rule fits every error")
