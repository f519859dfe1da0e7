"""Who is there and who is awake: the registry of conversations, and the supervision of their actors."""

from triologue.supervision.asleep import Asleep as Asleep
from triologue.supervision.overseer import Overseer as Overseer
from triologue.supervision.prewarming import Prewarming as Prewarming
from triologue.supervision.registry import Registry as Registry
from triologue.supervision.shelf import Shelf as Shelf, is_aside as is_aside
