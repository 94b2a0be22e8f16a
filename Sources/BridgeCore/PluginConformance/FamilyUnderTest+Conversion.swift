import BridgeCore
import Foundation
import JSONTree
import TensorRuntime

// The rules of conversions.
extension FamilyUnderTest {
    func roundTrip() throws -> [ConformanceFinding] { try roundTrip(of: toy, ConversionOptions()) }

    func layouts() throws -> [ConformanceFinding] {
        var findings: [ConformanceFinding] = []
        for (tensorSize, pipelineSize) in [(2, 1), (1, 2), (2, 2)] {
            let layout = RankLayout(tensorSize: tensorSize, pipelineSize: pipelineSize)
            findings += try roundTrip(of: toy, ConversionOptions(layout: layout))
        }
        return findings
    }

    func torchDist() throws -> [ConformanceFinding] {
        let bridge = try autoBridge
        let (megatron, exported) = (path(), path())
        try bridge.importCheckpoint(to: megatron, options: ConversionOptions(container: .torchDist))
        try bridge.exportCheckpoint(from: megatron, to: exported)
        var findings = try differences(toy, exported, "after an import into torch_dist and an export")
        let checkpoint = try NativeCheckpoint.iterationPath(megatron)
        // Without a class of the architecture no other program reads the file.
        guard self.bridge.providerClasses.contains(where: { $0.architecture == bridge.architecture }) else {
            return findings
        }
        // The class of Megatron Bridge that the file names describes the same model; Bridge's own files would hide it.
        for name in ["bridge_manifest.json", "huggingface"] { try Files.remove(Files.join(checkpoint, name)) }
        let described = try AutoBridge.fromMegatron(megatron, catalog: catalog)
        if described.architecture != bridge.architecture {
            findings.append(
                ConformanceFinding(
                    "run_config.yaml describes a \(described.architecture), expected \(bridge.architecture); correct providerClasses"
                )
            )
        }
        for (name, value) in described.megatronFields where bridge.megatronFields[name] != value {
            guard name != "params_dtype" else { continue }
            findings.append(
                ConformanceFinding(
                    "run_config.yaml gives \(name) the value \(value.compactText), expected "
                        + "\(bridge.megatronFields[name]?.compactText ?? "none"); correct the fields of the ProviderClass"
                )
            )
        }
        return findings
    }

    func checkpoint() throws -> [ConformanceFinding] {
        try fixtures.flatMap { fixture -> [ConformanceFinding] in
            let bridge = try AutoBridge.fromHF(fixture.checkpoint, catalog: catalog)
            let unknown = try bridge.unknownSettings().flatMap { file in file.keys.map { "\(file.file): \($0)" } }
            var findings = unknown.map {
                ConformanceFinding("the fixture has a key without a verdict, \($0); add it to the table of the file")
            }
            findings += try roundTrip(of: fixture.checkpoint, ConversionOptions())
            return findings
        }
    }

    private func roundTrip(of source: String, _ options: ConversionOptions) throws -> [ConformanceFinding] {
        let bridge = try AutoBridge.fromHF(source, catalog: catalog)
        let (megatron, exported) = (path(), path())
        try bridge.importCheckpoint(to: megatron, options: options)
        try AutoBridge.fromMegatron(megatron, catalog: catalog).exportCheckpoint(from: megatron, to: exported)
        let layout = "TP \(options.layout.tensorSize) PP \(options.layout.pipelineSize)"
        return try differences(source, exported, "after an import with \(layout) and an export")
    }

    /// What differs between two Hugging Face directories: tensors by their lines, other files by name.
    private func differences(_ source: String, _ exported: String, _ when: String) throws -> [ConformanceFinding] {
        let files = try Self.files(source)
        let others = try Self.files(exported)
        let names = Set(files.keys).union(others.keys).filter { files[$0] != others[$0] }.sorted()
        guard !names.isEmpty else { return [] }
        let result = try Verifier(
            Checkpoint(path: source, catalog: catalog),
            Checkpoint(path: exported, catalog: catalog)
        ).run()
        var seen: Set<String> = []
        let mappings = try table.mappings
        var rows: [ConformanceFinding] = []
        for row in result.rows {
            let index = mappings.firstIndex { mapping in mapping.huggingFace.contains { $0.match(row.name) != nil } }
            let line = index.map { self.line($0, of: mappings[$0]) }
            guard seen.insert(line ?? row.name).inserted else { continue }
            rows.append(ConformanceFinding("the tensor \(row.name) differs \(when): \(row.what)", line: line))
        }
        guard rows.isEmpty else { return rows }
        return [ConformanceFinding("\(Self.listed(names)) differs \(when)")]
    }

    private static func files(_ directory: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            let path = Files.join(directory, name)
            guard Files.kind(of: path) == .file else { continue }
            files[name] = try Data(contentsOf: URL(fileURLWithPath: path))
        }
        return files
    }
}
