import BridgeCore
import Communication
import Foundation
import TensorRuntime

/// Divides a model over two tensor-parallel ranks and compares its logits with those of one rank.
///
///     swift run distributed-model DIRECTORY
///
/// The ranks are threads. As processes they are the same program with `MPIWorld(timeout: RankTimeout())` as the world,
/// started with `mpirun -np 2` beside the library BridgeMPI of the main package.
@main
enum DistributedModel {
    static func main() throws {
        guard CommandLine.arguments.count == 2 else {
            print("usage: distributed-model DIRECTORY")
            exit(64)
        }
        let source = CommandLine.arguments[1]
        let expected = try AutoBridge.fromHF(source).toModel(elementType: .float32, on: CPUEngine(threadCount: 1))
            .forward(TokenBatch(tokens: tokens)).logits.floats()
        let ranks = try ThreadWorld.run(2) { try logits(of: source, in: $0) }
        for (rank, found) in ranks.enumerated() {
            let scale = expected.map(abs).max() ?? 0
            let difference = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
            print("rank \(rank): \(found.count) logits, at most \(difference) from those of one rank")
            guard found.count == expected.count, difference <= 1e-5 * scale else { exit(1) }
        }
    }

    private static let tokens: [Int32] = [5, 17, 42, 99, 7]

    /// What each rank does: all make the same calls, and all have the logits.
    private static func logits(of source: String, in world: any RankWorld) throws -> [Float] {
        let bridge = try AutoBridge.fromHF(source)
        var provider = bridge.toMegatronProvider()
        provider.tensorModelParallelSize = world.size
        let model = try provider.provideDistributedModel(
            in: world,
            elementType: .float32,
            on: CPUEngine(threadCount: 1)
        )
        try bridge.loadWeights(into: model)
        let count = model.parameters.reduce(0) { $0 + $1.tensor.count }
        print("rank \(world.rank) of \(world.size) has \(count) parameters")
        return try model.forward(TokenBatch(tokens: tokens)).logits.floats()
    }
}
