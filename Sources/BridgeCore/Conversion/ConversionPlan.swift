public import BridgeSupport
public import CheckpointFormats
public import JSONTree
import ModelSchema
import TensorFiles
public import TensorRuntime

/// All reads and writes of a conversion, made from headers before the first weight is read.
public struct ConversionPlan: Sendable {
    /// The direction.
    public enum Kind: String, Sendable {
        /// Hugging Face to Megatron.
        case importing = "import"
        /// Megatron to Hugging Face.
        case exporting = "export"
        /// Megatron to Megatron.
        case resharding = "reshard"
        /// Nothing to Hugging Face: a toy.
        case making = "toy"
        /// Hugging Face to Hugging Face, with weights of fewer bits.
        case quantizing = "quantize"
        /// Memory to Megatron: a run's checkpoint.
        case saving = "save"

        /// The word in a progress bar.
        package var activity: String {
            switch self {
            case .importing: "Importing"
            case .exporting: "Exporting"
            case .resharding: "Resharding"
            case .making: "Making"
            case .quantizing: "Quantizing"
            case .saving: "Saving"
            }
        }
    }

    /// A tensor that will be written.
    public struct Line: Sendable, Equatable {
        /// Its name at the destination.
        public var name: String
        /// The names of its sources.
        public var sources: [String]
        /// The shape of the whole, without padding.
        public var shape: [Int]
        /// The type of its elements.
        public var elementType: ElementType
        /// Changes other than moved rows and columns: `cast`, `dequantised`, `padded to N rows`.
        public var notes: [String]

        package init(name: String, sources: [String], shape: [Int], elementType: ElementType, notes: [String]) {
            self.name = name
            self.sources = sources
            self.shape = shape
            self.elementType = elementType
            self.notes = notes
        }
    }

    /// A file that will be written.
    public struct File: Sendable, Equatable {
        /// The path inside the destination.
        public var name: String
        /// The size.
        public var byteCount: Int

        package init(name: String, byteCount: Int) {
            self.name = name
            self.byteCount = byteCount
        }
    }

    /// The direction.
    public let kind: Kind
    /// The path of the source.
    public let source: String
    /// The architecture, as `config.json` has it.
    public let architecture: String
    /// The layout of the Megatron side.
    public let layout: RankLayout
    /// The result for every tensor.
    public let ledger: Ledger
    /// The tensors, in the order of the model.
    public let lines: [Line]
    /// Notices that are not errors.
    public let notes: [String]

    package let plannedFiles: [PlannedFile]
    /// Storages that the plan was made from, besides those that its files are copied from.
    private let sources: [any ByteStorage]
    /// A small file that is written after the others.
    package typealias LastFile = (name: String, bytes: [UInt8])
    /// Called with the directory before the first file is written into it.
    package var begin: (@Sendable (String) throws -> Void)?
    /// Whether the SHA-256 of all files are written last, as Megatron-Core does on demand.
    package var writesIntegrity = false
    /// Makes the files that hold the checksums of the others.
    private let finalize: @Sendable ([CheckpointWriter.Written]) throws -> [LastFile]

    package init(
        kind: Kind,
        source: String,
        architecture: String,
        layout: RankLayout,
        ledger: Ledger,
        lines: [Line],
        notes: [String],
        plannedFiles: [PlannedFile],
        sources: [any ByteStorage] = [],
        finalize: @escaping @Sendable ([CheckpointWriter.Written]) throws -> [LastFile] = { _ in [] }
    ) {
        self.kind = kind
        self.source = source
        self.architecture = architecture
        self.layout = layout
        self.ledger = ledger
        self.lines = lines
        self.notes = notes
        self.sources = sources
        self.plannedFiles = plannedFiles
        self.finalize = finalize
    }

    /// The files that will be written.
    public var files: [File] { plannedFiles.map { File(name: $0.name, byteCount: $0.byteCount) } }

    /// The bytes of all files together.
    public var byteCount: Int { plannedFiles.reduce(0) { $0 + $1.byteCount } }

    /// The most bytes of memory that the buffers of a run take.
    public func peakMemory(_ context: RunContext) -> Int {
        CheckpointWriter.workerCount(context, isVerified: isVerified)
            * CheckpointWriter.memoryPerWorker(isVerified: isVerified)
    }

