import BridgeCore
import TensorRuntime

// The rule of reference logits.
extension FamilyUnderTest {
    func parity() throws -> [ConformanceFinding] {
        var findings: [ConformanceFinding] = []
        var compared = 0
        for fixture in fixtures {
            guard let reference = fixture.reference else { continue }
            let cases = try ReferenceCase.all(in: reference, on: engine)
            let model = try AutoBridge.fromHF(fixture.checkpoint, catalog: catalog)
                .toModel(elementType: .float32, on: engine)
            for test in cases {
                compared += 1
                let (difference, scale) = try test.gap(of: model)
                guard difference > Self.tolerance * scale else { continue }
                let far =
                    "\(test.prefix)logits differ from the reference by \(difference), expected at most \(Self.tolerance) of "
                    + "the largest, \(scale)"
                let found = try ParityDiagnosis(
                    table: table.mappings,
                    model: model,
                    test: test,
                    tolerance: Self.tolerance
                )
                .explanation()
                guard let found else {
                    let state = try test.firstDifferentState(of: model, tolerance: Self.tolerance)
                    let place = state.map { "; the first state that differs is hidden_states.\($0)" } ?? ""
                    findings.append(ConformanceFinding(far + place))
                    break
                }
                findings.append(
                    ConformanceFinding("\(far); \(found.text)", line: found.line.map { line($0.index, of: $0.mapping) })
                )
                break
            }
        }
        guard compared > 0 else { throw SkippedRule(reason: "no fixture has reference logits") }
        return findings
    }
}

/// Finds which common mistake explains wrong logits, by undoing one after the other in a loaded model.
struct ParityDiagnosis {
    private typealias Change = (parameter: Parameter, tensor: Tensor)

    private let table: [ParameterMapping]
    private let model: any CausalModel
    private let test: ReferenceCase
    private let tolerance: Float
    private let parameters: [String: Parameter]

    init(table: [ParameterMapping], model: any CausalModel, test: ReferenceCase, tolerance: Float) {
        self.table = table
        self.model = model
        self.test = test
        self.tolerance = tolerance
        parameters = Dictionary(model.parameters.map { ($0.name, $0) }) { first, _ in first }
    }

    /// An explanation, and the line of the parameter table that has the mistake.
    typealias Explanation = (text: String, line: (index: Int, mapping: ParameterMapping)?)

    /// The first mistake that explains the logits; nil where none does.
    func explanation() throws -> Explanation? {
        for (offset, name) in [(-1 as Float, "subtracted from"), (1, "added to")] {
            let changes = model.decoder.parameters.filter { $0.tensor.rank == 1 && !$0.name.contains("bias") }.map {
                (parameter: $0, tensor: replaced($0) { $0.map { $0 + offset } })
            }
            if try explains(changes) {
                return ("they agree when 1 is \(name) the weights of all norms; correct gainOffset of the norms", nil)
            }
        }
        for (index, mapping) in table.enumerated() {
            let groups = pieces(of: mapping)
            guard let first = groups.first else { continue }
            for (one, other) in [(0, 1), (1, 2), (0, 2)] where other < first.count {
                let names = "\(mapping.huggingFace[one]) and \(mapping.huggingFace[other])"
                guard first[one].tensor.shape == first[other].tensor.shape else { continue }
                let swapped = groups.flatMap { group in
                    [(group[one], group[other].tensor), (group[other], group[one].tensor)] as [Change]
                }
                if try explains(swapped) {
                    return ("they agree when \(names) are swapped; correct the order of the tensors", (index, mapping))
                }
            }
            for piece in first.indices where first[piece].tensor.rank == 2 {
                guard first[piece].tensor.shape[0] == first[piece].tensor.shape[1] else { continue }
                let changes = groups.map { (parameter: $0[piece], tensor: transposed($0[piece])) }
                if try explains(changes) {
                    return (
                        "they agree when \(mapping.huggingFace[min(piece, mapping.huggingFace.count - 1)]) is transposed; use "
                            + "Rename or Transpose accordingly", (index, mapping)
                    )
                }
            }
            guard first.count == 3, first[0].tensor.rank == 2 else { continue }
            let pairing = RotaryPairing(headWidth: model.decoder.configuration.kvChannels)
            for (isJoined, advice) in [(false, "set rotaryPairs: true"), (true, "set rotaryPairs: false")] {
                let moved = groups.flatMap { group in
                    group.prefix(2).map { (parameter: $0, tensor: rearranged($0, pairing, isJoined)) }
                }
                if try explains(moved) {
                    return ("they agree when the rotary pairs of query and key are moved; \(advice)", (index, mapping))
                }
            }
        }
        return nil
    }

    /// The parameters that the model has of a line, layer by layer.
    private func pieces(of mapping: ParameterMapping) -> [[Parameter]] {
        ParameterTable(mappings: [mapping]).entries.compactMap { entry in
            if let whole = parameters[entry.megatron] { return [whole] }
            let parts = entry.huggingFace.indices.compactMap { parameters[entry.pieceName($0)] }
            return parts.isEmpty ? nil : parts
        }
    }

    /// Whether the logits are those of the reference with some parameters changed, which are then as before.
    private func explains(_ changes: [Change]) throws -> Bool {
        let before = changes.map { ($0.parameter, $0.parameter.tensor) }
        for change in changes { change.parameter.replace(with: change.tensor) }
        defer { for (parameter, tensor) in before { parameter.replace(with: tensor) } }
        let (difference, scale) = try test.gap(of: model)
        return difference <= tolerance * scale
    }

    private func replaced(_ parameter: Parameter, _ change: ([Float]) -> [Float]) -> Tensor {
        let tensor = parameter.tensor
        return Tensor(change(tensor.floats()), shape: tensor.shape, tensor.elementType, on: tensor.engine)
    }

    private func transposed(_ parameter: Parameter) -> Tensor {
        let side = parameter.tensor.shape[0]
        return replaced(parameter) { values in values.indices.map { values[$0 % side * side + $0 / side] } }
    }

    private func rearranged(_ parameter: Parameter, _ pairing: RotaryPairing, _ isJoined: Bool) -> Tensor {
        let (rows, columns) = (parameter.tensor.shape[0], parameter.tensor.shape[1])
        // The rearrangement as the numbers of the rows.
        let bytes = (0..<Int32(rows)).flatMap { number in withUnsafeBytes(of: number) { Array($0) } }
        let numbers = TensorView(
            StoredTensor(
                name: "rows",
                elementType: .int32,
                shape: [rows],
                storage: MemoryStorage(name: "rows", bytes: bytes),
                offset: 0
            )
        )
        let moved = isJoined ? pairing.joined(numbers) : pairing.separated(numbers)
        let order =
            (try? TensorReader().bytes(of: moved))?.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) } ?? []
        return replaced(parameter) { values in
            order.flatMap { row in values[Int(row) * columns..<(Int(row) + 1) * columns] }
        }
    }
}
