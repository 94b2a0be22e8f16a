import Glibc
import Logging

/// The log on standard error: notices as plain text, other events with time and level.
///
/// swift-log's own handler writes control characters as they are, and a stream of the C library, which it uses, keeps what
/// could not be written and tries it again.
struct StandardErrorLog: LogHandler {
    /// Called before a line, to clear the progress bar.
    let before: @Sendable () -> Void
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    /// A log.
    init(before: @escaping @Sendable () -> Void) { self.before = before }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        before()
        guard event.level != .notice else { return Output.printError("   \(event.message)") }
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let pairs = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value) " }.joined()
        Output.printError("\(Self.timestamp()) \(event.level): \(pairs)\(event.message)")
    }

    /// The local time with its distance from UTC, as swift-log writes it.
    private static func timestamp() -> String {
        var (now, parts) = (Glibc.time(nil), tm())
        localtime_r(&now, &parts)
        var buffer = [CChar](repeating: 0, count: 64)
        let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%S%z", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
