import BridgeCore
import ModelCards
import TestSupport
import Testing

/// What the program does with a family that is converted and not run.
@Suite struct ConvertedFamilyTests {
    @Test func theCardHasTheConversionsAndSkipsTheRestWithTheReason() throws {
        let scratch = try TemporaryDirectory()
        let catalog = try PluginCatalog(linked: [ConvertedPlugin()])
        try ToyModel(family: "converted", options: .init(seed: 1), catalog: catalog).write(to: scratch.path("toy"))
        try Files.createDirectory(scratch.path("files"))
        var options = CardMeasurement.Options()
        options.layouts = [CardLayout()]
        let rows = try CardMeasurement(
            scratch.path("toy"),
            catalog: catalog,
            scratch: scratch.path("files"),
            options: options
        ).run()
        #expect(rows.prefix(3).map(\.outcome) == [.passed, .passed, .passed])
        let reason =
            "models of this family can be converted and not run: its layers have no norms before attention and MLP"
        for row in rows.dropFirst(3) where [.forward, .generation, .sft, .lora].contains(row.check) {
            #expect(row.outcome == .skipped(reason), "\(row.check)")
        }
        #expect(!rows.contains { if case .failed = $0.outcome { true } else { false } })
        #expect(catalog.bridges.map(\.conversionOnly) == ["its layers have no norms before attention and MLP"])
    }
}
