"""I/O starts here: the task that owns a session, its log with the cursors, and the turns that callers hold."""

from triologue.actors.actor import Actor as Actor
from triologue.actors.conversation import (
    MAX_KEY_LENGTH as MAX_KEY_LENGTH,
    Conversation as Conversation,
    OnMissing as OnMissing,
    ResumeOutcome as ResumeOutcome,
    digest_of as digest_of,
)
from triologue.actors.desk import first_options as first_options
from triologue.actors.durations import BOUNDS as BOUNDS, Durations as Durations
from triologue.actors.heads import (
    check_fits as check_fits,
    check_folder as check_folder,
    described as described,
    is_another as is_another,
    is_kept_whole as is_kept_whole,
    kept_options as kept_options,
    new_head as new_head,
    pinned as pinned,
    restore as restore,
    stays as stays,
    take_over as take_over,
    told as told,
)
from triologue.actors.inside import (
    Home as Home,
    WaitFor as WaitFor,
    Waiting as Waiting,
    current_home as current_home,
    waiting_for as waiting_for,
)
from triologue.actors.journal import Journal as Journal
from triologue.actors.log import Cursor as Cursor, Listener as Listener, Log as Log
from triologue.actors.log_extra import log_extra as log_extra, log_safely as log_safely
from triologue.actors.once_a_minute import OnceAMinute as OnceAMinute
from triologue.actors.permissions import (
    Permission as Permission,
    Permissions as Permissions,
    check_result as check_result,
    input_of as input_of,
    suggestions_of as suggestions_of,
)
from triologue.actors.place import Place as Place
from triologue.actors.records import Batch as Batch
from triologue.actors.replies import Reply as Reply
from triologue.actors.timers import Timers as Timers
from triologue.actors.turn import Turn as Turn
from triologue.actors.world import World as World
