"""Conversations on disk, in the files and lines in which the vendors' SDKs look for them."""

from triologue.engine.histories.disk import DiskTranscripts as DiskTranscripts
from triologue.engine.histories.folders import (
    CLAUDE as CLAUDE,
    CORTEX as CORTEX,
    QODER as QODER,
    FolderRules as FolderRules,
    is_session_id as is_session_id,
)
from triologue.engine.histories.reading import (
    ABOUT_AGENT as ABOUT_AGENT,
    LINKED as LINKED,
    UNTOLD as UNTOLD,
    Line as Line,
    conversation_lines as conversation_lines,
    parse_lines as parse_lines,
)
from triologue.engine.histories.telling import ToldTranscripts as ToldTranscripts, take_back as take_back
