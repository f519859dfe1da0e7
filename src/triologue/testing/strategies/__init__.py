"""Hypothesis strategies: everything that can be on the wire, what an agent may do, and what may be done with sessions.

Importing this imports hypothesis, which the extra `testing` brings.
"""

from triologue.testing.strategies.frames import (
    FRAME_TYPES as FRAME_TYPES,
    Frame as Frame,
    Json as Json,
    blank_lines as blank_lines,
    broken_lines as broken_lines,
    cuts as cuts,
    frame_lines as frame_lines,
    json_values as json_values,
    lines as lines,
    messages as messages,
    odd_frames as odd_frames,
    structs as structs,
    texts as texts,
)
from triologue.testing.strategies.programs import (
    OVERLAPS as OVERLAPS,
    faults as faults,
    operations as operations,
    programs as programs,
    scripts as scripts,
    store_faults as store_faults,
)
