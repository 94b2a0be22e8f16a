public import Foundation
public import JSONTree

/// The committed checkpoints and recorded values, see `Tests/Fixtures/README.md`.
///
/// Whatever lists cases throws where there are none, since a test without cases passes.
public enum Fixtures {
    /// What is missing.
    public struct Missing: Error, CustomStringConvertible {
        /// The sentence.
        public let description: String
    }

    /// The repository.
    public static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// `Tests/Fixtures`.
    public static let root = "\(repository)/Tests/Fixtures"

    /// The directory of a checkpoint.
    public static func checkpoint(_ name: String) -> String { "\(root)/checkpoints/\(name)" }

    /// The names of all checkpoints.
    public static var all: [String] { get throws { try names("checkpoints") } }

    /// The checkpoints that come back byte for byte: not the quantised ones, and not the one that holds a second format.
    public static var exact: [String] {
        get throws { try all.filter { !$0.contains("fp8") && $0 != "mistral-both-formats" } }
    }

    /// What a directory of the fixtures contains, sorted.
    public static func names(_ directory: String) throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(root)/\(directory)").sorted()
        guard !names.isEmpty else { throw Missing(description: "\(root)/\(directory) is empty") }
        return names
    }

    /// A JSON file of the fixtures.
    public static func json(_ file: String) throws -> JSON {
        try JSON(parsing: [UInt8](Data(contentsOf: URL(filePath: "\(root)/\(file)"))))
    }

    /// The elements of a JSON file of the fixtures, or of an array in it.
    public static func cases(_ file: String, _ key: String? = nil) throws -> [JSON] {
        let json = try json(file)
        guard let cases = (key.map { json[$0] } ?? json)?.array, !cases.isEmpty else {
            throw Missing(description: "\(root)/\(file) has no cases\(key.map { " below \($0)" } ?? "")")
        }
        return cases
    }
}

/// The paths below a directory with the content of each file.
public func contents(of directory: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
        let path = "\(directory)/\(name)"
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else {
            continue
        }
        files[name] = try Data(contentsOf: URL(filePath: path))
    }
    return files
}
