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

    /// What the structure of the checkpoint lacks, and the bytes that have a checksum: those of files that Megatron-Core
    /// wrote, all of them.
    ///
    /// - Returns: Sentences by the name of the file, and the bytes.
    package func structure() -> (problems: [(file: String, problem: String)], checked: [Checked]) {
        var problems: [(file: String, problem: String)] = []
        var checked: [Checked] = []
        func note(_ file: String, _ body: () throws -> Void) {
            do { try body() } catch {
                problems.append((file, (error as? BridgeError)?.message ?? "\(error)"))
            }
        }
        for entry in metadata.entries {
            note(entry.chunks.first?.item.file ?? DistributedMetadata.name) { _ = try tensor(entry).view() }
        }
        for item in items {
            note(item.file) {
                for member in try members(of: item) where member.checksum != 0 {
                    checked.append(
                        Checked(file: item.file, name: member.name, range: member.range, checksum: member.checksum)
                    )
                }
            }
        }
        var ends: [String: Int] = [:]
        for item in items.sorted(by: { ($0.file, $0.range.lowerBound) < ($1.file, $1.range.lowerBound) }) {
            if let end = ends[item.file], end > item.range.lowerBound {
                problems.append((item.file, "has two items that overlap at byte \(item.range.lowerBound)"))
            }
            ends[item.file] = max(ends[item.file] ?? 0, item.range.upperBound)
        }
        var seen: Set<String> = []
        return (problems.filter { seen.insert("\($0.file) \($0.problem)").inserted }, checked)
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
