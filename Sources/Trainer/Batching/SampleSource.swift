import BridgeCore

/// An opened and checked data set of samples.
///
/// A sample is made on request, on the thread of the caller, and is the same each time.
public protocol SampleSource: Sendable {
    /// The number of samples.
    var count: Int { get }
    /// Whether the samples of a row share a row of a micro-batch.
    var isPacked: Bool { get }
    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` with file and line of a row that cannot be used.
    func sample(at row: Int) throws -> TrainingSample
    /// The samples of a row: one, or two of a pair of answers.
    ///
    /// - Throws: As ``sample(at:)``.
    func samples(at row: Int) throws -> [TrainingSample]
    /// The number of tokens of each of ``samples(at:)``.
    ///
    /// - Throws: As ``sample(at:)``.
    func lengths(at row: Int) throws -> [Int]
    /// The files of the images of a row.
    ///
    /// - Throws: As ``sample(at:)``.
    func imageFiles(at row: Int) throws -> [String]
    /// The location of a row, such as a file and a line.
    func location(of row: Int) -> String
}

extension SampleSource {
    /// Each sample has a row of its own.
    public var isPacked: Bool { false }

    /// The row's one sample.
    public func samples(at row: Int) throws -> [TrainingSample] { [try sample(at: row)] }

    /// The lengths of the samples, which are made for it.
    public func lengths(at row: Int) throws -> [Int] { try samples(at: row).map(\.tokens.count) }

    /// None.
    public func imageFiles(at row: Int) throws -> [String] { [] }

    /// The row's number.
    public func location(of row: Int) -> String { "row \(row)" }
}

extension Sequence<ImageSource> {
    /// Those that are files.
    var files: [String] {
        compactMap { source in
            guard case .file(let path) = source else { return nil }
            return path
        }
    }
}
