import Glibc

/// A format specification of Python, as `str.format` and `%` have it, for the kinds that templates use.
struct PythonFormat {
    /// A specification that is not supported here, or that Python refuses.
    struct Refusal: Error {
        var message: String
    }

    var fill: Unicode.Scalar = " "
    var align: Unicode.Scalar?
    var sign: Unicode.Scalar = "-"
    var isAlternate = false
    var width = 0
    var grouping: Unicode.Scalar?
    var precision: Int?
    var type: Unicode.Scalar?

    /// The most digits after the decimal point, and the largest width, both far above the caller's limits.
    private static let mostDigits = 1000

    init() {}

    /// Reads `[[fill]align][sign][#][0][width][,][.precision][type]`.
    init(specification: some StringProtocol) throws(Refusal) {
        var rest = Array(specification.unicodeScalars)[...]
        let aligns: Set<Unicode.Scalar> = ["<", ">", "^", "="]
        if rest.count > 1, aligns.contains(rest[rest.startIndex + 1]) {
            fill = rest.removeFirst()
            align = rest.removeFirst()
        } else if let first = rest.first, aligns.contains(first) {
            align = rest.removeFirst()
        }
        if let first = rest.first, ["+", "-", " "].contains(first) { sign = rest.removeFirst() }
        if rest.first == "#" {
            isAlternate = true
            rest.removeFirst()
        }
        if rest.first == "0" {
            rest.removeFirst()
            if align == nil { (fill, align) = ("0", "=") }
        }
        width = try Self.number(&rest) ?? 0
        if let first = rest.first, [",", "_"].contains(first) { grouping = rest.removeFirst() }
        if rest.first == "." {
            rest.removeFirst()
            guard let digits = try Self.number(&rest) else {
                throw Refusal(message: "Format specifier missing precision")
            }
            precision = digits
        }
        type = rest.popFirst()
        guard rest.isEmpty else { throw Refusal(message: "Invalid format specifier '\(specification)'") }
    }

