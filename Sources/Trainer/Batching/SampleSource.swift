/// Where samples come from: a data set that has been opened and checked.
///
/// A sample is made when it is asked for, on whatever thread asks, and is the same each time.
public protocol SampleSource: Sendable {
    /// How many samples there are.
    var count: Int { get }
    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` that names file and line of a row that cannot be used.
    func sample(at row: Int) throws -> TrainingSample
    /// Words that say where a row stands, such as a file and a line.
    func location(of row: Int) -> String
}

extension SampleSource {
    /// The row's number.
    public func location(of row: Int) -> String { "row \(row)" }
}
