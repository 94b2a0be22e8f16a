import Glibc

/// Page-aligned memory, kept for reuse.
package struct AlignedBuffer: ~Copyable {
    /// The alignment of addresses, lengths and offsets that direct writes need.
    package static let alignment = 4096

    package private(set) var bytes: UnsafeMutableRawPointer
    package private(set) var byteCount: Int

    package init(byteCount: Int) {
        self.byteCount = byteCount
        bytes = .allocate(byteCount: max(byteCount, 1), alignment: Self.alignment)
    }

    deinit { bytes.deallocate() }

    /// Reserves `byteCount` bytes; the previous content may be lost.
    package mutating func grow(to byteCount: Int) {
        guard byteCount > self.byteCount else { return }
        bytes.deallocate()
        bytes = .allocate(byteCount: byteCount, alignment: Self.alignment)
        self.byteCount = byteCount
    }
}
