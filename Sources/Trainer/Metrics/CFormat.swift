import Glibc

/// Numbers and times in the format of C's functions, as in the log lines of Megatron.
enum CFormat {
    /// Formats arguments, which have to match the fields of the format.
    static func text(_ format: String, _ arguments: any CVarArg...) -> String {
        // C prints the sign of NaN too.
        let arguments = arguments.map { ($0 as? Double)?.isNaN == true ? Double.nan : $0 }
        return withVaList(arguments) { list in
            // Long enough for the longest double in fixed notation and the text around it.
            var buffer = [CChar](repeating: 0, count: 1024)
            let count = Int(vsnprintf(&buffer, buffer.count, format, list))
            return String(
                decoding: buffer.prefix(max(0, min(count, buffer.count - 1))).map(UInt8.init(bitPattern:)),
                as: UTF8.self
            )
        }
    }

    /// A time in the local time zone, to the second.
    static func localTime(_ seconds: Int) -> String {
        var moment = time_t(seconds)
        var parts = tm()
        guard localtime_r(&moment, &parts) != nil else { return "?" }
        return text(
            "%04d-%02d-%02d %02d:%02d:%02d",
            Int(parts.tm_year) + 1900,
            parts.tm_mon + 1,
            parts.tm_mday,
            parts.tm_hour,
            parts.tm_min,
            parts.tm_sec
        )
    }

    /// A duration as `2:03:04`; `?` if it is not finite.
    static func duration(_ seconds: Double) -> String {
        guard let whole = Int(exactly: seconds.rounded()), whole >= 0 else { return "?" }
        return text("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60)
    }
}
