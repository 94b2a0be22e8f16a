package import BridgeCore
package import JSONTree

/// The directory of a data set's images.
package enum ImagePaths {
    /// The directory that paths are relative to: the configured one, else that of the data.
    package static func directory(_ asked: String, for path: String) -> String {
        guard asked.isEmpty else { return asked }
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(path[...slash])
    }

    /// An image as a row names it: a path, an address, a `data:` URL, or an object that holds one of these or base64.
    ///
    /// - Throws: `BridgeError` when it names nothing.
    package static func source(_ json: JSON, in directory: String) throws -> ImageSource {
        if let text = json.string { return try source(text, in: directory) }
        if let base64 = json["base64"]?.string ?? json["bytes"]?.string {
            return try ImageSource(base64: base64, name: "an image in base64")
        }
        if let text = names.lazy.compactMap({ json[$0]?.string }).first {
            return try source(text, in: directory)
        }
        throw BridgeError(.corruptInput, "an image is \(json.kind), expected a path, an address or an object with one")
    }

    /// The keys of an object that names an image by a path or an address, the first one first.
    private static let names = ["path", "image", "url", "file_name"]

    /// The keys of an object that names an image that are used: that of the image, and the name of its file beside its bytes.
    static func usedKeys(of json: JSON) -> [String] {
        if let key = ["base64", "bytes"].first(where: { json[$0]?.string != nil }) {
            return [key, "path", "file_name"]
        }
        return names.first { json[$0]?.string != nil }.map { [$0] } ?? []
    }

    private static func source(_ text: String, in directory: String) throws -> ImageSource {
        let source = try ImageSource(text)
        guard case .file(let path) = source, !path.hasPrefix("/"), !directory.isEmpty else { return source }
        return .file(directory.hasSuffix("/") ? directory + path : "\(directory)/\(path)")
    }
}

extension JSON {
    /// The images of a field: a list, one alone, or none.
    package var imageList: [JSON] { isNull ? [] : array ?? [self] }
}
