"""What this program does for its agents while they work: hooks, tools, and the questions of vendors."""

from triologue.hosting.service import Service as Service, Unsupported as Unsupported, open_service as open_service
