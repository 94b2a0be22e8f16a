/// Sizes as people read them.
public enum ByteFormat {
    /// For example `7.70 GB`, in powers of ten as disks are sold.
    public static func text(_ bytes: Int) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        var value = Double(bytes)
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        guard unit > 0 else { return "\(bytes) B" }
        return "\(rounded(value, digits: value < 10 ? 2 : value < 100 ? 1 : 0)) \(units[unit])"
    }

    /// A number with its noun: `1 tensor`, `2 tensors`.
    public static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

    /// A number with a fixed count of digits after the decimal point.
    public static func rounded(_ value: Double, digits: Int) -> String {
        // Numbers without digits to round are unchanged: NaN, infinities, and those beyond the precision of a Double.
        guard value.magnitude < 1e15 else { return "\(value)" }
        var scale = 1.0
        let digits = min(max(digits, 0), 3)
        for _ in 0..<digits { scale *= 10 }
        let whole = Int((value.magnitude * scale).rounded())
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let fraction = String(whole % Int(scale))
        return "\(sign)\(whole / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }
}

extension Int {
    /// The digits with zeros before them, at least `count` characters.
    package func padded(to count: Int) -> String {
        let digits = String(self)
        return String(repeating: "0", count: Swift.max(0, count - digits.count)) + digits
    }
}
