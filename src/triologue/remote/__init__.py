"""Sessions that live behind a gateway: the other end of `triologue.v1`, with the protocol `Sessions`."""

from triologue.remote.opening import open_remote as open_remote
from triologue.remote.permission import RemotePermission as RemotePermission
from triologue.remote.session import RemoteSession as RemoteSession
from triologue.remote.sessions import RemoteManager as RemoteManager
from triologue.remote.subscription import RemoteSubscription as RemoteSubscription
from triologue.remote.turn import RemoteTurn as RemoteTurn
