"""What the agent of a command line is made of: its model, its tools, its histories."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from triologue.engine import EngineSetup, OfflineModel, Transcripts
from triologue.engine.builtin_tools import builtin_tools
from triologue.engine.histories import DiskTranscripts
from triologue.engine.identity import working_directory
from triologue.engine.transcripts import Transcript, TranscriptStore
from triologue.errors import InvalidOption, StoreError
from triologue.options import Options
from triologue.ports import Model
from triologue.standin.dialects import DIALECTS
from triologue.standin.grammar import UsageError
from triologue.standin.identities import check_source
from triologue.standin.launch import Launch

MODEL_VARIABLE = "TRIOLOGUE_MODEL"
SCRIPT_VARIABLE = "TRIOLOGUE_SCRIPT"


def assemble(launch: Launch, environment: Mapping[str, str]) -> EngineSetup:
    """Put the agent together, in the folder that it is to work in.

    Raises:
        UsageError: the folder, the model's script, or the conversation to go on with is not there.
    """
    options = launch.options
    try:
        folder = working_directory(options)
        os.chdir(folder)
    except OSError as error:
        raise UsageError(f"Error: cannot work in {os.fspath(options.cwd or '.')!r}: {error.strerror}") from None
    options.cwd = folder  # a relative name would be another folder from here
    dialect = DIALECTS[launch.dialect]
    histories = open_histories(launch, environment)
    try:
        check_source(launch.dialect, options, histories.transcripts)
    except StoreError as error:
        raise UsageError(f"Error: {error}") from None
    tools = [tool for tool in builtin_tools(folder) if is_wanted(tool.definition.name, options)]
    return EngineSetup(
        model=choose_model(launch.script, environment),
        options=options,
        transcripts=histories.transcripts,
        tools=[tool.definition for tool in tools],
        guards={tool.definition.name: tool.guard for tool in tools},
        transcript_path=histories.path,
        profile=dialect.profile,
    )


def is_wanted(tool: str, options: Options) -> bool:
    """Whether `--tools` names it; without the flag everything is wanted."""
    return not isinstance(options.tools, list) or tool in options.tools


class Histories(NamedTuple):
    """Where conversations are kept, and the file of each, as hooks are told it."""

    transcripts: TranscriptStore
    path: Callable[[Transcript], str]


def open_histories(launch: Launch, environment: Mapping[str, str]) -> Histories:
    """Those on disk where the vendor's SDK looks for them, unless nothing is to be kept."""
    if not launch.keeps_history:
        return Histories(Transcripts(), lambda transcript: "")
    dialect = DIALECTS[launch.dialect]
    folders = dialect.folders
    if launch.config_folder is not None:
        environment = {**environment, folders.variable: launch.config_folder}
    transcripts = DiskTranscripts(folders, env=environment, version=dialect.version)

    def path(transcript: Transcript) -> str:
        # The file is made when the first turn begins, and hooks are asked before.
        to_be = folders.own_place(folders.config_in(environment, os.curdir) / "projects", transcript.cwd)
        return str(transcripts.path(transcript.session_id) or to_be / f"{transcript.session_id}.jsonl")

    return Histories(transcripts, path)


def choose_model(script: str | None, environment: Mapping[str, str]) -> Model:
    """Who answers: the script of `--script` or `$TRIOLOGUE_SCRIPT`, else what `$TRIOLOGUE_MODEL` names.

    Raises:
        UsageError: it names none, or the script cannot be.
    """
    script = script or environment.get(SCRIPT_VARIABLE) or None
    named = environment.get(MODEL_VARIABLE) or "offline"
    if script is None and named.startswith("scripted:"):
        script = named.removeprefix("scripted:")
    if script is not None:
        from triologue.engine.scripted import ScriptedModel

        try:
            return ScriptedModel.from_file(script)
        except InvalidOption as error:
            raise UsageError(f"Error: {error}") from None
    if named != "offline":
        raise UsageError(f"Error: ${MODEL_VARIABLE}={named!r} is none of: offline, scripted:FILE")
    return OfflineModel()
