"""Which changes of a task break its callers, and the script that keeps docs/contracts.json."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model

from ytray.engine.base.arguments import Signature
from ytray.engine.jobs.task import all_tasks
from ytray.studio.model import Model, Result
from ytray.tasks.contract import breaks, exported

SCRIPT = Path(__file__).parents[2] / "scripts" / "contracts"


class Tone(Enum):
    SOFT = "soft"
    LOUD = "loud"


class Cat(Model):
    kind: Literal["cat"]
    lives: int


class Dog(Model):
    kind: Literal["dog"]
    tricks: list[str]


class Tree(Model):
    value: int
    branches: list[Tree]


class OtherTree(Model):
    value: str
    branches: list[OtherTree]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


def contract(function: Callable[..., Any]) -> dict[str, Any]:
    """The contract of one task `t`, as its function would have it."""
    signature = Signature(function, "t")
    schemas = {"input_schema": signature.model.model_json_schema(), "output_schema": signature.result.json_schema()}
    return {"t": {"kind": "task", "queue": "default", **schemas}}


def raw(given: Any, *, result: bool = False) -> dict[str, Any]:
    """The contract of one task `t` with an argument `x`, or a result with `x`, of a schema written by hand."""
    schema = {"type": "object", "properties": {"x": given}, "required": ["x"], "additionalProperties": False}
    nothing = {"type": "null"}
    return {"t": {"input_schema": nothing if result else schema, "output_schema": schema if result else nothing}}


def argument(annotation: Any) -> dict[str, Any]:
    """The contract of one task `t` with an argument `x` of a type."""
    model = create_model("t_arguments", __config__=ConfigDict(extra="forbid"), x=(annotation, ...))
    return {"t": {"input_schema": model.model_json_schema(), "output_schema": {"type": "null"}}}


def result(annotation: Any) -> dict[str, Any]:
    """The contract of one task `t` whose result has an `x` of a type."""
    (made,) = argument(annotation).values()
    return {"t": {"input_schema": made["output_schema"], "output_schema": made["input_schema"]}}


# Each type, one that admits less, and what is said when an argument goes from the one to the other, or a result back.
NARROWINGS: list[tuple[Any, Any, str, str]] = [
    (str | None, str, "'x' no longer accepts null", "'x' may now be null"),
    (str | int, int, "'x' no longer accepts a string", "'x' may now be a string"),
    (str | None, None, "'x' no longer accepts a string", "'x' may now be a string"),
    (float, int, "'x' no longer accepts a number that is not whole", "'x' may now be a number that is not whole"),
    (Literal["mp4", "gif"], Literal["mp4"], "'x' no longer accepts 'gif'", "'x' may now be 'gif'"),
    (Literal[1, 2, 3], Literal[1], "'x' no longer accepts 2 or 3", "'x' may now be 2 or 3"),
    (Tone, Literal["soft"], "'x' no longer accepts 'loud'", "'x' may now be 'loud'"),
    (bool, Literal[True], "'x' no longer accepts false", "'x' may now be false"),
    (str, Tone, "'x' no longer accepts a string other than 'soft' or 'loud'", "may now be a string other than"),
    (
        Any,
        str,
        "'x' no longer accepts null, false, true, a number, a list or an object",
        "'x' may now be null, false, true, a number, a list or an object",
    ),
    (int, Annotated[int, Field(ge=5)], "'x' must now be at least 5", "'x' need no longer be at least 5"),
    (float, Annotated[float, Field(gt=5)], "'x' must now be more than 5", "'x' need no longer be more than 5"),
    (
        Annotated[int, Field(le=180)],
        Annotated[int, Field(le=60)],
        "'x' must now be at most 60",
        "'x' need no longer be at most 60",
    ),
    (
        Annotated[float, Field(le=1)],
        Annotated[float, Field(lt=1)],
        "'x' must now be less than 1",
        "'x' need no longer be less than 1",
    ),
    (
        Annotated[str, Field(min_length=1)],
        Annotated[str, Field(min_length=3)],
        "'x' must now have at least 3 characters",
        "'x' need no longer have at least 3 characters",
    ),
    (str, Annotated[str, Field(max_length=9)], "must now have at most 9 characters", "need no longer have at most 9"),
    (list[str], Annotated[list[str], Field(min_length=1)], "must now have at least 1 items", "need no longer have at"),
    (list[str], Annotated[list[str], Field(max_length=7)], "must now have at most 7 items", "need no longer have at"),
    (str, Annotated[str, Field(pattern="^a")], "'x' must now keep to pattern '^a'", "need no longer keep to pattern"),
    (int, Annotated[int, Field(multiple_of=2)], "must now keep to multipleOf 2", "need no longer keep to multipleOf"),
    (list[str], set[str], "'x' must now keep to uniqueItems true", "'x' need no longer keep to uniqueItems"),
    (list[str | None], list[str], "'x[]' no longer accepts null", "'x[]' may now be null"),
    (tuple[int, str | None], tuple[int, str], "'x[1]' no longer accepts null", "'x[1]' may now be null"),
    (list[int], tuple[int, int], "'x' must now have at most 2 items", "'x' need no longer have at most 2 items"),
    (tuple[int | str, ...], tuple[int, ...], "'x[]' no longer accepts a string", "'x[]' may now be a string"),
    (dict[str, int | None], dict[str, int], "'x.*' no longer accepts null", "'x.*' may now be null"),
    (dict[str, int], dict[Tone, int], "'x.(name)' no longer accepts a string other than", "may now be a string other"),
    (
        dict[Annotated[str, Field(pattern="^a")], int | None],
        dict[Annotated[str, Field(pattern="^a")], int],
        "'x.^a' no longer accepts null",
        "'x.^a' may now be null",
    ),
    (Pet, Cat, "'x.kind' no longer accepts 'dog'", "'x.kind' may now be 'dog'"),
    (Tree | None, Tree, "'x' no longer accepts null", "'x' may now be null"),
]


@pytest.mark.parametrize(("wide", "narrow", "said", "_"), NARROWINGS)
def test_an_argument_may_not_accept_less(wide: Any, narrow: Any, said: str, _: str) -> None:
    assert any(f"t: the argument {said}" in gap or said in gap for gap in breaks(argument(wide), argument(narrow)))


@pytest.mark.parametrize(("wide", "narrow", "_", "said"), NARROWINGS)
def test_a_result_may_not_be_what_it_never_was(wide: Any, narrow: Any, _: str, said: str) -> None:
    assert any(gap.startswith("t: the result's 'x") and said in gap for gap in breaks(result(narrow), result(wide)))


@pytest.mark.parametrize(("wide", "narrow", "_", "__"), NARROWINGS)
def test_an_argument_may_accept_more_and_a_result_be_less(wide: Any, narrow: Any, _: str, __: str) -> None:
    if narrow is Cat:  # a Dog has fields that a Cat has not, and its readers know none of them to be there
        wide, narrow = Cat | None, Cat
    assert breaks(argument(narrow), argument(wide)) == []
    assert breaks(result(wide), result(narrow)) == []


def test_an_argument_may_not_be_removed() -> None:
    def old(prompt: str, genre: str = "general") -> None: ...
    def new(prompt: str) -> None: ...

    assert breaks(contract(old), contract(new)) == ["t: the argument 'genre' was removed"]
    assert breaks(contract(new), contract(old)) == []


def test_a_new_argument_may_not_be_required() -> None:
    def old(prompt: str) -> None: ...
    def new(prompt: str, budget: int) -> None: ...

    assert breaks(contract(old), contract(new)) == ["t: the argument 'budget' is new and required"]


def test_an_argument_may_not_become_required_but_optional() -> None:
    def required(prompt: str) -> None: ...
    def optional(prompt: str = "cats") -> None: ...

    assert breaks(contract(optional), contract(required)) == ["t: the argument 'prompt' is now required"]
    assert breaks(contract(required), contract(optional)) == []


def test_a_default_a_title_and_a_description_may_change() -> None:
    def old(x: int = 1) -> None: ...
    def new(
        x: Annotated[int, Field(title="Ex", description="A number.", examples=[3], deprecated=True)] = 2,
    ) -> None: ...

    assert breaks(contract(old), contract(new)) == []


def test_a_task_that_took_any_name_may_not_stop() -> None:
    def old(prompt: str, **more: Any) -> None: ...
    def new(prompt: str) -> None: ...

    assert breaks(contract(old), contract(new)) == ["t: the call no longer accepts other names"]
    assert breaks(contract(new), contract(old)) == []


def test_an_argument_that_other_names_cover_is_not_removed() -> None:
    def old(prompt: str, genre: str = "general") -> None: ...
    def new(prompt: str, **more: Any) -> None: ...

    assert breaks(contract(old), contract(new)) == []


def test_a_result_may_have_more_fields_and_not_fewer() -> None:
    old = create_model("Old", __base__=Result, text=(str, ...), note=(str, ...))
    new = create_model("New", __base__=Result, text=(str, ...))
    assert breaks(result(old), result(new)) == ["t: the result's 'x' no longer has 'note'"]
    assert breaks(result(new), result(old)) == []


def test_a_result_itself_is_named_plainly() -> None:
    def old() -> Cat: ...  # type: ignore[empty-body]
    def new() -> Cat | None: ...

    assert breaks(contract(old), contract(new)) == ["t: the result may now be null"]
    without = contract(old)
    del without["t"]["output_schema"]["properties"]["lives"]
    assert breaks(contract(old), without) == ["t: the result no longer has 'lives'"]


def test_a_result_may_not_leave_out_what_was_always_there() -> None:
    always = create_model("Always", __base__=Model, note=(str, ...))
    sometimes = create_model("Sometimes", __base__=Model, note=(str, ""))
    assert breaks(result(always), result(sometimes)) == ["t: the result's 'x' may now leave out 'note'"]
    assert breaks(result(sometimes), result(always)) == []


def test_a_result_may_name_what_it_had_as_a_map_no_otherwise() -> None:
    named = create_model("Named", __base__=Model, a=(str, ...))
    assert breaks(result(dict[str, int]), result(named)) == [
        "t: the result's 'x.a' may now be a string",
    ]
    assert breaks(result(dict[str, str]), result(named)) == []


def test_an_argument_that_was_any_object_may_not_be_held_to_fields() -> None:
    class Options(Model):
        speed: int = 1

    assert breaks(argument(dict[str, int | None]), argument(Options)) == [
        "t: the argument 'x.speed' no longer accepts null",
        "t: the argument 'x' no longer accepts other names",
    ]
    assert breaks(argument(Options), argument(dict[str, Any])) == []
    assert breaks(argument(Options), argument(Any)) == []


def test_breaks_are_found_deep_inside() -> None:
    class Scene(Model):
        mood: Literal["calm", "wild"]

    class Script(Model):
        scenes: list[Scene]

    before, after = argument(Script | None), argument(Script | None)
    after["t"]["input_schema"]["$defs"]["Scene"]["properties"]["mood"]["enum"] = ["calm"]
    assert breaks(before, after) == ["t: the argument 'x.scenes[].mood' no longer accepts 'wild'"]


def test_a_removed_task_breaks_and_a_new_one_does_not() -> None:
    one, two = raw({})["t"], raw({})["t"]
    assert breaks({"a": one, "b": two}, {"a": one}) == ["b: the task was removed"]
    assert breaks({"a": one}, {"a": one, "b": two}) == []


def test_another_queue_or_kind_breaks_nobody() -> None:
    old = {"t": {**raw({})["t"], "kind": "task", "queue": "media"}}
    assert breaks(old, {"t": {**old["t"], "kind": "flow", "queue": "batch"}}) == []


def versioned(version: int, **fields: Any) -> Any:
    return create_model("Versioned", __base__=Model, schema_version=(int, version), **fields)


def of(returned: Any, taken: Any = int) -> dict[str, Any]:
    def function(x: Any) -> None: ...

    function.__annotations__ = {"x": taken, "return": returned}
    return contract(function)


def test_a_result_may_change_when_its_version_was_raised() -> None:
    assert breaks(of(versioned(1, text=(str, ...))), of(versioned(2, words=(int, ...)))) == []
    assert breaks(of(versioned(1, text=(str, ...)) | None), of(versioned(2, words=(int, ...)) | None)) == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_result_may_not_change_when_its_version_stays_or_falls(version: int) -> None:
    changed = breaks(of(versioned(2, text=(str, ...))), of(versioned(version, words=(int, ...))))
    assert changed == ["t: the result no longer has 'text'"]


def test_a_raised_version_excuses_no_break_of_the_arguments() -> None:
    before, after = of(versioned(1, text=(str, ...)), str | None), of(versioned(2, words=(int, ...)), str)
    assert breaks(before, after) == ["t: the argument 'x' no longer accepts null"]


def test_a_raised_version_of_a_part_does_not_excuse_the_whole() -> None:
    before = of(versioned(1, part=(versioned(1, text=(str, ...)), ...)))
    after = of(versioned(1, part=(versioned(2, words=(int, ...)), ...)))
    assert breaks(before, after) == ["t: the result's 'part' no longer has 'text'"]


def test_a_recursive_schema_is_followed_until_it_comes_back() -> None:
    assert breaks(argument(Tree), argument(Tree)) == []
    assert breaks(argument(Tree), argument(OtherTree)) == [
        "t: the argument 'x.value' no longer accepts an integer",
        "t: the argument 'x.branches[].value' no longer accepts an integer",
    ]


def test_a_schema_that_is_an_alternative_of_itself_is_no_endless_one() -> None:
    itself = {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}
    looping = raw({"$ref": "#/$defs/A"})
    looping["t"]["input_schema"]["$defs"] = {"A": itself}
    assert breaks(looping, looping) == []
    assert breaks(looping, raw({"type": "string"})) == []


@pytest.mark.parametrize(
    ("wide", "narrow", "said"),
    [
        ({"type": ["string", "null"]}, {"type": "string"}, "no longer accepts null"),
        ({"type": "string"}, {"const": "a"}, "no longer accepts a string other than 'a'"),
        ({"enum": ["a", None]}, {"enum": ["a"]}, "no longer accepts null"),
        ({"oneOf": [{"type": "string"}, {"type": "array"}]}, {"type": "array"}, "no longer accepts a string"),
        ({"anyOf": [True]}, {"anyOf": [{"type": "string"}, False]}, "no longer accepts null, false, true"),
        ({"type": "array"}, {"type": "array", "prefixItems": [{}], "items": False}, "must now have at most 1 items"),
        ({"type": "object"}, {"type": "object", "minProperties": 1}, "must now have at least 1 fields"),
        ({"type": "object"}, {"type": "object", "required": ["y"]}, "'x.y' is new and required"),
        ({"type": "integer"}, {"type": "integer", "exclusiveMinimum": 4}, "must now be at least 5"),
        ({"type": "number"}, {"type": "number", "minimum": 1, "exclusiveMinimum": 3}, "must now be more than 3"),
        ({"$ref": "#/properties/y"}, {"$ref": "#/properties/y", "maxLength": 3}, "must now have at most 3"),
        ({"type": "string"}, {"type": "string", "format": "date"}, "must now keep to format 'date'"),
        ({"type": "string"}, {"type": "string", "not": {"$ref": "#/properties/y"}}, "must now keep to not"),
    ],
)
def test_schemas_written_by_hand_are_understood_too(wide: Any, narrow: Any, said: str) -> None:
    old, new = raw(wide), raw(narrow)
    for made in (old, new):
        made["t"]["input_schema"]["properties"]["y"] = {"type": "string"}
    assert any(said in gap for gap in breaks(old, new))
    assert breaks(new, old) == []


@pytest.mark.parametrize(
    ("values", "kind", "refused"),
    [
        (["a", 1], {"type": "string"}, "1"),
        (["a", "abc"], {"type": "string", "maxLength": 2}, "'abc'"),
        (["a", "b"], {"type": "string", "pattern": "^a"}, "'b'"),
        (["a", "b"], {"type": "string", "pattern": "(?<"}, "'a' or 'b'"),
        (["a"], {"type": "string", "format": "date"}, "'a'"),
        (["a"], {"anyOf": [{"const": "a", "format": "date"}]}, "'a'"),
        ([None], {"type": "string", "anyOf": [{"type": ["string", "null"]}]}, "null"),
        ([1, 7], {"type": "integer", "maximum": 5}, "7"),
        ([0.5, 1.0], {"type": "integer"}, "0.5"),
        ([0, 1], {"enum": [False, 1]}, "0"),
        ([[1], {}], {"enum": [[1]]}, "{}"),
        ([[1]], {"type": "array", "items": {"type": "string"}}, "[1]"),
    ],
)
def test_each_of_the_old_values_has_to_be_accepted(values: list[Any], kind: Any, refused: str) -> None:
    assert breaks(raw({"enum": values}), raw(kind)) == [f"t: the argument 'x' no longer accepts {refused}"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "integer", "exclusiveMinimum": 4}, {"type": "integer", "minimum": 5}),
        ({"type": "string", "enum": ["a", 1]}, {"const": "a"}),
        (
            {"type": "array", "prefixItems": [{"const": 1}], "maxItems": 1},
            {"type": "array", "prefixItems": [{"const": 1}], "items": False},
        ),
        (
            {"type": "array", "prefixItems": [{"const": 1}, {}], "items": False, "maxItems": 1},
            {"type": "array", "items": {"const": 1}, "maxItems": 1},
        ),
    ],
)
def test_the_same_in_other_words_is_the_same(old: Any, new: Any) -> None:
    assert breaks(raw(old), raw(new)) == []
    assert breaks(raw(new), raw(old)) == []


def test_a_rule_that_refers_to_a_changed_definition_is_a_break() -> None:
    old, new = raw({"not": {"$ref": "#/$defs/A"}}), raw({"not": {"$ref": "#/$defs/A"}})
    old["t"]["input_schema"]["$defs"], new["t"]["input_schema"]["$defs"] = {"A": {"const": 1}}, {"A": {"const": 2}}
    assert breaks(old, old) == []
    assert breaks(old, new)


LEAVES: list[Any] = [
    *(int, float, str, bool, None, Any, Tone, Cat, Dog, Pet, Tree, Literal["a"], Literal["a", "ab", 1]),
    *(Annotated[int, Field(ge=1)], Annotated[int, Field(gt=0, le=5)], Annotated[float, Field(lt=2.5)]),
    *(Annotated[str, Field(min_length=1)], Annotated[str, Field(max_length=1)], Annotated[str, Field(pattern="^a")]),
]


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Types made of others."""
    return st.one_of(
        st.builds(lambda kind: list[kind], inner),  # type: ignore[valid-type]
        st.builds(lambda kind: Annotated[list[kind], Field(min_length=1)], inner),  # type: ignore[valid-type]
        st.builds(lambda kind: dict[str, kind], inner),  # type: ignore[valid-type]
        st.builds(lambda one, other: tuple[one, other], inner, inner),  # type: ignore[valid-type]
        st.builds(lambda one, other: Union[one, other], inner, inner),  # noqa: UP007  # also for None
        st.builds(lambda kind, default: create_model("M", __base__=Model, a=(kind, default)), inner, DEFAULTS),
    )


