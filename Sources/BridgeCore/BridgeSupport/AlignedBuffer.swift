import Glibc

/// Memory whose start lies on a page, kept for reuse.
package struct AlignedBuffer: ~Copyable {
    /// What direct writes need of addresses, lengths and offsets.
    package static let alignment = 4096

    package private(set) var bytes: UnsafeMutableRawPointer
    package private(set) var byteCount: Int

    package init(byteCount: Int) {
        self.byteCount = byteCount
        bytes = .allocate(byteCount: max(byteCount, 1), alignment: Self.alignment)
    }

    deinit { bytes.deallocate() }

    /// Makes room for `byteCount` bytes; what was there may be gone.
    package mutating func grow(to byteCount: Int) {
        guard byteCount > self.byteCount else { return }
        bytes.deallocate()
        bytes = .allocate(byteCount: byteCount, alignment: Self.alignment)
        self.byteCount = byteCount
    }
}
