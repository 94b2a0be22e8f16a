package import BridgeCore

extension BridgeError {
    /// The same error with the location of the row of data that it is about.
    ///
    /// A row that cannot be used is damaged input, whatever refuses it: the reader, the chat template or the processor.
    package func inRow(_ location: String) -> BridgeError {
        BridgeError(
            code == .badArgument ? .corruptInput : code,
            "\(location): \(message)",
            names: names,
            cause: cause
        )
    }
}
