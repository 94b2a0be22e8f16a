import Foundation
import TestSupport
import Testing

/// The modules of the core and their arrows, by the manifest.
@Suite struct ModuleTests {
    private static let core = "\(Fixtures.repository)/Sources/BridgeCore"

    /// The modules of the manifest in its order, each with what it uses.
    private static func modules() throws -> [(name: String, uses: [String])] {
        let manifest = try String(contentsOfFile: "\(core)/Package.swift", encoding: .utf8)
        let start = try #require(manifest.range(of: "let modules"))
        let end = try #require(manifest.range(of: "func dependency"))
        return manifest[start.upperBound..<end.lowerBound]
            .matches(of: /\(\s*"(\w+)",\s*\[([^\]]*)\]/)
            .map { (String($0.1), $0.2.matches(of: /"(\w+)"/).map { String($0.1) }) }
    }

    /// What each module reaches through the arrows of a graph.
    private static func reach(_ graph: [String: Set<String>]) -> [String: Set<String>] {
        var result = graph
        for _ in graph {
            for (name, uses) in result { result[name] = uses.reduce(uses) { $0.union(result[$1] ?? []) } }
        }
        return result
    }

    @Test func arrowsLeadOneWay() throws {
        var above: Set<String> = []
        let modules = try Self.modules()
        #expect(modules.count >= 13)
        for (name, uses) in modules {
            for use in uses where modules.contains(where: { $0.name == use }) {
                #expect(above.contains(use), "\(name) uses \(use), which is below it in the manifest")
            }
            above.insert(name)
        }
    }

    /// SwiftPM lets a file import whatever module was built before, whether its target declares it or not.
    @Test func aModuleImportsWhatItDeclaresAndNoMore() throws {
        let system: Set<String> = ["Glibc", "Synchronization", "Foundation"]
        for (name, uses) in try Self.modules() {
            var imported: Set<String> = []
            for (path, text) in try SourceTree.files("Sources/BridgeCore/\(name)") {
                let own = text.matches(of: /(?m)^(?:@_exported |public |package )*import (\w+)/).map { String($0.1) }
                imported.formUnion(own)
                let unknown = Set(own).subtracting(uses).subtracting(system)
                #expect(unknown.isEmpty, "\(path) imports \(unknown.sorted())")
            }
            #expect(Set(uses).subtracting(imported).isEmpty, "\(name) declares what it does not import")
        }
    }

    @Test func theDiagramIsThatOfTheManifest() throws {
        let readme = try String(contentsOfFile: "\(Self.core)/README.md", encoding: .utf8)
        let modules = try Self.modules()
        let names = Set(modules.map(\.name))
        let declared = Dictionary(modules.map { ($0.name, names.intersection($0.uses)) }) { $1 }
        var drawn = Dictionary(names.map { ($0, Set<String>()) }) { $1 }
        for arrow in readme.matches(of: /(?m)^ +(\w+) --> (\w+)$/) {
            drawn[String(arrow.1), default: []].insert(String(arrow.2))
        }
        #expect(Self.reach(drawn) == Self.reach(declared))
        for name in names { #expect(readme.contains("`\(name)`"), "README.md does not describe \(name)") }
    }

    @Test func noDirectoryHasMoreThanTwentyFiveFiles() throws {
        for root in ["Sources", "Plugins"] {
            let files = try SourceTree.files(root).map(\.path)
            let counts = Dictionary(grouping: files) { ($0 as NSString).deletingLastPathComponent }
            for (directory, files) in counts {
                #expect(files.count <= 25, "\(directory) has \(files.count) files")
            }
        }
    }
}
