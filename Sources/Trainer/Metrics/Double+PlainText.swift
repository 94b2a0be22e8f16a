extension Double {
    /// The number as a text, without the sign and the payload that Swift gives one that is not a number.
    var plainText: String { isNaN ? "nan" : "\(self)" }
}
