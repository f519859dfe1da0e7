"""A model that says what a script has for each prompt: for tests of hosts, clients and tools."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, final

import trio
from msgspec import Struct

from triologue.engine.memory import result_text
from triologue.engine.offline import OfflineModel, pieces
from triologue.engine.script import Rule, Step, check_script, read_script
from triologue.errors import ModelError, brief
from triologue.messages import ContentBlock, TextBlock, ThinkingBlock, ToolUseBlock
from triologue.ports import ModelReply, ModelRequest

DEFAULT_USAGE = (10, 5)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-\n"
PIECE = 64 * 1024
# Texts in the user's place that no user wrote.
MARKERS = ("[Request interrupted by user", "<system-reminder>")


@final
class ScriptedModel:
    """A model that replies from a script: rules, each with conditions and what is said when they hold.

    ::

        {
          "name": "scripted",
          "rules": [
            {"prompt": "Hello", "reply": "Hi!"},
            {"contains": "a poem", "nth": 2, "reply": [{"say": "Another one?"}, {"end": "max_tokens"}]},
            {"matches": "^write (.+)$", "replies": [
              [{"thinking": "where to?"}, {"tool": "Write", "input": {"file_path": "a.txt", "content": "A"}}],
              "It is written."
            ]},
            {"prompt": "break", "reply": [{"error": 529, "message": "overloaded"}]}
          ],
          "else": "offline"
        }

    The first rule that fits a call of the model answers it. All conditions of a rule must hold; none fits every call.

    ===================  =============================================================================================
    condition            holds when
    ===================  =============================================================================================
    ``prompt``           the last text of the user is this
    ``contains``         ... has this in it
    ``matches``          ... has a match for this regular expression
    ``nth``              it is that time (counted from 1; or one of a list) that such a prompt came in the conversation
    ``result``           the last call's tool results have this in their text
    ``failed``           one of them is an error (true), or none is (false)
    ``system``           the system prompt has this in it, for instance that of a sub-agent
    ``offers``           a tool of this name is offered
    ``lacks``            no tool of this name is offered, for instance ``Task`` in a sub-agent
    ===================  =============================================================================================

    A rule's ``replies`` answer the calls that follow one prompt, in order: the first one the prompt, the next one the
    results of the tools that the first called, and so on; ``reply`` is one reply. When they are used up the rule no
    longer fits, unless ``"repeat": true`` says the last one for ever. A rule with ``result`` or ``failed`` counts no
    calls: its one ``reply`` answers every call that fits.

    A reply is a text, or a list of steps; a text among the steps is said.

    ==============================================  ==================================================================
    step                                            does
    ==============================================  ==================================================================
    ``{"say": text, "delay": s}``                   says it, a word a piece, with ``s`` seconds before each piece
    ``{"words": n, "delay": s}``                    says ``word1 word2 ...``
    ``{"bytes": n}``                                says exactly ``n`` ASCII characters, in large pieces
    ``{"recall": true}``                            says how many prompts there were, and all of them
    ``{"results": true}``                           says the texts of the last tool results, joined by `` | ``
    ``{"thinking": text}``                          thinks it; it comes with the finished reply
    ``{"tool": name, "input": {}, "id": id}``       calls a tool; several are called together
    ``{"wait": s}``                                 waits, so before the first ``say`` the reply is slow to start
    ``{"hang": true}``                              says nothing more until it is interrupted
    ``{"error": status, "message": text}``          fails as the API does; ``null`` for the status: no answer at all
    ``{"end": reason}``                             the stop reason, such as ``max_tokens``
    ``{"usage": [in, out], "cost": dollars}``       what the reply took, instead of 10 and 5 tokens and nothing
    ==============================================  ==================================================================

    ``else`` is for calls that no rule fits: ``offline``, an `OfflineModel` answers; ``error``, a `ModelError` that
    names the prompt. Whatever is counted is counted in the messages of the call, so any number of conversations may
    share one model, and a conversation that is resumed or forked goes on where it was.

    Args:
        rules: as in the file.
        name: what it calls itself.
        otherwise: ``else`` of the file.

    Raises:
        InvalidOption: something in it cannot be; the text says where and what it is.
    """

    __slots__ = ("_offline", "_script")

    def __init__(
        self, rules: Sequence[Mapping[str, Any]] = (), *, name: str = "scripted", otherwise: str = "offline"
    ) -> None:
        self._script = check_script({"name": name, "rules": list(rules), "else": otherwise}, "the script")
        self._offline = OfflineModel(name=name)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> "ScriptedModel":
        """Read a script.

        Raises:
            InvalidOption: it cannot be read, or something in it cannot be; the text names file, place and value.
        """
        script = read_script(Path(path))
        return cls(script["rules"], name=script.get("name", "scripted"), otherwise=script.get("else", "offline"))

    def __repr__(self) -> str:
        return f"<ScriptedModel {self._script.name!r}: {len(self._script.rules)} rules>"

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self._script.name

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        """Play the reply of the first rule that fits.

        Raises:
            ModelError: the script says so, or no rule fits and it has ``"else": "error"``.
        """
        await trio.lowlevel.checkpoint()
        scene = read_scene(request)
        for rule in self._script.rules:
            if (steps := _choose(rule, scene)) is not None:
                return await _Performance(scene, emit).play(steps, request.model or self.name)
        if self._script.otherwise == "error":
            raise ModelError(f"no rule of the script fits the prompt {brief(scene.prompt)} (call {scene.calls + 1})")
        return await self._offline.reply(request, emit)


class Scene(Struct, kw_only=True):
    """One call of the model, as rules look at it."""

    system: str
    offered: set[str]
    prompts: list[str]
    """All that the user said, oldest first."""
    calls: int = 0
    """How often the model answered since the last prompt."""
    results: list[str]
    """The texts of the last tool results."""
    failed: bool = False
    """One of them is an error."""
    uses: int = 0
    """How many tool calls there were in all."""

    @property
    def prompt(self) -> str:
        """The last one."""
        return self.prompts[-1] if self.prompts else ""


def read_scene(request: ModelRequest) -> Scene:
    """Look at the messages of a call."""
    offered = {tool.name for tool in request.tools}
    scene = Scene(system=request.system or "", offered=offered, prompts=[], results=[])
    for message in request.messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "assistant":
            scene.calls += 1
            scene.uses += sum(block.get("type") == "tool_use" for block in blocks)
            scene.results, scene.failed = [], False
        else:
            _read_user(scene, blocks)
    return scene


def _read_user(scene: Scene, blocks: list[dict[str, Any]]) -> None:
    results = [block for block in blocks if block.get("type") == "tool_result"]
    scene.results += [result_text(block) for block in results]
    scene.failed |= any(block.get("is_error") for block in results)
    said = [block.get("text") for block in blocks if block.get("type") == "text"]
    texts = [each for each in said if isinstance(each, str) and not each.startswith(MARKERS)]
    if texts or (blocks and not results and any(block.get("type") != "text" for block in blocks)):
        scene.prompts.append("\n".join(texts))
        scene.calls = 0
        if not results:
            scene.results, scene.failed = [], False


def _choose(rule: Rule, scene: Scene) -> list[Step] | None:
    """What the rule says to this call; None when it does not fit."""
    if not _fits(rule, scene):
        return None
    if rule.result is not None or rule.failed is not None:
        return rule.steps[0]
    if scene.calls < len(rule.steps):
        return rule.steps[scene.calls]
    return rule.steps[-1] if rule.repeat else None


def _fits(rule: Rule, scene: Scene) -> bool:
    if not rule.takes(scene.prompt):
        return False
    if rule.times and sum(map(rule.takes, scene.prompts)) not in rule.times:
        return False
    if rule.result is not None and not any(rule.result in text for text in scene.results):
        return False
    if rule.failed is not None and (not scene.results or scene.failed is not rule.failed):
        return False
    if rule.offers is not None and rule.offers not in scene.offered:
        return False
    return rule.lacks not in scene.offered and (rule.system is None or rule.system in scene.system)


@final
class _Performance:
    """One reply while it is played."""

    __slots__ = ("_calls", "_content", "_emit", "_said", "_scene")

    def __init__(self, scene: Scene, emit: Callable[[str], None]) -> None:
        self._scene = scene
        self._emit = emit
        self._content: list[ContentBlock] = []
        self._said: list[str] = []
        self._calls = 0

    async def play(self, steps: list[Step], model: str) -> ModelReply:
        stop_reason, usage, cost = "", DEFAULT_USAGE, 0.0
        for step in steps:
            await self._play(step)
            stop_reason = step.end or stop_reason
            usage, cost = step.usage or usage, step.cost or cost
        self._close()
        return ModelReply(
            content=self._content or [TextBlock(text="")],
            stop_reason=stop_reason or ("tool_use" if self._calls else "end_turn"),
            model=model,
            input_tokens=usage[0],
            output_tokens=usage[1],
            cost_usd=cost,
        )

    async def _play(self, step: Step) -> None:
        if step.wait is not None:
            await trio.sleep(step.wait)
        elif step.hang:
            await trio.sleep_forever()
        elif step.fails:
            raise ModelError(step.message or "scripted error", status=step.status)
        elif step.thinking is not None:
            self._close()
            self._content.append(ThinkingBlock(thinking=step.thinking, signature="scripted"))
        elif step.tool is not None:
            self._close()
            self._calls += 1
            use = step.id or f"toolu_{self._scene.uses + self._calls}"
            self._content.append(ToolUseBlock(id=use, name=step.tool, input=step.input or {}))
        else:
            for piece in _spoken(step, self._scene):
                await trio.sleep(step.delay)
                self._said.append(piece)
                self._emit(piece)

    def _close(self) -> None:
        """What was said so far is a block."""
        if self._said:
            self._content.append(TextBlock(text="".join(self._said)))
            self._said = []


def _spoken(step: Step, scene: Scene) -> list[str]:
    """The pieces of what a step says; none for a step that says nothing."""
    if step.bytes is not None:
        text = (LETTERS * (step.bytes // len(LETTERS) + 1))[: step.bytes]
        return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    if step.words is not None:
        return pieces(" ".join(f"word{number}" for number in range(1, step.words + 1)))
    if step.recall:
        return pieces(f"echo[{len(scene.prompts)}]: {' | '.join(scene.prompts)}")
    if step.results:
        return pieces(" | ".join(scene.results))
    # Text without a word is one piece.
    return pieces(step.say) or [step.say] if step.say else []
