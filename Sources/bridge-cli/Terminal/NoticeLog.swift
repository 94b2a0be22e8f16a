import Logging

/// Says on standard error what a person who waits wants to know, each time as a line of its own.
struct NoticeLog: LogHandler {
    /// What is done before a line, so that it does not end up in another one.
    var before: @Sendable () -> Void
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    /// A log that makes room for its lines.
    init(before: @escaping @Sendable () -> Void) { self.before = before }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        before()
        Output.printError("   \(event.message)")
    }
}
