package import BridgeCore

extension BridgeError {
    /// The error for a column with a value of another kind.
    static func column(_ name: String, holdsNo expected: String) -> BridgeError {
        BridgeError(.corruptInput, "the column \(name) holds no \(expected)")
    }

    /// The same error with the location of the row of data that it is about.
    ///
    /// A row that cannot be used is damaged input, whatever refuses it: the reader, the chat template or the processor.
    package func inRow(_ location: String) -> BridgeError {
        var error = prefixed(by: location)
        if code == .badArgument { error.code = .corruptInput }
        return error
    }
}
