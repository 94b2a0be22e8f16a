package import BridgeSupport
import TensorFiles
import TorchFiles

extension TorchDistDirectory {
    /// Bytes of a file with the checksum that its archive has for them.
    package struct Checked: Sendable {
        package var file: String
        package var name: String
        package var range: Range<Int>
        package var checksum: UInt32
    }

    /// The items of all files, each once.
    private var items: [DistributedMetadata.Item] {
        var seen: Set<String> = []
        let all = metadata.entries.flatMap { $0.chunks.map(\.item) } + metadata.objects.map(\.item)
        return all.filter { seen.insert("\($0.file) \($0.range)").inserted }
    }

    /// A file of the checkpoint and what is wrong with it.
    package struct Problem: Sendable, Equatable {
        package var file: String
        /// What follows the name of the file in a sentence.
        package var text: String

        package init(_ file: String, _ text: String) {
            self.file = file
            self.text = text
        }

        /// The sentence, with the path of the file.
        package func sentence(in directory: String) -> String { "\(Files.join(directory, file)) \(text)" }
    }

    /// What is wrong with the files that describe the tensors: `.metadata`, `metadata.json` and the common state.
    ///
    /// Every reader compares them with their checksums before it reads a tensor. Without checksums it is known alone what
    /// Megatron-Core needs and does not find.
    ///
    /// - Parameter checksums: The checksums of the files; nil for a checkpoint of another program.
    /// - Returns: The files, each with what is wrong.
    /// - Throws: `BridgeError` for a file that cannot be read.
    package func problems(comparedWith checksums: FileChecksums?) throws -> [Problem] {
        guard let checksums else { return try missing() }
        let names = [DistributedMetadata.name, Self.descriptionName, Self.commonName]
        return try checksums.files.filter { names.contains($0.name) }.compactMap { line in
            let file = Files.join(path, line.name)
            guard Files.exists(file) else {
                return Problem(line.name, "is missing, and \(checksums.name) lists it; restore it from a copy")
            }
            let found = NativeManifest.File(name: line.name, bytes: try Files.contents(of: file))
            guard found.byteCount != line.byteCount || found.checksum != line.checksum else { return nil }
            return Problem(
                line.name,
                "is not as it was written: its checksum is not the one in \(checksums.name); restore it from a copy"
            )
        }
    }

    /// What Megatron-Core writes beside its tensors, where only some of it is there.
    private func missing() throws -> [Problem] {
        let names = try Files.list(path)
        let hasCommon =
            names.contains(Self.commonName) || metadata.objects.contains { $0.key == Self.commonKey }
        // A distributed checkpoint of PyTorch itself has neither.
        guard hasCommon != names.contains(Self.descriptionName) else { return [] }
        let file = hasCommon ? Self.descriptionName : Self.commonName
        return [
            Problem(
                file,
                "is missing, and Megatron-Core does not load the checkpoint without it; restore it from a copy"
            )
        ]
    }

    /// What the files of the items are found to be without a checksum of their own.
    package struct Structure: Sendable {
        /// What is wrong, each file's together.
        package var problems: [Problem] = []
        /// The bytes that have a checksum: those of files that Megatron-Core wrote, all of them.
        package var checked: [Checked] = []
        /// The files with a byte of an item that has none.
        package var unchecked: Set<String> = []
    }

