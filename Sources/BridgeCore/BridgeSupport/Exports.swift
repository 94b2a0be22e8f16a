// The core's library holds the only copy of swift-log in a process; callers that pass a Logger to the core import it
// from here.
@_exported public import Logging