    /// The storages that can turn out to be invalid, each once: files that were changed, and downloads in progress.
    private var unconfirmed: [any Confirmable] {
        var found: [ObjectIdentifier: any Confirmable] = [:]
        func add(_ storage: (any ByteStorage)?) {
            if let storage = storage as? any Confirmable { found[ObjectIdentifier(storage)] = storage }
        }
        sources.forEach(add)
        for view in plannedFiles.lazy.flatMap(\.parts).compactMap(\.view) {
            for content in view.blocks.lazy.compactMap(\.content) {
                add(content.tensor.storage)
                add(content.scale?.factors.storage)
            }
        }
        return found.values.sorted { $0.name < $1.name }
    }

    /// Whether the source has checksums, with which its blocks are compared as they are read.
    private var isVerified: Bool { kind == .exporting || kind == .resharding }

    /// Writes the files of the plan into a directory that is being made.
    package func write(into directory: String, context: RunContext) throws -> ConversionReport {
        try begin?(directory)
        for note in notes { context.logger.info("\(note)") }
        context.logger.debug(
            "writing \(plannedFiles.count) files, \(byteCount) bytes",
            metadata: [
                "directory": "\(directory)",
                "workers": "\(CheckpointWriter.workerCount(context, isVerified: isVerified))",
            ]
        )
        let clock = ContinuousClock()
        let start = clock.now
        let writer = CheckpointWriter(directory: directory, context: context, isVerified: isVerified)
        let written = try writer.write(plannedFiles, activity: kind.activity)
        var last = try finalize(written)
        for file in last { try Files.write(file.bytes, to: Files.join(directory, file.name)) }
        if writesIntegrity {
            let file = (TorchDistDirectory.integrityName, try IntegrityFile(directory, context).content())
            try Files.write(file.1, to: Files.join(directory, file.0))
            last.append(file)
        }
        for storage in unconfirmed { try storage.confirm() }
        for files in context.sources { try files.confirmUnchanged() }
        try context.cancellation.check()
        return ConversionReport(
            kind: kind,
            source: source,
            destination: directory,
            tensors: lines.count,
            files: written.map { File(name: $0.name, byteCount: $0.byteCount) }
                + last.map { File(name: $0.name, byteCount: $0.bytes.count) },
            seconds: (clock.now - start).seconds,
            notes: notes
        )
    }
}

/// The result of a conversion.
public struct ConversionReport: Sendable, Equatable {
    /// The direction.
    public var kind: ConversionPlan.Kind
    /// The path of the source.
    public var source: String
    /// The directory that was made.
    public var destination: String
    /// The number of tensors that were written.
    public var tensors: Int
    /// The files that were written, as paths inside the destination.
    public var files: [ConversionPlan.File]
    /// The duration, from the first read to the last flush.
    public var seconds: Double
    /// Notices that are not errors.
    public var notes: [String]

    package init(
        kind: ConversionPlan.Kind,
        source: String,
        destination: String,
        tensors: Int,
        files: [ConversionPlan.File],
        seconds: Double,
        notes: [String]
    ) {
        self.kind = kind
        self.source = source
        self.destination = destination
        self.tensors = tensors
        self.files = files
        self.seconds = seconds
        self.notes = notes
    }

    /// The bytes of all files together.
    public var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }

    /// The report for `--json`.
    public var json: JSON {
        [
            "kind": .string(kind.rawValue),
            "source": .string(source),
            "destination": .string(destination),
            "tensors": JSON(tensors),
            "bytes": JSON(byteCount),
            "seconds": JSON(seconds),
            "files": .array(files.map { ["name": .string($0.name), "bytes": JSON($0.byteCount)] }),
            "notes": .array(notes.map { .string($0) }),
        ]
    }
}

extension ConversionPlan {
    /// The plan for `--json`.
    public var json: JSON {
        [
            "kind": .string(kind.rawValue),
            "source": .string(source),
            "architecture": .string(architecture),
            "layout": [
                "tensor_model_parallel_size": JSON(layout.tensorSize),
                "pipeline_model_parallel_size": JSON(layout.pipelineSize),
            ],
            "bytes": JSON(byteCount),
            "ledger": ledger.json,
            "tensors": .array(
                lines.map { line in
                    [
                        "name": .string(line.name),
                        "sources": .array(line.sources.map { .string($0) }),
                        "shape": line.shape.json,
                        "dtype": .string(line.elementType.rawValue),
                        "notes": .array(line.notes.map { .string($0) }),
                    ]
                }
            ),
            "files": .array(files.map { ["name": .string($0.name), "bytes": JSON($0.byteCount)] }),
            "notes": .array(notes.map { .string($0) }),
        ]
    }
}
