"""The agents that can hold a conversation, and what carries their processes."""

from triologue.agents.claude_code import ClaudeCode as ClaudeCode
from triologue.agents.cortex import CortexCode as CortexCode
from triologue.agents.embedded import Embedded as Embedded
from triologue.agents.known import AGENTS as AGENTS, DEFAULT_AGENT as DEFAULT_AGENT
from triologue.agents.launching import working_folder as working_folder
from triologue.agents.leftovers import Leftovers as Leftovers
from triologue.agents.memory_use import measure_trees as measure_trees
from triologue.agents.owners import is_dead as is_dead, new_owner as new_owner
from triologue.agents.process import open_carrier as open_carrier
from triologue.agents.qoder import Qoder as Qoder
from triologue.agents.qoder_auth import (
    QoderAuth as QoderAuth,
    TokenProvider as TokenProvider,
    access_token as access_token,
    access_token_from_env as access_token_from_env,
    job_token as job_token,
    qodercli_auth as qodercli_auth,
    service_account as service_account,
    service_account_from_env as service_account_from_env,
)
from triologue.agents.runtime import (
    distrusted as distrusted,
    make_runtime_folder as make_runtime_folder,
    program_name as program_name,
    told_there as told_there,
)
