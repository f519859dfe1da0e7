"""Lends a manager's sessions to other programs, and shows them on a page."""

from triologue.gateway.limits import GatewayLimits as GatewayLimits
from triologue.gateway.opening import Gateway as Gateway, open_gateway as open_gateway
from triologue.gateway.statistics import GatewayStatistics as GatewayStatistics
from triologue.gateway.token_file import TokenFile as TokenFile
from triologue.gateway.tokens import Grant as Grant, MemoryTokens as MemoryTokens, Tokens as Tokens