    /// Reads the structure of the files: the archives, types and shapes of the items, and how the chunks fit together.
    ///
    /// - Returns: What was found.
    package func structure() -> Structure {
        var structure = Structure()
        func isRead(_ file: String, _ body: () throws -> Void) -> Bool {
            do {
                try body()
                return true
            } catch {
                structure.problems.append(Problem(file, (error as? BridgeError)?.message ?? "\(error)"))
                return false
            }
        }
        for entry in metadata.entries {
            var pieces: [ChunkedTensor.Piece] = []
            for chunk in entry.chunks { _ = isRead(chunk.item.file) { pieces.append(try piece(chunk, of: entry)) } }
            guard pieces.count == entry.chunks.count else { continue }
            _ = isRead(DistributedMetadata.name) { _ = try tensor(entry, of: pieces).view() }
        }
        let objects = Dictionary(metadata.objects.map { ("\($0.item.file) \($0.item.range)", $0) }) { first, _ in first
        }
        for item in items {
            let hasMembers = isRead(item.file) {
                let members = try members(of: item)
                let checked = members.filter { $0.checksum != 0 }
                structure.checked += checked.map {
                    Checked(file: item.file, name: $0.name, range: $0.range, checksum: $0.checksum)
                }
                if checked.count < members.count(where: { !$0.range.isEmpty }) {
                    structure.unchecked.insert(item.file)
                    // What a checksum is compared with is whole; anything else has to be a value.
                    if let object = objects["\(item.file) \(item.range)"] {
                        _ = try archive(item, of: object.key, globals: .opaque)
                    }
                }
            }
            if !hasMembers { structure.unchecked.insert(item.file) }
        }
        var ends: [String: Int] = [:]
        for item in items.sorted(by: { ($0.file, $0.range.lowerBound) < ($1.file, $1.range.lowerBound) }) {
            if let end = ends[item.file], end > item.range.lowerBound {
                structure.problems.append(
                    Problem(item.file, "has two items that overlap at byte \(item.range.lowerBound)")
                )
            }
            ends[item.file] = max(ends[item.file] ?? 0, item.range.upperBound)
        }
        return structure
    }

    /// The checksums of a file of `torch.save` beside the items, such as `common.pt`, whose content is read as data.
    ///
    /// - Parameter name: The file.
    /// - Returns: The bytes that have one, and whether all have.
    /// - Throws: `BridgeError` for a damaged file, and for one that names what no checkpoint needs.
    package func besideItems(_ name: String) throws -> (checked: [Checked], isComplete: Bool) {
        let storage = try FileStorage(path: Files.join(path, name))
        let archive = try TorchArchive(storage, name: storage.name, globals: .opaque)
        if let call = archive.content.graph.harmfulGlobal {
            throw BridgeError(
                .corruptInput,
                "names \(call), which torch.load would call and no checkpoint needs; do not load it with torch, and restore it "
                    + "from a copy"
            )
        }
        switch name {
        case Self.commonName where archive.content.pairs == nil:
            throw BridgeError(.corruptInput, "has no dictionary, expected the common state of the ranks")
        case Self.trainStateName: _ = try TrainStateFile.read(self)
        default: break
        }
        let members = try ZipArchive(storage, in: 0..<storage.byteCount, name: storage.name).members
        let checked = members.filter { $0.checksum != 0 }
        return (
            checked.map { Checked(file: name, name: $0.name, range: $0.range, checksum: $0.checksum) },
            checked.count == members.count { !$0.range.isEmpty }
        )
    }

    private func members(of item: DistributedMetadata.Item) throws -> [ZipArchive.Member] {
        let storage = try file(item.file)
        return try ZipArchive(storage, in: item.range, name: "byte \(item.range.lowerBound) of \(storage.name)").members
    }

    /// Whether bytes have their checksum.
    ///
    /// - Throws: `BridgeError` when they cannot be read.
    package func isIntact(_ bytes: Checked, through scratch: inout AlignedBuffer, _ pages: inout AlignedBuffer) throws
        -> Bool
    {
        let storage = try file(bytes.file)
        var checksum = CRC32()
        for start in stride(from: bytes.range.lowerBound, to: bytes.range.upperBound, by: scratch.byteCount) {
            let count = min(scratch.byteCount, bytes.range.upperBound - start)
            let piece = UnsafeMutableRawBufferPointer(start: scratch.bytes, count: count)
            try storage.readUncached(at: start, into: piece, through: &pages)
            checksum.update(UnsafeRawBufferPointer(piece))
        }
        return checksum.value == bytes.checksum
    }
}
