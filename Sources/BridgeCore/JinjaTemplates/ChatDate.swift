import Glibc

/// The moment that a template sees as now: a date and a time of day without a zone.
public struct ChatDate: Sendable, Equatable {
    /// The year, such as 2025.
    public var year: Int
    /// The month, from 1.
    public var month: Int
    /// The day of the month, from 1.
    public var day: Int
    /// The hour, from 0.
    public var hour = 0
    /// The minute, from 0.
    public var minute = 0
    /// The second, from 0.
    public var second = 0

    /// A day at midnight.
    public init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The time on this machine's clock, in its zone.
    public static func now() -> ChatDate {
        var seconds = time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return ChatDate(parts)
    }

    /// Reads `2025-12-31`, or with a time `2025-12-31T23:59:58`.
    public init(_ text: String) throws(TemplateError) {
        let halves = text.split(whereSeparator: { $0 == "T" || $0 == " " })
        let date = (halves.first ?? "").split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        let time = halves.count > 1 ? halves[1].split(separator: ":").map { Int($0) } : []
        guard (1...2).contains(halves.count), date.count == 3, let year = date[0], let month = date[1],
            let day = date[2],
            (1...9999).contains(year), (1...12).contains(month), (1...31).contains(day), time.count <= 3,
            time.allSatisfy({ $0.map { (0...60).contains($0) } ?? false })
        else {
            throw TemplateError(
                .badValue,
                "'\(text)' is not a date; expected one such as 2025-12-31 or 2025-12-31T23:59:58"
            )
        }
        self.init(year: year, month: month, day: day)
        if let first = time.first { hour = first ?? 0 }
        if time.count > 1 { minute = time[1] ?? 0 }
        if time.count > 2 { second = time[2] ?? 0 }
        guard hour < 24, minute < 60, Self(Self.normalized(parts)) == self else {
            throw TemplateError(.badValue, "'\(text)' is not in the calendar")
        }
    }

    private init(_ parts: tm) {
        year = Int(parts.tm_year) + 1900
        month = Int(parts.tm_mon) + 1
        day = Int(parts.tm_mday)
        hour = Int(parts.tm_hour)
        minute = Int(parts.tm_min)
        second = Int(parts.tm_sec)
    }

    /// The parts with the day of the week and of the year filled in.
    private static func normalized(_ parts: tm) -> tm {
        var copy = parts
        timegm(&copy)
        return copy
    }

    private var parts: tm {
        var parts = tm()
        parts.tm_year = Int32(clamping: year - 1900)
        parts.tm_mon = Int32(clamping: month - 1)
        parts.tm_mday = Int32(clamping: day)
        parts.tm_hour = Int32(clamping: hour)
        parts.tm_min = Int32(clamping: minute)
        parts.tm_sec = Int32(clamping: second)
        return parts
    }

    /// The day before, at the same time.
    public var yesterday: ChatDate {
        var earlier = parts
        earlier.tm_mday -= 1
        return ChatDate(Self.normalized(earlier))
    }

    /// The date in a format of `strftime`.
    ///
    /// As in Python, a date without a zone has an empty one.
    public func formatted(_ format: String) -> String {
        var parts = Self.normalized(self.parts)
        var result = ""
        var rest = format.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%", let directive = rest.popFirst() else {
                result.unicodeScalars.append(scalar)
                continue
            }
            var specifier = "%" + String(directive)
            if directive == "-" || directive == "_" || directive == "0" || directive == "^",
                let letter = rest.popFirst()
            {
                specifier.unicodeScalars.append(letter)
            }
            switch specifier {
            case "%z", "%Z", "%:": continue
            case "%f":
                result += "000000"
            case "%s":
                var local = parts
                local.tm_isdst = -1
                result += String(mktime(&local))
            default:
                var buffer = [CChar](repeating: 0, count: 128)
                let count = strftime(&buffer, buffer.count, specifier, &parts)
                result += String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
        }
        return result
    }
}
