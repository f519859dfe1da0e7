"""What a caller can set: how an agent works (`Options`), and within what (`Limits`, `Deadlines`, `RestartPolicy`)."""

from triologue.options.callbacks import (
    CanUseToolCallback as CanUseToolCallback,
    ExitPlanModeApprovalDetails as ExitPlanModeApprovalDetails,
    HookCallback as HookCallback,
    HookContext as HookContext,
    HookMatcher as HookMatcher,
    OnElicitation as OnElicitation,
    OnMcpOauthRequired as OnMcpOauthRequired,
    OnMcpStatusChange as OnMcpStatusChange,
    ResolveModel as ResolveModel,
    ToolPermissionContext as ToolPermissionContext,
)
from triologue.options.checks import check_kinds as check_kinds, check_options as check_options
from triologue.options.limits import Deadlines as Deadlines, Limits as Limits, check_limits as check_limits
from triologue.options.options import IDENTITY as IDENTITY, Options as Options, without_identity as without_identity
from triologue.options.overlap import Overlap as Overlap, check_overlap as check_overlap
from triologue.options.restart import RestartPolicy as RestartPolicy, check_restart as check_restart