DEFAULTS = st.sampled_from([..., None])
TYPES = st.recursive(st.sampled_from(LEAVES), composed, max_leaves=3)
# No booleans: to Pydantic, as to Python, True is the 1 of a Literal; to JSON Schema it is not.
VALUES = st.recursive(
    st.sampled_from([None, 0, 1, 2, 5, 7, 0.5, "", "a", "ab", "b", "soft", {"kind": "cat", "lives": 9}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


def accepted(annotation: Any, value: Any) -> bool:
    """Whether Pydantic takes the value as it is, with nothing converted."""
    try:
        TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


@given(TYPES)
@settings(max_examples=150, deadline=None)
def test_a_schema_never_breaks_itself(annotation: Any) -> None:
    assert breaks(argument(annotation), deepcopy(argument(annotation))) == []
    assert breaks(result(annotation), deepcopy(result(annotation))) == []


@given(TYPES, TYPES)
@settings(max_examples=150, deadline=None)
def test_one_more_alternative_never_breaks_a_caller(annotation: Any, other: Any) -> None:
    assert breaks(argument(annotation), argument(Union[annotation, other])) == []  # noqa: UP007


@given(TYPES, TYPES, st.lists(VALUES, min_size=20, max_size=20))
@settings(max_examples=150, deadline=None)
def test_what_breaks_nobody_is_accepted_as_before(old: Any, new: Any, values: list[Any]) -> None:
    for before, after in ((old, new), (new, old)):
        if not breaks(argument(before), argument(after)):
            assert [value for value in values if accepted(before, value) and not accepted(after, value)] == []


def test_the_built_in_tasks_are_exported_and_no_others() -> None:
    tasks = exported()
    assert list(tasks) == sorted(tasks)
    assert set(tasks) == {
        name for name, task in all_tasks().items() if task.function.__module__.startswith("ytray.tasks.")
    }
    assert (tasks["create_video"]["kind"], tasks["create_video"]["queue"]) == ("flow", "batch")
    assert (tasks["generate_hook"]["kind"], tasks["generate_hook"]["queue"]) == ("task", "generation")
    assert tasks["export_video"]["input_schema"]["required"] == ["video", "format"]
    assert tasks["export_video"]["output_schema"]["title"] == "Exported"
    assert breaks(tasks, json.loads(json.dumps(tasks))) == []


@pytest.fixture
def contracts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`contracts("--write")` runs the script over a file of the test's own: its exit status, and what it said."""
    main = runpy.run_path(str(SCRIPT))["main"]

    def run(*arguments: str) -> tuple[int, str]:
        status = main([*arguments, "--file", str(tmp_path / "contracts.json")])
        return status, capsys.readouterr().err

    return run


Contracts = Callable[..., tuple[int, str]]


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Change the contracts that a file holds, and give what it holds then."""
    held = json.loads(file.read_text("utf-8"))
    change(held)
    file.write_text(json.dumps(held), "utf-8")
    return file.read_text("utf-8")


def test_the_script_is_silent_about_a_file_that_it_has_written(contracts: Contracts, tmp_path: Path) -> None:
    assert contracts("--write") == (0, "")
    assert contracts() == (0, "")
    written = (tmp_path / "contracts.json").read_text("utf-8")
    assert written == json.dumps(exported(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_script_says_how_to_bring_a_file_up_to_date(contracts: Contracts, tmp_path: Path) -> None:
    contracts("--write")
    edit(tmp_path / "contracts.json", lambda held: held.pop("generate_hook"))  # so it is a new task
    status, said = contracts()
    assert status == 1
    assert "out of date" in said
    assert "scripts/contracts --write\n" in said
    assert contracts("--write") == (0, "")
    assert contracts() == (0, "")


def test_the_script_lists_breaks_and_writes_them_only_when_told_to(contracts: Contracts, tmp_path: Path) -> None:
    contracts("--write")
    file = tmp_path / "contracts.json"

    def older(held: dict[str, Any]) -> None:
        held["generate_hook"]["input_schema"]["properties"]["tone"] = {"type": "string"}
        held["export_video"]["output_schema"]["properties"]["seconds"] = {"type": "number"}

    before = edit(file, older)
    for arguments in ((), ("--write",)):
        status, said = contracts(*arguments)
        assert status == 1
        assert said.splitlines()[:2] == [
            "export_video: the result no longer has 'seconds'",
            "generate_hook: the argument 'tone' was removed",
        ]
        assert "--write --break" in said
        assert file.read_text("utf-8") == before
    assert contracts("--write", "--break") == (0, "")
    assert contracts() == (0, "")


def test_the_script_takes_break_only_with_write(contracts: Contracts) -> None:
    with pytest.raises(SystemExit) as ended:
        contracts("--break")
    assert ended.value.code == 2


def test_the_script_says_that_a_file_is_no_json(contracts: Contracts, tmp_path: Path) -> None:
    (tmp_path / "contracts.json").write_text("<<<<<<< HEAD\n{}\n", "utf-8")
    with pytest.raises(SystemExit, match="is no JSON"):
        contracts()


def test_the_tasks_keep_what_the_file_in_docs_promises() -> None:
    checked = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
