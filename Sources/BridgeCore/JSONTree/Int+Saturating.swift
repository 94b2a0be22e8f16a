extension Int {
    /// The closest integer to a number from outside, without its fraction.
    ///
    /// Swift's own conversion ends the program for NaN, infinities and values out of range. Here NaN becomes 0, and
    /// values out of range become the largest or smallest integer.
    public init(saturating value: some BinaryFloatingPoint) {
        if value.isNaN {
            self = 0
        } else if value >= 0x1p63 {
            self = .max
        } else if value < -0x1p63 {
            self = .min
        } else {
            self = Int(value)
        }
    }
}
