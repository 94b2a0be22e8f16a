// The core's library holds the only copy of swift-log in a process; who passes a Logger to the core gets it from here.
@_exported public import Logging
