public import BridgeCore
import Foundation
public import TensorRuntime

/// Checks that the families of plugins keep the rules of the core, on toys of each family and on given checkpoints.
///
/// ```swift
/// let catalog = try PluginCatalog(linked: [MyPlugin()])
/// let results = try ConformanceSuite(catalog: catalog, engine: CPUEngine(threadCount: 2)).run()
/// for finding in results.flatMap(\.findings) { print(finding.sentence) }
/// ```
public struct ConformanceSuite: Sendable {
    private let catalog: PluginCatalog
    private let engine: any TensorEngine
    private let fixtures: [ReferenceFixture]

    /// A suite.
    ///
    /// - Parameters:
    ///   - catalog: The plugins.
    ///   - engine: The engine that computes.
    ///   - fixtures: Checkpoints, each checked with the family of its architecture.
    public init(catalog: PluginCatalog, engine: any TensorEngine, fixtures: [ReferenceFixture] = []) {
        self.catalog = catalog
        self.engine = engine
        self.fixtures = fixtures
    }

    /// Checks every rule.
    ///
    /// Temporary files are below the system's temporary directory and are removed at the end.
    ///
    /// - Parameters:
    ///   - families: The names of the families; nil for all of the catalog.
    ///   - willCheck: Called before each rule.
    ///   - didCheck: Called with each result.
    /// - Returns: The results, family by family, in the order of the rules.
    /// - Throws: `BridgeError` for a family that does not exist, a fixture that cannot be opened, and files that cannot be
    ///   written; a broken rule is a result.
    public func run(
        families: [String]? = nil,
        willCheck: (_ family: String, _ rule: ConformanceRule) -> Void = { _, _ in },
        didCheck: (ConformanceResult) -> Void = { _ in }
    ) throws -> [ConformanceResult] {
        let known = catalog.bridges.map(\.name)
        for name in families ?? [] where !known.contains(name) {
            throw BridgeError(
                .badArgument,
                "there is no family \(name); the plugins have \(known.sorted().joined(separator: ", "))"
            )
        }
        let homes = try fixtures.map { fixture in
            try AutoBridge.forProcessing(fixture.checkpoint, catalog: catalog).bridge.name
        }
        let scratch = FileManager.default.temporaryDirectory.appending(
            path: "bridge-conformance-\(UUID().uuidString)"
        ).path
        try Files.createDirectory(scratch)
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        var results: [ConformanceResult] = []
        for bridge in catalog.bridges where families?.contains(bridge.name) ?? true {
            let own = zip(fixtures, homes).filter { $1 == bridge.name }.map(\.0)
            let directory = Files.join(scratch, "\(results.count)")
            try Files.createDirectory(directory)
            results += try check(bridge, own, directory, willCheck, didCheck)
        }
        return results
    }

    private func check<Bridge: ModelBridge>(
        _ bridge: Bridge,
        _ fixtures: [ReferenceFixture],
        _ scratch: String,
        _ willCheck: (String, ConformanceRule) -> Void,
        _ didCheck: (ConformanceResult) -> Void
    ) throws -> [ConformanceResult] {
        let family = FamilyUnderTest(bridge, catalog: catalog, engine: engine, fixtures: fixtures, scratch: scratch)
        var results: [ConformanceResult] = []
        for rule in ConformanceRule.allCases {
            willCheck(bridge.name, rule)
            let missing = rule.requirements.filter { needed in
                results.contains { $0.rule == needed && $0.outcome != .kept }
            }
            let outcome: ConformanceResult.Outcome
            if [.checkpoint, .parity].contains(rule), fixtures.isEmpty {
                outcome = .skipped("there is no fixture")
            } else if let first = missing.first {
                outcome = .skipped(reason(for: first, in: results))
            } else {
                outcome = family.outcome(of: rule)
            }
            let result = ConformanceResult(family: bridge.name, rule: rule, outcome: outcome)
            didCheck(result)
            results.append(result)
        }
        return results
    }

    /// Why a rule is not checked that needs the other one.
    private func reason(for needed: ConformanceRule, in results: [ConformanceResult]) -> String {
        // What the other rule needs, where it was not checked itself.
        if case .skipped(let reason)? = results.last(where: { $0.rule == needed })?.outcome { return reason }
        return "because this is broken: \(needed.summary)"
    }
}
