import Foundation
import TestSupport

/// The files of the repository that are its own, as text.
enum SourceTree {
    /// The files below a directory that end so, with their paths in the repository.
    static func files(_ directory: String, ending: String = ".swift") throws -> [(path: String, text: String)] {
        let root = "\(Fixtures.repository)/\(directory)"
        return try FileManager.default.subpathsOfDirectory(atPath: root)
            .filter { $0.hasSuffix(ending) && !$0.contains(".build/") && !$0.hasPrefix("Snippets/") }
            .map { ("\(directory)/\($0)", try String(contentsOfFile: "\(root)/\($0)", encoding: .utf8)) }
    }
}
