import BridgeSupport
package import JSONTree

/// The checksums of the files of a directory, of which a manifest is one with further facts.
package struct FileChecksums: Sendable {
    /// The file that has them.
    package let name: String
    /// Every file by its path inside the directory.
    package var files: [NativeManifest.File]

    /// The file of a directory that has no manifest: a state dictionary in PyTorch's distributed checkpoint.
    package static let fileName = "bridge_checksums.json"
    private static let (format, formatVersion) = ("bridge-checksums", 1)

    /// The checksums of files that were written.
    package init(_ written: [CheckpointWriter.Written]) {
        name = Self.fileName
        files = written.map { NativeManifest.File($0) }
    }

    /// The checksums of a manifest.
    package init(name: String, _ manifest: NativeManifest) {
        self.name = name
        files = manifest.files
    }

    /// The checksums that Bridge wrote for a directory in Megatron-Core's container.
    ///
    /// - Parameter directory: The directory.
    /// - Returns: Those of its manifest, or of the file in its place; nil for a checkpoint of another program.
    /// - Throws: `BridgeError` for a damaged file.
    package static func read(in directory: String) throws -> FileChecksums? {
        let manifest = Files.join(directory, TorchDistDirectory.manifestName)
        if Files.exists(manifest) {
            let json = try JSON(contentsOf: manifest)
            return FileChecksums(
                name: TorchDistDirectory.manifestName,
                try NativeManifest(json: json, name: manifest)
            )
        }
        let path = Files.join(directory, fileName)
        return Files.exists(path) ? try FileChecksums(json: JSON(contentsOf: path), name: path) : nil
    }

    // MARK: JSON

    /// Reads the file of a directory without a manifest.
    ///
    /// - Throws: `BridgeError` for another file, or one that this version cannot read.
    package init(json: JSON, name: String) throws {
        let reader = JSONReader(json, name: name)
        guard json["format"]?.string == Self.format else {
            throw BridgeError(.corruptInput, "\(name) is not a file of Bridge's checksums; restore it from a copy")
        }
        try FileChecksums.checkVersion(reader, atMost: Self.formatVersion)
        self.name = Files.name(of: name)
        files = try Self.files(in: reader)
    }

    /// Refuses a file of a later version of its format.
    static func checkVersion(_ reader: JSONReader, atMost newest: Int) throws {
        let version = try reader.integer("format_version")
        guard version > newest else { return }
        throw BridgeError(
            .corruptInput,
            "\(reader.name) has format version \(version), this Bridge reads up to \(newest); use a newer Bridge"
        )
    }

    /// The file as JSON.
    package var json: JSON {
        [
            "format": .string(Self.format), "format_version": JSON(Self.formatVersion), "checksums": Self.algorithm,
            "files": Self.json(of: files),
        ]
    }

    /// What the checksums are.
    static var algorithm: JSON {
        ["algorithm": .string(BlockChecksum.algorithm), "block_bytes": JSON(BlockChecksum.blockByteCount)]
    }

    /// The entries of files.
    static func json(of files: [NativeManifest.File]) -> JSON {
        var entries = JSONObject()
        for file in files {
            var json: JSON = ["bytes": JSON(file.byteCount), "checksum": .string(file.checksum)]
            if !file.blocks.isEmpty { json.set(.array(file.blocks.map { .string($0) }), at: "blocks") }
            entries[file.name] = json
        }
        return .object(entries)
    }

    /// Reads the entries of files.
    ///
    /// - Throws: `BridgeError` for checksums of another kind, and for files outside the directory.
    static func files(in reader: JSONReader) throws -> [NativeManifest.File] {
        let name = reader.name
        let checksums = reader.json["checksums"]
        guard checksums?["algorithm"]?.string == BlockChecksum.algorithm,
            checksums?["block_bytes"]?.integer == BlockChecksum.blockByteCount
        else { throw BridgeError(.corruptInput, "\(name) names checksums that this Bridge does not compute") }
        var total = 0
        return try reader.object("files").map { key, value in
            let file = JSONReader(value, name: "\(name): \(key)")
            guard
                key.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ Files.isPlainName(String($0)) }
                )
            else {
                throw BridgeError(.corruptInput, "\(name) lists the file \(key), which is not inside the checkpoint")
            }
            let byteCount = try file.integer("bytes")
            total += byteCount
            guard total < 1 << 56 else { throw reader.problem("the files have more bytes than any disk") }
            return NativeManifest.File(
                name: key,
                byteCount: byteCount,
                checksum: try file.string("checksum"),
                blocks: (value["blocks"]?.array ?? []).compactMap(\.string)
            )
        }
    }
}
