"""The faces that look like the vendors' SDKs: `query()` and `Client`."""

from triologue.sdk.client import Client as Client
from triologue.sdk.query import Query as Query, query as query
