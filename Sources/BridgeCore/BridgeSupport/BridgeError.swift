/// An error: what was found, what was expected and what to do, in one sentence.
public struct BridgeError: Error, Sendable, CustomStringConvertible {
    /// The kind of an error; the command line turns it into an exit status.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        /// The code's name, as in `--json` output.
        public let description: String

        private init(_ name: String) { description = name }

        /// A path that does not exist, cannot be read or cannot be written, or a full disk.
        public static let fileSystem = Code("file_system")
        /// A file whose content cannot be what it claims to be.
        public static let corruptInput = Code("corrupt_input")
        /// A configuration that lacks a key, or has a value that is not supported.
        public static let badConfiguration = Code("bad_configuration")
        /// Tensors that no rule accounts for, or parameters that no tensor fills.
        public static let unaccountedTensors = Code("unaccounted_tensors")
        /// A layout that this model cannot be split into.
        public static let badLayout = Code("bad_layout")
        /// An architecture that no loaded plugin knows.
        public static let unsupportedArchitecture = Code("unsupported_architecture")
        /// A plugin file that cannot be used.
        public static let badPlugin = Code("bad_plugin")
        /// Two checkpoints that should be equal and are not, or a checksum that does not fit.
        public static let verificationFailed = Code("verification_failed")
        /// A destination that already exists or that another run is writing.
        public static let destinationTaken = Code("destination_taken")
        /// The caller cancelled the run.
        public static let cancelled = Code("cancelled")
        /// A training run whose loss is not finite in consecutive steps.
        public static let trainingDiverged = Code("training_diverged")
        /// A server that cannot be reached, refuses, or gives something else than it promised.
        public static let network = Code("network")
        /// A data set that has no split of the name.
        public static let missingSplit = Code("missing_split")
        /// A rank of a parallel run that ended, failed or did not answer.
        public static let rankFailed = Code("rank_failed")
        /// An error that another rank reports.
        public static let reportedByOtherRank = Code("reported_by_other_rank")
        /// Arguments that contradict each other.
        public static let badArgument = Code("bad_argument")
    }

    /// The kind of the error.
    public var code: Code
    /// The sentence for the user.
    public var message: String
    /// The tensors, parameters or files that it is about, all of them.
    public var names: [String]
    /// The underlying error, if there is one.
    public var cause: (any Error)?
    /// The source position where it was thrown, for developers of Bridge.
    public var location: String

    /// An error, with the position of the call as its location.
    public init(
        _ code: Code,
        _ message: String,
        names: [String] = [],
        cause: (any Error)? = nil,
        fileID: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.names = names
        self.cause = cause
        location = "\(fileID):\(line)"
    }

    /// The same error with the location of what it is about.
    public func prefixed(by location: String) -> BridgeError {
        var error = self
        error.message = "\(location): \(message)"
        return error
    }

    /// The sentence, the names below it and the cause.
    public var description: String {
        var lines = [message]
        lines += names.map { "  \($0)" }
        if let cause { lines.append("  cause: \(cause)") }
        return lines.joined(separator: "\n")
    }
}
