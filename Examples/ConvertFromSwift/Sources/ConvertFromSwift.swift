import BridgeCore
import Foundation
import TensorRuntime

/// Converts a Hugging Face directory to Megatron and back, and checks that the result is equal.
@main
enum ConvertFromSwift {
    static func main() throws {
        guard CommandLine.arguments.count == 2 else {
            print("usage: convert-from-swift DIRECTORY")
            exit(64)
        }
        exit(try comesBack(CommandLine.arguments[1]) ? 0 : 1)
    }

    /// Converts in a temporary directory, which is removed at the end.
    private static func comesBack(_ source: String) throws -> Bool {
        let directory = FileManager.default.temporaryDirectory.appending(
            path: "convert-from-swift-\(UUID().uuidString)"
        )
        .path
        defer { try? FileManager.default.removeItem(atPath: directory) }

        let bridge = try AutoBridge.fromHF(source)
        print("\(source) is a \(bridge.architecture) with \(bridge.toProvider().decoder.numLayers) layers")

        // The plan is made from headers; nothing is written yet.
        let options = ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 2))
        let plan = try bridge.plan(options)
        print("\(plan.lines.count) parameters, \(ByteFormat.text(plan.byteCount)) in \(plan.files.count) files")

        let report = try bridge.importCheckpoint(to: "\(directory)/megatron", options: options)
        print("wrote \(report.destination)")

        var count = 0
        for weight in try bridge.exportWeights(from: "\(directory)/megatron") { count += try weight.bytes().count }
        print("read \(count) bytes of weights back, one tensor at a time")

        try bridge.saveHF("\(directory)/megatron", to: "\(directory)/again")
        let catalog = try PluginCatalog.standard()
        let result = try Verifier(
            Checkpoint(path: source, catalog: catalog),
            Checkpoint(path: "\(directory)/again", catalog: catalog)
        ).run()
        print(result.isEqual ? "all \(result.compared) tensors are equal" : "tensors differ: \(result.rows)")
        return result.isEqual
    }
}
