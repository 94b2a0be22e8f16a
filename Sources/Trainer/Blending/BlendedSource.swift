import BridgeCore

/// The samples of several sources in one order.
struct BlendedSource: SampleSource {
    private let sources: [any SampleSource]
    private let order: BlendOrder

    /// A blend.
    ///
    /// - Parameters:
    ///   - sources: The sources.
    ///   - section: The section `dataset` of the recipe, with the weights.
    ///   - seed: The seed of the choices by weight, where the section has none.
    /// - Throws: `BridgeError` for an order that would be too long.
    init(_ sources: [any SampleSource], _ section: Recipe.DatasetSection, seed: UInt64) throws {
        self.sources = sources
        order = try BlendOrder(
            counts: sources.map(\.count),
            blend: section.blend,
            weights: section.sourceWeights,
            seed: section.blendSeed ?? seed
        )
    }

    var count: Int { order.samples.count }
    // A row with one sample is the same packed and not packed.
    var isPacked: Bool { sources.contains(where: \.isPacked) }

    func sample(at row: Int) throws -> TrainingSample {
        let (source, row) = order.samples[row]
        return try sources[source].sample(at: row)
    }

    func samples(at row: Int) throws -> [TrainingSample] {
        let (source, row) = order.samples[row]
        return try sources[source].samples(at: row)
    }

    func lengths(at row: Int) throws -> [Int] {
        let (source, row) = order.samples[row]
        return try sources[source].lengths(at: row)
    }

    func imageFiles(at row: Int) throws -> [String] {
        let (source, row) = order.samples[row]
        return try sources[source].imageFiles(at: row)
    }

    func location(of row: Int) -> String {
        let (source, row) = order.samples[row]
        return sources[source].location(of: row)
    }
}
