public import JSONTree

extension JSON {
    /// The JSON in a file.
    ///
    /// - Throws: `BridgeError` naming the file, the byte and what is wrong there.
    public init(contentsOf path: String, limit: Int = 512 << 20) throws {
        try self.init(parsing: Files.contents(of: path, limit: limit), named: path)
    }

    /// The JSON in bytes of the file or location `name`.
    package init(parsing bytes: [UInt8], named name: String) throws {
        do throws(JSONError) {
            try self.init(parsing: bytes)
        } catch {
            throw BridgeError(.corruptInput, "\(name) is not valid JSON: \(error)")
        }
    }
}
