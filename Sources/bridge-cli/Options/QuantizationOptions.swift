import ArgumentParser
import BridgeCore
import TensorRuntime

/// Weights of 8 or 4 bits.
struct QuantizationOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Quantize the weights of the language model to int8 or int4 while they are read. With int4, embedding and output layer \
            get 8 bits. The vision tower keeps its type.
            """,
            valueName: "type"
        )
    )
    var quantize: WeightType?

    @Option(
        name: .customLong("quantize-group-size"),
        help: ArgumentHelp(
            "Weights of a row that share a factor: 32, 64 or 128. (default: \(defaultGroupSize))",
            valueName: "n"
        )
    )
    var groupSize: Int?

    @Option(
        name: .customLong("quantize-exception"),
        help: ArgumentHelp(
            """
            Parameters with a type of their own, as Megatron-Core's names with * for any text: '*.linear_fc2.weight=int8'. The \
            type is int8, int4 or none. May be given several times; the first that fits counts.
            """,
            valueName: "names=type"
        )
    )
    var exceptions: [String] = []

    static let defaultGroupSize = 64

    /// The types of quantized weights.
    enum WeightType: String, ExpressibleByArgument, CaseIterable {
        case int8
        case int4

        var bits: Int { self == .int8 ? 8 : 4 }
    }

    func validate() throws {
        guard quantize != nil else {
            if groupSize != nil { throw ValidationError("--quantize-group-size requires --quantize") }
            if !exceptions.isEmpty { throw ValidationError("--quantize-exception requires --quantize") }
            return
        }
        _ = try choice()
    }

    /// The options in one line; nil for weights as they are.
    var summary: String? {
        quantize.map { type in
            (["\(type.rawValue) in groups of \(groupSize ?? Self.defaultGroupSize)"] + exceptions).joined(
                separator: ", "
            )
        }
    }

    /// The choice; nil for weights as they are.
    func choice() throws -> WeightQuantization? {
        try quantize.map {
            try WeightQuantization(
                $0,
                groupSize: groupSize ?? Self.defaultGroupSize,
                exceptions: exceptions,
                option: "--quantize-"
            )
        }
    }
}

extension WeightQuantization {
    /// The choice that options describe.
    ///
    /// - Parameters:
    ///   - type: The type of the layers' weights.
    ///   - groupSize: How many weights of a row share a factor.
    ///   - exceptions: Parameters with a type of their own, as `names=type`.
    ///   - option: How the names of the options begin, for messages.
    /// - Throws: `ValidationError` for what no kernel has or nobody can read.
    init(
        _ type: QuantizationOptions.WeightType,
        groupSize: Int,
        exceptions: [String],
        option: String
    ) throws {
        func format(_ type: QuantizationOptions.WeightType) throws -> QuantizedFormat {
            guard QuantizedFormat.groupSizes.contains(groupSize),
                let format = QuantizedFormat(bits: type.bits, groupSize: groupSize)
            else { throw ValidationError("\(option)group-size is \(groupSize), expected 32, 64 or 128") }
            return format
        }
        func exception(_ text: String) throws -> Exception {
            let parts = text.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            let type = parts.count == 2 ? QuantizationOptions.WeightType(rawValue: parts[1]) : nil
            guard parts.count == 2, !parts[0].isEmpty, type != nil || parts[1] == "none" else {
                throw ValidationError(
                    "\(option)exception is '\(text)', expected names=type with int8, int4 or none, such as "
                        + "'*.linear_fc2.weight=int8'"
                )
            }
            return Exception(names: NameGlob(parts[0]), format: try type.map(format))
        }
        self.init(layers: try format(type), tables: try format(.int8), exceptions: try exceptions.map(exception))
    }
}
