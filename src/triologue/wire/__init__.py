"""Bytes to messages and back, and the control dialogue of both ends; pure."""

from triologue.wire.codec import (
    DEFAULT_MAX_MESSAGE_BYTES as DEFAULT_MAX_MESSAGE_BYTES,
    Reader as Reader,
    decode_line as decode_line,
    encode as encode,
)
from triologue.wire.dialogue import (
    Answered as Answered,
    Asked as Asked,
    Dialogue as Dialogue,
    Heard as Heard,
    Ignored as Ignored,
    Refused as Refused,
    Withdrawn as Withdrawn,
)
from triologue.wire.lenient import read_request as read_request
from triologue.wire.records import (
    decode_record as decode_record,
    encode_record as encode_record,
    kind_of as kind_of,
)
from triologue.wire.replies import read_replies as read_replies, read_reply as read_reply