    /// A number at the start of a text; nil where there is none.
    static func number(_ rest: inout ArraySlice<Unicode.Scalar>) throws(Refusal) -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest.dropFirst(digits.count)
        guard !digits.isEmpty else { return nil }
        guard let number = Int(PythonText.string(digits)), number <= 1 << 40 else {
            throw Refusal(message: "Too many decimal digits in format string")
        }
        return number
    }

    /// A value as the specification has it; `other` makes the text of what is not a number or a text.
    func text(of value: TemplateValue) throws(Refusal) -> String {
        if let text = value.text { return try self.text(text) }
        if let digits = value.wholeDigits {
            guard let type, !["d", "n", "i", "u"].contains(type) else { return try whole(digits) }
            switch type {
            case "b", "o", "x", "X":
                guard let integer = value.integer else {
                    throw Refusal(message: "a number of more than 64 bits is not supported for '\(type)'")
                }
                return try whole(integer, radix: type == "b" ? 2 : type == "o" ? 8 : 16)
            case "c":
                guard let integer = value.integer, let scalar = UInt32(exactly: integer).flatMap(Unicode.Scalar.init)
                else {
                    throw Refusal(message: "%c arg not in range(0x110000)")
                }
                return padded("", String(Character(scalar)), defaultAlign: "<")
            case "s": throw Refusal(message: "Unknown format code 's' for object of type 'int'")
            default: return try real(value.number ?? 0)
            }
        }
        if case .double(let number) = value { return try real(number) }
        throw Refusal(message: "unsupported format string passed to \(value.typeName).__format__")
    }

    private func text(_ text: String) throws(Refusal) -> String {
        guard type == nil || type == "s" else {
            throw Refusal(message: "Unknown format code '\(type ?? "s")' for object of type 'str'")
        }
        guard align != "=", grouping == nil, !isAlternate, sign == "-" else {
            throw Refusal(message: "the sign, '=', '#' and ',' are not allowed in a string format specifier")
        }
        let cut = precision.map { PythonText.string(text.unicodeScalars.prefix($0)) } ?? text
        return padded("", cut, defaultAlign: "<")
    }

    private func whole(_ digits: String) throws(Refusal) -> String {
        guard precision == nil else { throw Refusal(message: "Precision not allowed in integer format specifier") }
        let isNegative = digits.hasPrefix("-")
        return try number(isNegative, isNegative ? String(digits.dropFirst()) : digits, "", size: 3)
    }

    private func whole(_ integer: Int, radix: Int) throws(Refusal) -> String {
        guard precision == nil else { throw Refusal(message: "Precision not allowed in integer format specifier") }
        let digits = String(integer.magnitude, radix: radix, uppercase: type == "X")
        let prefix = isAlternate ? "0\(type.map { String(Character($0)) } ?? "")" : ""
        return try number(integer < 0, digits, prefix, size: 4)
    }

    private func real(_ number: Double) throws(Refusal) -> String {
        guard let type else {
            guard precision == nil else {
                throw Refusal(message: "a precision without a type is not supported; write 'f' or 'g' after it")
            }
            return try self.number(number.sign == .minus, TemplateValue.printed(number.magnitude), "", size: 3)
        }
        guard ["e", "E", "f", "F", "g", "G", "n", "%"].contains(type) else {
            throw Refusal(message: "Unknown format code '\(type)' for object of type 'float'")
        }
        let conversion: Unicode.Scalar = type == "%" ? "f" : type == "n" ? "g" : type
        let magnitude = type == "%" ? number.magnitude * 100 : number.magnitude
        let text = try Self.printed(magnitude, conversion, precision ?? 6, isAlternate: isAlternate)
        return try self.number(number.sign == .minus && !number.isNaN, text + (type == "%" ? "%" : ""), "", size: 3)
    }

    /// A number as C's `printf` formats it, which is Python's format.
    static func printed(
        _ number: Double,
        _ conversion: Unicode.Scalar,
        _ precision: Int,
        isAlternate: Bool = false
    ) throws(Refusal) -> String {
        guard precision <= mostDigits else {
            throw Refusal(message: "a precision of \(precision) is not supported; at most \(mostDigits) is")
        }
        var buffer = [CChar](repeating: 0, count: precision + 400)
        let format = "%\(isAlternate ? "#" : "").*\(Character(conversion))"
        let count = withVaList([Int32(precision), number]) { vsnprintf(&buffer, buffer.count, format, $0) }
        let bytes = buffer.prefix(max(0, min(Int(count), buffer.count - 1))).map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Adds sign, digit groups and padding to the digits of a number.
    private func number(_ isNegative: Bool, _ digits: String, _ prefix: String, size: Int) throws(Refusal) -> String {
        let sign = isNegative ? "-" : self.sign == "-" ? "" : String(Character(self.sign))
        guard let grouping else { return padded(sign + prefix, digits, defaultAlign: ">") }
        let whole = digits.prefix { $0.isHexDigit }
        guard align != "=" || sign.count + prefix.count + digits.count >= width else {
            throw Refusal(message: "digit groups in a field that is filled with zeros are not supported")
        }
        var grouped = ""
        for (index, digit) in whole.enumerated() {
            if index > 0, (whole.count - index) % size == 0 { grouped.unicodeScalars.append(grouping) }
            grouped.append(digit)
        }
        return padded(sign + prefix, grouped + digits.dropFirst(whole.count), defaultAlign: ">")
    }

    private func padded(_ sign: String, _ text: String, defaultAlign: Unicode.Scalar) -> String {
        let missing = width - sign.unicodeScalars.count - text.unicodeScalars.count
        guard missing > 0 else { return sign + text }
        func fills(_ count: Int) -> String { String(repeating: String(Character(fill)), count: count) }
        switch align ?? defaultAlign {
        case "<": return sign + text + fills(missing)
        case "^": return fills(missing / 2) + sign + text + fills(missing - missing / 2)
        case "=": return sign + fills(missing) + text
        default: return fills(missing) + sign + text
        }
    }
}
