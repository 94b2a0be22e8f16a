/// The file systems that are mounted, from `/proc/self/mountinfo`; see proc_pid_mountinfo(5).
public enum MountTable {
    /// A mounted file system, or a part of one.
    public struct Entry: Sendable, Equatable {
        /// The numbers of its device, `major:minor`.
        public let device: String
        /// Where it is mounted.
        public let path: String
        /// Its type, such as `ext4`.
        public let type: String
    }

    /// The entries; empty when the table cannot be read.
    public static var entries: [Entry] { entries(in: KernelFile.text("/proc/self/mountinfo")) }

    /// The entries of a table, such as `36 35 0:42 / /data rw,noatime - nfs4 server:/data rw`.
    package static func entries(in table: String) -> [Entry] {
        table.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            // Any number of optional fields ends with the dash.
            guard fields.count > 4, let mark = fields.dropFirst(5).firstIndex(of: "-"), mark + 1 < fields.count
            else { return nil }
            return Entry(device: String(fields[2]), path: unescaped(fields[4]), type: String(fields[mark + 1]))
        }
    }

    /// A path, in which spaces are octal escapes.
    private static func unescaped(_ field: Substring) -> String {
        [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")].reduce(String(field)) {
            $0.replacing($1.0, with: $1.1)
        }
    }
}
